"""``[simulator]`` of ``pirack.toml``."""

import json
from pathlib import Path
from typing import Annotated

import msgspec

from broker.common.errors import ConfigError
from node_agent.simulator.faults import FaultRequest, parse_line
from node_agent.simulator.layout import MAX_BOARDS, MAX_STACKS, Place, boards


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[simulator]``: an invented rack.

    Args:
        stacks: How many stacks.
        boards: Boards in a stack.
        interval_s: Seconds between heartbeats.
        seed: The same seed invents the same boards.
        boot_s: How long a board takes to boot, seconds, give or take a fifth.
        echo_port: UDP port on which each board echoes (RFC 862), on its own loopback
            address 127.77.<stack>.<slot>; 0 for none.
        credentials: Path of a JSON file (mode 0600) with the password of each node id
            and of ``simulator``, the simulation's own link; without that last one the
            link signs in as ``[broker]`` says. Empty for anonymous connections.
        faults: Begun at start, each as on the command line:
            ``crash s03n2 for=30 after=10``.
    """

    stacks: Annotated[int, msgspec.Meta(ge=1, le=MAX_STACKS)] = 12
    boards: Annotated[int, msgspec.Meta(ge=1, le=MAX_BOARDS)] = 4
    interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 10.0
    seed: int = 1
    boot_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 3.0
    echo_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 7007
    credentials: str = ""
    faults: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """Every board."""
        return boards(self.stacks, self.boards)

    def requests(self) -> tuple[FaultRequest, ...]:
        """Return the faults to begin with.

        Raises:
            ConfigError: One of them is not understood.
        """
        return tuple(parse_line(line) for line in self.faults)

    def passwords(self) -> dict[str, str]:
        """Read the password of every node; empty where connections are anonymous.

        Raises:
            ConfigError: The file cannot be read, is of another form, or lacks a board.
        """
        if not self.credentials:
            return {}
        found = _read(Path(self.credentials))
        missing = [place.id for place in self.places if place.id not in found]
        if missing:
            text = (
                f"{self.credentials}: no password for {missing[0]} and "
                f"{len(missing) - 1} other(s); one is needed for every simulated board"
            )
            raise ConfigError(text)
        return found


def _read(path: Path) -> dict[str, str]:
    try:
        return msgspec.convert(json.loads(path.read_bytes()), dict[str, str])
    except OSError as error:
        text = f"[simulator] credentials {path}: cannot be read: {error.strerror}"
        raise ConfigError(text) from error
    except (ValueError, msgspec.ValidationError) as error:
        text = f"[simulator] credentials {path}: must be JSON {{id: password}}: {error}"
        raise ConfigError(text) from error
