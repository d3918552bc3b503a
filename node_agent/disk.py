"""The root file system: where it is, and whether it takes writes."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from node_agent import identity

_READ_ONLY = frozenset({"ro", "emergency_ro", "shutdown"})
"""Options of a superblock that takes no writes. Since Linux 6.15 ext4 says the second
after an error, and the third when it was shut down; before, ``ro`` or nothing."""
_COUNT = re.compile(r"[0-9]{1,15}")
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\134", "\\"))


class Mount(msgspec.Struct, frozen=True):
    """A mounted file system.

    Args:
        device: Major and minor number; empty where not known.
        options: Of its superblock: they hold for everybody, unlike those of one mount,
            which systemd makes read-only for a confined service.
    """

    point: str
    kind: str
    source: str
    device: str
    options: tuple[str, ...]

    def option(self, name: str) -> str:
        """Returns the value of an option; empty where it is not set."""
        found = (one.partition("=") for one in self.options)
        return next((value for key, _, value in found if key == name), "")


def mounts_of(root: Path) -> list[Mount]:
    """Returns what is mounted, in the order it was; from ``mounts`` on a bare tree.

    What is mounted elsewhere than on ``/`` only counts beside an overlay or lxcfs.
    """
    text = identity.read_text(root / "proc/self/mountinfo")
    lines = text.splitlines()
    if lines:
        if "overlay" not in text and "lxcfs" not in text:
            lines = [line for line in lines if " / rw" in line or " / ro" in line]
        return [mount for line in lines if (mount := _mount_of(line)) is not None]
    rows = [
        line.split(" ")
        for line in identity.read_text(root / "proc/mounts").splitlines()
    ]
    return [
        Mount(_plain(row[1]), row[2], _plain(row[0]), "", tuple(row[3].split(",")))
        for row in rows
        if len(row) > 3  # noqa: PLR2004  # device, point, type, options
    ]


def _mount_of(line: str) -> Mount | None:
    """Reads one line of ``mountinfo``; see proc(5)."""
    before, _, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if len(left) < 6 or len(right) < 3:  # noqa: PLR2004  # as the man page has them
        return None
    options = tuple(_plain(right[2]).split(","))
    return Mount(_plain(left[4]), right[0], _plain(right[1]), left[2], options)


def _plain(text: str) -> str:
    """Returns a path without the kernel's escapes for blanks and backslashes."""
    if "\\" in text:
        for escape, character in _ESCAPES:
            text = text.replace(escape, character)
    return text


def _root_mount(mounts: Sequence[Mount]) -> Mount | None:
    """Returns what is mounted last on ``/``."""
    return next((one for one in reversed(mounts) if one.point == "/"), None)


def _card_mount(mounts: Sequence[Mount]) -> Mount | None:
    """Returns the file system below ``/``: under an overlay that of its lowest layer.

    A card is protected by an overlay in memory, and what may fill or fail is the card.
    Where its layer cannot be seen, as in a container, it is the overlay itself.
    """
    top = _root_mount(mounts)
    if top is None or top.kind != "overlay":
        return top
    lower = top.option("lowerdir").split(":")[-1]
    below = [
        one
        for one in mounts
        if one.point != "/" and (lower + "/").startswith(one.point.rstrip("/") + "/")
    ]
    return max(below, key=lambda one: len(one.point)) if below else top


def measured_path(root: Path, mounts: Sequence[Mount]) -> str:
    """Returns where to ask for the size and use of the card."""
    mount = _card_mount(mounts)
    if mount is None or mount.point == "/":
        return str(root)
    point = root / mount.point.lstrip("/")
    return str(point if point.exists() else root)


def takes_no_writes(mounts: Sequence[Mount]) -> bool:
    """Whether the superblock of ``/`` takes no writes, or its card had to stop."""
    top = _root_mount(mounts)
    if top is None:
        text = "nothing is mounted on /"
        raise LookupError(text)
    card = _card_mount(mounts)
    # The card under an overlay is read-only on purpose; an error still shows.
    failed = card is not None and not _READ_ONLY.isdisjoint({*card.options} - {"ro"})
    return failed or not _READ_ONLY.isdisjoint(top.options)


def recorded_errors(root: Path, mounts: Sequence[Mount]) -> int | None:
    """Returns the errors that ext4 has recorded; None for other file systems.

    Linux 6.12 to 6.14 shows nothing else of a file system that takes no writes.
    """
    mount = _card_mount(mounts)
    if mount is None or mount.kind != "ext4":
        return None
    name = identity.linked_to(root / "sys/dev/block" / (mount.device or "none"))
    path = root / "sys/fs/ext4" / (name or Path(mount.source).name) / "errors_count"
    text = identity.read_text(path)
    return int(text) if _COUNT.fullmatch(text) else None
