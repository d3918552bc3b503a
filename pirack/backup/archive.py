"""The file a backup is: a gzip'd tar that begins with a manifest of all that is in it.

Nothing in it is trusted when it is read: names, kinds, sizes and hashes are compared
with the manifest, and the manifest with what a backup can hold, before anything is
written.
"""

import contextlib
import enum
import errno
import gzip
import hashlib
import io
import os
import re
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from broker import VERSION
from broker.common.errors import PiRackError
from pirack.init.rack_files import folders

DATA = "data"
"""The one folder of a rack of ``pirack up``."""
FORMAT = 1
"""Grows when an older release could not read what a newer one writes."""
MANIFEST = "manifest.json"
MODES = 0o755
"""Bits a restored file or folder may have: only its owner writes it."""
MOST_ENTRIES = 100_000
MOST_IDS = 2**32 - 1
"""Of users and groups; this number itself means "as it is" to chown."""
MANIFEST_BYTES = 64 * 1024 * 1024
HEADER_BYTES = 1024 * 1024
"""Most that may stand before a member; ``tarfile`` reads that in one piece."""
SQLITE = b"SQLite format 3\0"
"""How a database begins."""
_CHUNK = 1 << 20
_DATABASE_S = 30.0
"""Longest wait for a database that somebody holds, seconds."""
_BEFORE = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)


class ArchiveError(PiRackError):
    """The archive cannot be used: damaged, of a newer release, or none of ours."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder or a file in the archive.

    Args:
        name: Begins with one of the manifest's folders.
        owner: Name of the user, or a number without one; so too the group.
        mode: Permission bits, octal.
        sha256: Of a file, hex; empty: it is a folder.
    """

    name: str
    owner: str
    group: str
    mode: str
    size_bytes: int = 0
    sha256: str = ""

    @property
    def bits(self) -> int:
        """The permission bits it is restored with."""
        return int(self.mode, 8) & MODES


class RackKind(enum.StrEnum):
    """How a rack is run."""

    INSTALLED = "installed"
    """Set up by ``pirack init``, run by services of the system."""
    UP = "up"
    """Run by ``pirack up``."""


_ROLES = {
    RackKind.INSTALLED: frozenset(folders(Path("/etc/x"), Path("/var/x"))),
    RackKind.UP: frozenset({DATA}),
}


class RackFolders(msgspec.Struct, frozen=True):
    """The folders of one rack.

    Args:
        folders: By the name each has in the archive; the one with the passwords comes
            last, so that every user that the broker knows has one.
    """

    kind: RackKind
    folders: Mapping[str, Path]

    @property
    def config(self) -> Path | None:
        """The configuration that is its owner's; None: there is none in the folders."""
        etc = self.folders.get("etc")
        return etc / "pirack.toml" if etc else None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A folder or a file that belongs into the archive.

    Args:
        entry: What the manifest says of it; size and hash come when it is read.
        content: Open for reading, of the file; None: it is a folder.
        mtime: Unix time of its last change.
    """

    entry: Entry
    path: Path
    content: int | None
    mtime: float


class _Header(tarfile.TarInfo):
    """The header of a member; one of the sort that says more of the next is bounded."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        # Not the public frombuf(): since 3.13.4 tarfile reads headers round it.
        if self.type in _BEFORE and not 0 <= self.size <= HEADER_BYTES:
            text = f"a header has {self.size} bytes; at most {HEADER_BYTES} can be"
            raise tarfile.ReadError(text)
        found: tarfile.TarInfo | None = super()._proc_member(archive)  # type: ignore[misc]  # not in the public interface
        return found


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says first; any later format begins so too.

    Args:
        pirack: Version that wrote it.
        kind: How the rack was run: a ``RackKind``, or one of a newer release.
        created: In UTC, as ISO 8601 has it.
        folders: Where each folder was on that machine.
    """

    format: int
    pirack: str
    kind: str
    rack: str
    created: str
    hostname: str
    folders: dict[str, str]

    @property
    def words(self) -> str:
        """What it is, in words."""
        when = self.created.replace("T", " ").removesuffix("Z")
        return (
            f"rack {self.rack or 'without a name'}, backed up on {self.hostname} at "
            f"{when} UTC by PiRack {self.pirack}"
        )


class Manifest(About, frozen=True, kw_only=True):
    """All that is in an archive."""

    entries: tuple[Entry, ...]
    """Folders before what is in them."""

    @property
    def files(self) -> tuple[Entry, ...]:
        """The entries that are files."""
        return tuple(entry for entry in self.entries if entry.sha256)

    def has(self, role: str) -> bool:
        """Returns whether a folder is in it, by what it is for."""
        return any(entry.name == role for entry in self.entries)

    @property
    def size_bytes(self) -> int:
        """How much room the files take."""
        return sum(entry.size_bytes for entry in self.entries)


def write(
    source: RackFolders,
    contents: Iterable[Found],
    out: IO[bytes],
    *,
    rack: str,
    hostname: str,
    room: Path,
) -> Manifest:
    """Writes a backup.

    All is collected first, in a file without a name, so that it is as of one moment as
    nearly as can be, and nothing is left of a backup that was interrupted.

    Args:
        contents: What is in its folders; each is read before the next is asked for.
        out: Where to; need not be a file.
        room: A folder that has room for the copies.

    Raises:
        ArchiveError: A database is damaged.
        OSError: Something cannot be read or written.
    """
    entries: list[Entry] = []
    times: list[float] = []
    with tempfile.TemporaryFile(dir=room) as spool:
        for found in contents:
            size_bytes, sha256 = _collect(found, spool, room)
            entries.append(
                msgspec.structs.replace(
                    found.entry, size_bytes=size_bytes, sha256=sha256
                )
            )
            times.append(found.mtime)
        manifest = Manifest(
            format=FORMAT,
            pirack=VERSION,
            kind=source.kind.value,
            rack=rack,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            hostname=hostname,
            folders={role: str(path) for role, path in source.folders.items()},
            entries=tuple(entries),
        )
        spool.seek(0)
        _pack(manifest, times, spool, out)
    return manifest


def _collect(found: Found, spool: IO[bytes], room: Path) -> tuple[int, str]:
    """Appends a file to what is collected; returns its size and hash."""
    if found.content is None:
        return 0, ""
    if os.pread(found.content, len(SQLITE), 0) == SQLITE:
        with tempfile.TemporaryDirectory(dir=room, prefix=".pirack-backup-") as made:
            copy = Path(made) / "database"
            copy_database(found.path, copy)
            with copy.open("rb") as file:
                return _copied(file, spool)
    with os.fdopen(os.dup(found.content), "rb") as file:
        return _copied(file, spool)


def copy_database(path: Path, copy: Path) -> None:
    """Copies a database that others write, as it is between two transactions.

    Raises:
        ArchiveError: It is damaged, or somebody holds it.
        OSError: There is no room for the copy.
    """
    # Not ro: SQLite would leave a journal beside a database that is not open.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with (
            contextlib.closing(
                sqlite3.connect(uri, uri=True, timeout=_DATABASE_S)
            ) as at,
            contextlib.closing(sqlite3.connect(copy)) as to,
        ):
            at.backup(to)
            # One file, whatever is beside the other one.
            to.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = to.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise OSError(
                errno.ENOSPC, os.strerror(errno.ENOSPC), str(copy.parent.parent)
            ) from error
        verdict = str(error)
    if verdict != "ok":
        text = (
            f"{path}: cannot be copied: {verdict}. If it is damaged: the service that "
            "it belongs to puts it aside when it is started; then it is left out"
        )
        raise ArchiveError(text)


def _copied(source: IO[bytes], to: IO[bytes] | None) -> tuple[int, str]:
    """Reads a file, and copies it where asked; returns its size and hash."""
    size_bytes, digest = 0, hashlib.sha256()
    while chunk := source.read(_CHUNK):
        if to is not None:
            to.write(chunk)
        digest.update(chunk)
        size_bytes += len(chunk)
    return size_bytes, digest.hexdigest()


def _pack(
    manifest: Manifest, times: list[float], spool: IO[bytes], out: IO[bytes]
) -> None:
    """Writes the archive: the manifest, then what is collected, in its order."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        first = _header(MANIFEST, 0o600, len(text), time.time())
        tar.addfile(first, io.BytesIO(text))
        for entry, mtime in zip(manifest.entries, times, strict=True):
            header = _header(entry.name, int(entry.mode, 8), entry.size_bytes, mtime)
            header.uname, header.gname = entry.owner, entry.group
            if not entry.sha256:
                header.type = tarfile.DIRTYPE
            tar.addfile(header, spool if entry.sha256 else None)


def _header(name: str, mode: int, size_bytes: int, mtime: float) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.mode, header.size, header.mtime = mode, size_bytes, int(mtime)
    return header


def check(file: IO[bytes]) -> Manifest:
    """Reads an archive to its end and returns its manifest; nothing is written.

    Raises:
        ArchiveError: It is damaged, of a newer release, or holds what no backup does.
    """
    return read(file, lambda _: None)


def read(file: IO[bytes], keep: Callable[[Entry], IO[bytes] | None]) -> Manifest:
    """Reads an archive to its end, checking all of it again, and returns its manifest.

    Args:
        file: At any position; is read from its beginning.
        keep: Takes each entry in turn and returns where its content goes; None:
            nowhere. What it returns is closed.

    Raises:
        ArchiveError: As ``check``.
        OSError: ``keep`` cannot write.
    """
    file.seek(0)
    with _readable(), gzip.GzipFile(fileobj=file, mode="rb") as packed:
        with tarfile.open(fileobj=packed, mode="r|", tarinfo=_Header) as tar:
            manifest = _manifest(tar, tar.next())
            for entry in manifest.entries:
                _take(tar, tar.next(), entry, keep)
            surplus = tar.next()
            if surplus is not None:
                text = f"it holds {surplus.name!r}, which its manifest does not name"
                raise ArchiveError(text)
        while packed.read(_CHUNK):  # to its end, where its checksum is
            pass
    return manifest


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turns what Python says of a damaged archive into words."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        text = f"it is damaged, cut short, or not a backup of PiRack ({error})"
        raise ArchiveError(text) from error
    except (ValueError, OverflowError, RecursionError) as error:
        text = f"it is not a backup of PiRack ({error})"
        raise ArchiveError(text) from error


def _manifest(tar: tarfile.TarFile, first: tarfile.TarInfo | None) -> Manifest:
    """Returns the manifest, if it is one that a backup can have."""
    if first is None or first.name != MANIFEST or not _is_file(first):
        text = f"it is not a backup of PiRack: it does not begin with {MANIFEST}"
        raise ArchiveError(text)
    if first.size > MANIFEST_BYTES:
        text = f"its manifest has {first.size} bytes; at most {MANIFEST_BYTES} can be"
        raise ArchiveError(text)
    content = tar.extractfile(first)
    found = content.read() if content else b""
    try:
        about = msgspec.json.decode(found, type=About)
        if about.format > FORMAT:
            words = (
                f"PiRack {about.pirack} wrote it, in format {about.format}; this one "
                f"({VERSION}) reads up to {FORMAT}: install that release or a newer one"
            )
            raise ArchiveError(words)
        manifest = msgspec.json.decode(found, type=Manifest)
        check_entries(manifest)
    except msgspec.MsgspecError as error:
        words = f"its {MANIFEST} cannot be read: {error}"
        raise ArchiveError(words) from error
    return manifest


def check_entries(manifest: Manifest) -> None:
    """Refuses names and modes that no backup has; pure.

    Each entry lies in a folder that comes before it, so that none can lead elsewhere.

    Raises:
        ArchiveError: The first that is found.
    """
    try:
        roles = _ROLES[RackKind(manifest.kind)]
    except ValueError as error:
        text = f"it is of a rack of a kind that is not known: {manifest.kind!r}"
        raise ArchiveError(text) from error
    if len(manifest.entries) > MOST_ENTRIES:
        text = f"it names {len(manifest.entries)} files; at most {MOST_ENTRIES} can be"
        raise ArchiveError(text)
    seen: set[str] = set()
    kept_folders: set[str] = set()
    for entry in manifest.entries:
        path = PurePosixPath(entry.name)
        parent = "" if len(path.parts) == 1 else str(path.parent)
        wrong = ""
        if str(path) != entry.name or ".." in path.parts or path.is_absolute():
            wrong = "is not a plain path"
        elif "\0" in entry.name or not path.parts or path.parts[0] not in roles:
            wrong = f"is in none of {', '.join(sorted(roles))}"
        elif entry.name in seen:
            wrong = "is there twice"
        elif parent not in kept_folders and parent:
            wrong = "has no folder"
        elif not parent and entry.sha256:
            wrong = "is a file, and must be a folder"
        elif not re.fullmatch("[0-7]{1,4}", entry.mode) or entry.size_bytes < 0:
            wrong = "has no mode or no size"
        elif not (_is_id(entry.owner) and _is_id(entry.group)):
            wrong = "has an owner that no system has"
        if wrong:
            text = f"its manifest names {entry.name!r}, which {wrong}"
            raise ArchiveError(text)
        seen.add(entry.name)
        if not entry.sha256:
            kept_folders.add(entry.name)


def _is_id(text: str) -> bool:
    """Whether it is a name, or a number that a user or group can have."""
    return not text.isdecimal() or int(text) < MOST_IDS


def _is_file(member: tarfile.TarInfo) -> bool:
    plain = member.type in {tarfile.REGTYPE, tarfile.AREGTYPE}
    return plain and not member.issparse()


def _take(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo | None,
    entry: Entry,
    keep: Callable[[Entry], IO[bytes] | None],
) -> None:
    """Compares one member with its entry, and keeps its content."""
    if member is None or member.name != entry.name:
        found = "nothing" if member is None else repr(member.name)
        text = f"it holds {found} where its manifest names {entry.name!r}"
        raise ArchiveError(text)
    if not (_is_file(member) if entry.sha256 else member.isdir()):
        wanted = "file" if entry.sha256 else "folder"
        text = f"{entry.name!r} is not a {wanted}: it may be a link or a device"
        raise ArchiveError(text)
    if member.size != entry.size_bytes:
        text = f"{entry.name!r} has another size than its manifest says"
        raise ArchiveError(text)
    to = keep(entry) or contextlib.nullcontext()
    content = tar.extractfile(member) if entry.sha256 else None
    if content is None:
        return
    with to as out:
        size_bytes, sha256 = _copied(content, out)
    if (size_bytes, sha256) != (entry.size_bytes, entry.sha256):
        text = f"{entry.name!r} is damaged: its hash is not what the manifest says"
        raise ArchiveError(text)
