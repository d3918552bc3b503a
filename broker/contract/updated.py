"""What an ``update`` left, as the one line of output that its proof is.

The node's program reads it back from dpkg and apt and prints it; the master believes an
update by this line and not by an exit code.
"""

import re

import msgspec

REBOOT = "a reboot is needed for some of them"
_LINE = re.compile(r"^packages changed: (\d+); updates left: (\d+)", re.MULTILINE)


class Updated(msgspec.Struct, frozen=True):
    """What was read back after an update.

    Args:
        changed: Packages that have another version now.
        left: Updates that apt would still install.
        reboot: Some of it holds only after a reboot.
    """

    changed: int
    left: int
    reboot: bool = False


def line(changed: int, left: int) -> str:
    """Return the line that says so."""
    return f"packages changed: {changed}; updates left: {left}"


def found(output: str) -> Updated | None:
    """Return what the last such line of an output says; None if there is none."""
    lines = list(_LINE.finditer(output))
    if not lines:
        return None
    last = lines[-1]
    reboot = REBOOT in output[last.end() :]
    return Updated(int(last[1]), int(last[2]), reboot)
