"""``[simulator]`` of ``pirack.toml``, and the boards of a simulated rack.

``pirack up --simulate`` writes the same names as ``[[node]]`` rows for the master.
"""

import json
from pathlib import Path
from typing import Annotated

import msgspec

from broker.common.errors import ConfigError
from node_agent.simulator.board_state import FaultRequest, parse_line

SIMULATOR = "simulator"
"""User name and client id of the simulator's own link, which takes faults and outlets;
its password stands beside those of the boards."""

MAX_STACKS = 9999
MAX_BOARDS = 64
_SERIAL_BASE = 0x51000000
_ONE_OCTET = 255
_HIGH_STACKS = (127 << 24) | (78 << 16)


class BoardPlace(msgspec.Struct, frozen=True, order=True):
    """One board of a simulated rack.

    Args:
        stack: Stack number, from 1.
        slot: Position in the stack, from 1, top first.
    """

    stack: int
    slot: int

    @property
    def serial(self) -> str:
        """Board serial, 16 hex digits, as a Raspberry Pi writes it."""
        return f"{_SERIAL_BASE + self.stack * 256 + self.slot:016x}"

    @property
    def id(self) -> str:
        """Node id: ``pi-`` and the last eight digits of the serial."""
        return f"pi-{self.serial[-8:]}"

    @property
    def name(self) -> str:
        """Display name and hostname, for example ``s03n1``."""
        return f"s{self.stack:02}n{self.slot}"

    @property
    def address(self) -> str:
        """IP address on loopback: ``127.77.<stack>.<slot>`` up to stack 255.

        Higher stacks go where the lower ones are not, in the rest of 127.64.0.0/10.
        """
        if self.stack <= _ONE_OCTET:
            return f"127.77.{self.stack}.{self.slot}"
        value = _HIGH_STACKS + self.stack * 2 * MAX_BOARDS + self.slot
        return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))


def boards(stacks: int, boards: int) -> tuple[BoardPlace, ...]:
    """Lists the boards of a rack, stack by stack and top first.

    Raises:
        ValueError: A number is outside what the contract can address.
    """
    if not 0 <= stacks <= MAX_STACKS:
        text = f"stacks is {stacks}; give 0 to {MAX_STACKS}"
        raise ValueError(text)
    if not 1 <= boards <= MAX_BOARDS:
        text = f"boards in a stack is {boards}; give 1 to {MAX_BOARDS}"
        raise ValueError(text)
    return tuple(
        BoardPlace(stack, slot)
        for stack in range(1, stacks + 1)
        for slot in range(1, boards + 1)
    )


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[simulator]``: an invented rack.

    Args:
        interval_s: Seconds between heartbeats.
        seed: The same seed invents the same boards.
        boot_s: How long a board takes to boot, seconds, give or take a fifth.
        echo_port: UDP port on which each board answers pings (RFC 862), on its own
            loopback address 127.77.<stack>.<slot>; 0 for none.
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
    def places(self) -> tuple[BoardPlace, ...]:
        """Every board."""
        return boards(self.stacks, self.boards)

    def requests(self) -> tuple[FaultRequest, ...]:
        """Returns the faults to begin with.

        Raises:
            ConfigError: One of them is not understood.
        """
        return tuple(parse_line(line) for line in self.faults)

    def passwords(self) -> dict[str, str]:
        """Reads the password of every node; empty where connections are anonymous.

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
