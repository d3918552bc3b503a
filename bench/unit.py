"""The agent as ``deploy/pirack-agent.service`` starts it, but for its paths."""

import shlex
from pathlib import Path

import msgspec

from bench.workshop import ROOT

_UNIT = ROOT / "deploy" / "pirack-agent.service"


class AgentUnit(msgspec.Struct, frozen=True):
    """The unit's two commands.

    Args:
        prepare: Writes the byte code; to be run to its end before the other.
        start: Is the agent.
    """

    prepare: list[str]
    start: list[str]


def agent_unit(python: Path, program: Path, config: Path, byte_code: Path) -> AgentUnit:
    """Return the commands with these paths in place of those of a Pi.

    Args:
        python: The interpreter.
        program: The script ``pirack-agent``.
        config: The agent's ``pirack.toml``.
        byte_code: Folder that ``prepare`` fills.
    """
    text = _UNIT.read_text(encoding="utf-8")
    for there, here in (
        ("/opt/pirack/bin/python", python),
        ("/opt/pirack/bin/pirack-agent", program),
        ("/etc/pirack/pirack.toml", config),
        ("/var/cache/pirack-agent", byte_code),
    ):
        text = text.replace(there, str(here))
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    prepare = lines["ExecStartPre"].removeprefix("-!")
    return AgentUnit(shlex.split(prepare), shlex.split(lines["ExecStart"]))
