"""``[agent]`` of ``pirack.toml``."""

import os
from pathlib import Path
from typing import Annotated

import msgspec

from broker.common.errors import ConfigError

Interval = Annotated[float, msgspec.Meta(ge=0.2, le=3600)]


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[agent]``: how this machine's agent behaves.

    Args:
        id: Node id; empty makes it from the board's serial, else of a permanent
            hardware address, else at random and keeps it in ``state_dir``.
        interval_s: Seconds between heartbeats.
        commands: Path of a command file that adds to the built-in one, replaces its
            aliases or takes them away; empty for none.
        state_dir: Directory for the ids of destructive orders, and for an id at random;
            empty for systemd's ``STATE_DIRECTORY``, else
            ``~/.local/state/pirack-agent``.
        temperature: Type of the thermal zone to report, as in
            ``/sys/class/thermal/thermal_zone*/type``; empty looks for the processor's.
        at_once: How many commands run at the same time.
        withheld: Aliases this machine must not obey, each with the reason that its
            refusal gives.
    """

    id: Annotated[str, msgspec.Meta(pattern="^([a-z0-9-]{1,32})?$")] = ""
    interval_s: Interval = 10.0
    commands: str = ""
    state_dir: str = ""
    temperature: str = ""
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    withheld: dict[str, str] = msgspec.field(default_factory=dict)

    def command_file(self) -> Path | None:
        """Returns the path of the owner's command file, or None."""
        return Path(self.commands) if self.commands else None

    def state_directory(self) -> Path:
        """Returns where the agent keeps what must outlive it.

        Raises:
            ConfigError: No directory was named, and the user has no home.
        """
        chosen = self.state_dir or os.environ.get("STATE_DIRECTORY", "")
        if chosen:
            return Path(chosen)
        base = os.environ.get("XDG_STATE_HOME", "")
        try:
            home = Path(base) if base else Path.home() / ".local/state"
        except RuntimeError as error:
            text = "this user has no home directory; set [agent] state_dir"
            raise ConfigError(text) from error
        return home / "pirack-agent"
