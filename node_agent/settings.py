"""``[agent]`` of ``pirack.toml``."""

import os
from pathlib import Path
from typing import Annotated

import msgspec

Interval = Annotated[float, msgspec.Meta(ge=0.2, le=3600)]


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[agent]``: how this machine's agent behaves.

    Args:
        id: Node id; empty makes it from the board's serial, which is right but for
            tests and machines that have neither serial nor network interface.
        interval_s: Seconds between heartbeats.
        commands: Path of a command file that adds to the built-in one, replaces its
            aliases or takes them away; empty for none.
        state_dir: Directory for the ids of destructive orders; empty for systemd's
            ``STATE_DIRECTORY``, else ``~/.local/state/pirack-agent``.
        at_once: How many commands run at the same time.
        withheld: Aliases this machine must not obey, each with the reason that whoever
            asks is told.
    """

    id: Annotated[str, msgspec.Meta(pattern="^([a-z0-9-]{1,32})?$")] = ""
    interval_s: Interval = 10.0
    commands: str = ""
    state_dir: str = ""
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    withheld: dict[str, str] = msgspec.field(default_factory=dict)

    def command_file(self) -> Path | None:
        """Return the path of one's own command file, or None."""
        return Path(self.commands) if self.commands else None

    def state_directory(self) -> Path:
        """Return where the ids of destructive orders are kept."""
        chosen = self.state_dir or os.environ.get("STATE_DIRECTORY", "")
        if chosen:
            return Path(chosen)
        base = os.environ.get("XDG_STATE_HOME", "")
        return (Path(base) if base else Path.home() / ".local/state") / "pirack-agent"
