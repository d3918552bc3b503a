"""Puts restored folders in the place of those that are there: all of them, or none.

Everything is unpacked beside the folders first. Then one small file, the note, says
that the folders are to be exchanged: before it is there nothing was changed, and after
it the exchange is finished, by this run or by the next. What was there is kept.
"""

import contextlib
import glob
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import msgspec

from broker.common.atomic import replace
from broker.common.errors import ConfigError
from pirack.backup.archive import Entry, Manifest, read
from pirack.backup.backup import STAYS, is_bare


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """That folders are to be exchanged.

    Args:
        archive: Hash of the manifest of what is restored.
        words: What that is, in words.
        stamp: Ends the names of what was there.
        folders: Which are exchanged, by their names in the archive.
        removed: Which of another rack are put aside, with nothing in their place.
    """

    archive: str
    words: str
    stamp: str
    folders: tuple[str, ...]
    removed: tuple[str, ...] = ()


class Swap:
    """The exchange of a rack's folders.

    Args:
        folders: Where each belongs, by its name in the archive; the first is the one
            that the note lies beside.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = {role: folder.resolve() for role, folder in folders.items()}
        first = next(iter(self.folders.values()))
        self._note = first.with_name(f".{first.name}-restore.json")

    def staged(self, role: str) -> Path:
        """Returns where a folder is unpacked."""
        folder = self.folders[role]
        return folder.with_name(f"{folder.name}.restoring")

    def aside(self, role: str, stamp: str) -> Path:
        """Returns what a folder that was there is called from then on."""
        folder = self.folders[role]
        return folder.with_name(f"{folder.name}.before-{stamp}")

    def pending(self) -> Note | None:
        """Returns what an earlier run had begun to exchange; None: nothing.

        Raises:
            ConfigError: The note is another user's, or no note.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self._note, flags), "rb") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    text = f"{self._note} belongs to another user; be that user"
                    raise ConfigError(text)
                return msgspec.json.decode(file.read(), type=Note)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            text = f"{self._note} cannot be read: {error}"
            raise ConfigError(text) from error

    def clear(self) -> None:
        """Removes what a run that was interrupted before the exchange left.

        Raises:
            ConfigError: It is another user's.
            OSError: It cannot be removed.
        """
        for role in self.folders:
            left = self.staged(role)
            try:
                status = left.lstat()
            except FileNotFoundError:
                continue
            if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
                text = f"{left} is in the way; remove it"
                raise ConfigError(text)
            shutil.rmtree(left)
        if self._note.parent.is_dir():
            self._remove_unfinished_notes()

    def unpack(self, file: IO[bytes]) -> Manifest:
        """Unpacks an archive beside the folders, checking all of it once more.

        Args:
            file: The archive.

        Raises:
            ArchiveError: It is not what it was.
            OSError: It cannot be written.
        """
        manifest = read(file, self._keep)
        for entry in manifest.entries:
            if entry.name in self.folders:
                self._take_over(entry.name)
        return manifest

    def _keep(self, entry: Entry) -> IO[bytes] | None:
        path = self._path(entry)
        if not entry.sha256:
            path.mkdir(mode=0o700)
            return None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(path, flags, 0o600), "wb")

    def _path(self, entry: Entry) -> Path:
        role, _, inside = entry.name.partition("/")
        return self.staged(role) / inside if inside else self.staged(role)

    def _take_over(self, role: str) -> None:
        """Copies the file that simulates this machine's relays, where there is one."""
        folder = self.folders[role]
        for path in sorted(folder.rglob(STAYS)) if folder.is_dir() else []:
            to = self.staged(role) / path.relative_to(folder)
            if to.parent.is_dir() and path.is_file() and not path.is_symlink():
                shutil.copy2(path, to)
                shutil.chown(to, path.stat().st_uid, path.stat().st_gid)

    def hand_over(self, manifest: Manifest, *, owners: bool) -> None:
        """Gives what was unpacked to its owners, and lets it reach the disk.

        Args:
            manifest: What was unpacked.
            owners: Give each to the user of its name; None is made its owner's alone.

        Raises:
            LookupError: A user or a group is not there.
            OSError: Something cannot be given away.
        """
        for entry in reversed(manifest.entries):
            path = self._path(entry)
            if owners:
                shutil.chown(path, _known(entry.owner), _known(entry.group))
            path.chmod(entry.bits)
        os.sync()

    def exchange(self, note: Note) -> tuple[Path, ...]:
        """Exchanges the folders; returns what was there and is kept.

        Args:
            note: What is to be exchanged; one that an earlier run wrote is fine.

        Raises:
            OSError: It cannot be done now; the next run goes on.
        """
        replace(self._note, msgspec.json.encode(note), mode=0o600)
        for role in note.folders:
            self._exchange(role, note.stamp)
        for role in note.removed:
            if (
                self.folders[role].exists()
                and not self.aside(role, note.stamp).exists()
            ):
                self.folders[role].rename(self.aside(role, note.stamp))
        os.sync()
        kept = tuple(self._kept(note))
        self._remove_unfinished_notes()
        self._note.unlink()
        return kept

    def _remove_unfinished_notes(self) -> None:
        """Removes what ``atomic.replace`` leaves when its process is killed."""
        for path in sorted(
            self._note.parent.glob(f".{glob.escape(self._note.name)}.*")
        ):
            if path.lstat().st_uid == os.geteuid():
                path.unlink()

    def _exchange(self, role: str, stamp: str) -> None:
        new, folder = self.staged(role), self.folders[role]
        if not new.exists():
            return  # by the run that was interrupted
        if folder.exists():
            aside, number = self.aside(role, stamp), 1
            while aside.exists():  # something made the folder again in between
                number += 1
                aside = self.aside(role, f"{stamp}-{number}")
            folder.rename(aside)
        new.rename(folder)

    def _kept(self, note: Note) -> Iterator[Path]:
        for role in (*note.folders, *note.removed):
            like = self.aside(role, note.stamp)
            for aside in sorted(like.parent.glob(f"{glob.escape(like.name)}*")):
                if is_bare(role, aside):
                    shutil.rmtree(aside)
                else:
                    yield aside


def _known(name: str) -> str | int:
    """Returns a user or group as ``shutil.chown`` takes it: a number without a name."""
    return int(name) if name.isdecimal() else name


@contextlib.contextmanager
def cleared(swap: Swap) -> Iterator[None]:
    """Leaves nothing of what was unpacked, should the block end before the exchange."""
    try:
        yield
    except BaseException:
        if swap.pending() is None:
            with contextlib.suppress(OSError, ConfigError):
                swap.clear()
        raise
