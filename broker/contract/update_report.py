"""The line that an ``update`` prints last, by which the master believes it.

The node's program reads back from dpkg and apt what changed; an exit code of zero does
not prove an update.
"""

import re

import msgspec

REBOOT = "a reboot is needed for some of them"
_LINE = re.compile(r"^packages changed: (\d+); updates left: (\d+)", re.MULTILINE)


class UpdateReport(msgspec.Struct, frozen=True):
    """What was read back after an update.

    Args:
        changed: Packages that have another version now.
        left: Updates that apt would still install.
        reboot: Whether some of it holds only after a reboot.
    """

    changed: int
    left: int
    reboot: bool = False


def line(changed: int, left: int) -> str:
    """Returns the line that says so."""
    return f"packages changed: {changed}; updates left: {left}"


def found(output: str) -> UpdateReport | None:
    """Returns what the last such line of an output says; None if there is none."""
    lines = list(_LINE.finditer(output))
    if not lines:
        return None
    last = lines[-1]
    reboot = REBOOT in output[last.end() :]
    return UpdateReport(int(last[1]), int(last[2]), reboot)
