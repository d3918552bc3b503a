"""Writes an initramfs: the root that a Linux kernel starts with, in the newc format.

Source of the format: Documentation/driver-api/early-userspace/buffer-format.rst. All
belongs to root, whoever builds it, and has one date, so that equal inputs are equal.
"""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIGNED_BYTES = 4
LAST = "TRAILER!!!"
DATE = 1_700_000_000


class Initramfs:
    """The files of a root; what is added later takes the place of what was there."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes | Path]] = {}

    def folder(self, path: str) -> None:
        """Adds a folder, and those it lies in."""
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Adds a file."""
        data = content.encode() if isinstance(content, str) else content
        self._add(path, stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def tree(self, folder: Path, at: str = "", *, but: Iterable[str] = ()) -> None:
        """Adds all that is in a folder.

        Args:
            folder: The folder; its files are read when the initramfs is written.
            at: Where it is to be.
            but: Patterns of paths in it that are left out (``usr/share``).
        """
        left_out = tuple(but)
        for entry in sorted(folder.iterdir()):
            self._tree(entry, PurePosixPath(entry.name), at, left_out)

    def write(self, path: Path) -> None:
        """Writes the archive."""
        with path.open("wb") as out:
            for name, (mode, content) in sorted(self._entries.items()):
                data = content if isinstance(content, bytes) else content.read_bytes()
                _record(out, name, mode, data)
            _record(out, LAST, 0, b"")

    def _tree(
        self, entry: Path, name: PurePosixPath, at: str, but: tuple[str, ...]
    ) -> None:
        if any(name.match(pattern) for pattern in but):
            return
        path = f"{at}/{name}"
        if entry.is_symlink():
            self.link(path, str(entry.readlink()))
        elif entry.is_dir():
            self.folder(path)
            for inner in sorted(entry.iterdir()):
                self._tree(inner, name / inner.name, at, but)
        elif entry.is_file():
            mode = 0o755 if entry.stat().st_mode & stat.S_IXUSR else 0o644
            self._add(path, stat.S_IFREG | mode, entry)

    def _add(self, path: str, mode: int, content: bytes | Path) -> None:
        name = path.strip("/")
        for parent in PurePosixPath(name).parents:
            if str(parent) != ".":
                self._entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self._entries[name] = (mode, content)


def _record(out: BinaryIO, name: str, mode: int, data: bytes) -> None:
    inode, links, nobody = 0, 1, 0
    device = (0, 0, 0, 0)
    title = name.encode() + b"\0"
    numbers = (inode, mode, nobody, nobody, links, DATE, len(data), *device)
    header = "".join(f"{number:08X}" for number in (*numbers, len(title), 0))
    start = b"070701" + header.encode() + title
    out.write(start + _padding(len(start)) + data + _padding(len(data)))


def _padding(length: int) -> bytes:
    return b"\0" * (-length % ALIGNED_BYTES)
