"""What a backup holds: the folders of a rack, and the files that are left out of it.

Everything below the folders is kept, an owner's own files too, but for what is listed
here: what is written again at each start, and what is true of this machine alone.
"""

import contextlib
import enum
import fnmatch
import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from broker.common.config import RackSettings, load
from broker.common.errors import ConfigError
from broker.common.service import TABLES
from broker.mosquitto.dynsec import FILE_NAME
from master_service.power import rack_outlets
from master_service.power.rack_outlets import FAKE_FILE, LEVELS_FILE
from pirack import rack_config, runfile
from pirack.init.rack_files import BROKER_CONFIG
from pirack.up import client_tools, data_directory, part_config

DATA = "data"
"""The one folder of a rack of ``pirack up``."""
STAYS = FAKE_FILE
"""Stands for the relays of a machine: a restored rack finds those that are there."""

_AT_EACH_START = "is written again at each start"
_DAMAGED = "was damaged and put aside"
_OF_THIS_MACHINE = "is the level of this machine's relays"
LEFT_OUT: tuple[tuple[str, str], ...] = (
    (f"{DATA}/{runfile.RUN_FILE}", "is there only while the rack runs"),
    (f"{DATA}/{data_directory.LOCK_FILE}", "is a lock"),
    (f"*/{rack_outlets.LOCK_FILE}", "is a lock"),
    (f"*/{LEVELS_FILE}", _OF_THIS_MACHINE),
    (f"*/{FAKE_FILE}", _OF_THIS_MACHINE),
    (f"{DATA}/{client_tools.DIRECTORY}/*", _AT_EACH_START),
    (f"{DATA}/etc/*", _AT_EACH_START),
    (f"{DATA}/racks/*/broker/mosquitto.conf", _AT_EACH_START),
    (f"*/{FILE_NAME}.new", "is being written by Mosquitto, which then renames it"),
    ("*/mosquitto.db*", "is what the broker retained; its owners publish it again"),
    ("*/secrets/bundles/*", "is made again by `pirack node add`"),
    ("*.broken", _DAMAGED),
    ("*.broken-*", _DAMAGED),
    ("*/server.pid", "is of a process that runs"),
    ("*/server.log", "is a log"),
    ("*/server.log.old", "is a log"),
)
"""Patterns of names in the archive, and why each is left out."""
NOT_LEFT_OUT = f"{DATA}/etc/{part_config.AGENT}.toml"
"""Of earlier releases alone it has the id of this machine."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
"""How ``broker.common.atomic.replace`` calls a file that is not whole yet."""
_OF_SQLITE = ("-wal", "-shm", "-journal")
_OF_THE_SYSTEM = tuple(map(Path, ("/usr", "/bin", "/sbin", "/run", "/dev", "/sys")))
SQLITE = b"SQLite format 3\0"
"""How a database begins."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Kind(enum.StrEnum):
    """How a rack is run."""

    INSTALLED = "installed"
    """Set up by ``pirack init``, run by services of the system."""
    UP = "up"
    """Run by ``pirack up``."""


class Source(msgspec.Struct, frozen=True):
    """The folders of one rack.

    Args:
        kind: How it is run.
        folders: By the name each has in the archive; what passwords stand in comes
            last, so that whoever is in the broker's users has one.
    """

    kind: Kind
    folders: Mapping[str, Path]

    @property
    def config(self) -> Path | None:
        """The configuration that is its owner's; None: there is none in the folders."""
        etc = self.folders.get("etc")
        return etc / "pirack.toml" if etc else None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A folder or a file that belongs into the archive.

    Args:
        name: In the archive.
        path: Here.
        mode: Permission bits.
        owner: Name of the user, or a number that has none.
        group: The group of the same.
        content: Open for reading, of the file; None: it is a folder.
        mtime: Unix time of its last change, seconds.
    """

    name: str
    path: Path
    mode: int
    owner: str
    group: str
    content: int | None = None
    mtime: float = 0.0


def left_out(name: str) -> str:
    """Returns why a file is left out of a backup; empty: it is in it.

    Args:
        name: In the archive.
    """
    if name == NOT_LEFT_OUT:
        return ""
    if _TEMPORARY.fullmatch(name.rpartition("/")[2]):
        return "is not whole yet"
    return next((why for like, why in LEFT_OUT if fnmatch.fnmatch(name, like)), "")


def walk(source: Source) -> Iterator[Found]:
    """Returns what belongs into the archive, folders before what is in them.

    No link is followed, and a file is closed once the next is asked for.

    Raises:
        ConfigError: A file has a name that cannot be kept.
        OSError: Something cannot be read.
    """
    for role, folder in source.folders.items():
        top = folder.resolve()  # where /var/lib/… is, its owner may decide by a link
        if not top.is_dir():
            continue  # of a service that has never run
        for where, folders, files, handle in os.fwalk(top, onerror=_raise):
            folders.sort()
            inside = Path(where).relative_to(top).as_posix()
            name = role if inside == "." else f"{role}/{inside}"
            _require_text(Path(where), (*folders, *files))
            if _is_left_out_whole(name):
                folders.clear()
                continue
            yield _found(name, Path(where), os.fstat(handle))
            for file in sorted(files):
                is_kept = not left_out(f"{name}/{file}")
                if is_kept and not _is_of_sqlite(file, files, handle):
                    yield from _opened(name, Path(where), file, handle)


def _is_left_out_whole(folder: str) -> bool:
    """Whether a folder is left out with all that is in it."""
    return bool(left_out(f"{folder}/")) and not NOT_LEFT_OUT.startswith(f"{folder}/")


def links(source: Source) -> Iterator[str]:
    """Returns the links in the folders, and where each leads: no backup follows one."""
    for role, folder in source.folders.items():
        top = folder.resolve()
        for where, folders, files in os.walk(top):
            inside = Path(where).relative_to(top).as_posix()
            name = role if inside == "." else f"{role}/{inside}"
            if _is_left_out_whole(name):
                folders.clear()
                continue
            for path in (Path(where) / one for one in sorted((*folders, *files))):
                if path.is_symlink() and not left_out(f"{name}/{path.name}"):
                    yield f"{path}, which is a link to {path.readlink()}"


def _require_text(where: Path, names: tuple[str, ...]) -> None:
    """Sees that names can be written down.

    Raises:
        ConfigError: One is not UTF-8.
    """
    for name in names:
        if not name.isprintable():  # what cannot be decoded is not
            text = f"{where}: the file name {name!r} cannot be kept; rename the file"
            raise ConfigError(text)


def _raise(error: OSError) -> None:
    """Takes what cannot be read as an error; a folder that is not there is none."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_of_sqlite(file: str, files: list[str], handle: int) -> bool:
    """Whether SQLite keeps it beside a database; what is in it is in the copy too."""
    names = (file.removesuffix(end) for end in _OF_SQLITE if file.endswith(end))
    return any(name in files and _is_database(name, handle) for name in names)


def _is_database(file: str, handle: int) -> bool:
    with contextlib.suppress(OSError):
        found = os.open(file, _READ, dir_fd=handle)
        try:
            return SQLITE.startswith(os.read(found, len(SQLITE)))  # or it is empty yet
        finally:
            os.close(found)
    return False


def _opened(name: str, where: Path, file: str, handle: int) -> Iterator[Found]:
    """Returns a file, open; nothing for a link, a socket, or one that has just gone."""
    try:
        if not stat.S_ISREG(os.lstat(file, dir_fd=handle).st_mode):
            return
        content = os.open(file, _READ, dir_fd=handle)
    except FileNotFoundError:
        return
    except OSError as error:
        error.filename = str(where / file)
        raise
    try:
        status = os.fstat(content)
        if stat.S_ISREG(status.st_mode):
            yield _found(f"{name}/{file}", where / file, status, content)
    finally:
        os.close(content)


def _found(
    name: str, path: Path, status: os.stat_result, content: int | None = None
) -> Found:
    owner, group = str(status.st_uid), str(status.st_gid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(status.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    return Found(
        name=name,
        path=path,
        mode=stat.S_IMODE(status.st_mode),
        owner=owner,
        group=group,
        content=content,
        mtime=status.st_mtime,
    )


def is_bare(role: str, folder: Path) -> bool:
    """Returns whether a folder holds nothing that a restore would take away.

    Empty files and folders count for nothing: a fresh installation makes them. What was
    put aside for a person to look at is something, although no backup has it.
    """
    names = (
        (Path(where) / file, f"{role}/{(Path(where) / file).relative_to(folder)}")
        for where, _, files in os.walk(folder, onerror=_raise)
        for file in files
    )
    return not any(
        path.lstat().st_size and left_out(name) in {"", _DAMAGED}
        for path, name in names
    )


def rack_name(source: Source) -> str:
    """Returns what the rack is called; empty where nothing says it.

    Raises:
        ConfigError: The configuration cannot be read.
    """
    if source.config is not None:
        return load(source.config).table("rack", RackSettings).name
    running = runfile.read(source.folders[DATA])
    if running is not None:
        return running.rack
    return ", ".join(sorted(one.name for one in source.folders[DATA].glob("racks/*")))


def elsewhere(source: Source) -> Iterator[str]:
    """Returns the files that belong to the rack and that its folders do not hold.

    Raises:
        ConfigError: The configuration cannot be read.
    """
    if source.config is None:
        running = runfile.read(source.folders[DATA])
        if running is not None and running.config:
            yield f"{running.config}, which the rack was started with"
        return
    ours = source.config.with_name("mosquitto.conf")
    theirs = BROKER_CONFIG if source.config == rack_config.PRODUCTION else ours
    with contextlib.suppress(FileNotFoundError):
        if theirs.read_bytes() != ours.read_bytes():
            yield f"{theirs}, which is not a copy of {ours} any more"
    document = load(source.config)
    document.require_known(TABLES)
    inside = [folder.resolve() for folder in source.folders.values()]
    for text in sorted(set(_texts(document.tables))):
        path = Path(text)
        known = any(map(path.is_relative_to, (*inside, *_OF_THE_SYSTEM)))
        with contextlib.suppress(OSError):  # a text that is no path may be too long
            if path.is_absolute() and not known and path.is_file():
                yield f"{path}, which {source.config} names"


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  # whatever TOML can say
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def require(source: Source) -> None:
    """Sees that there is a rack.

    Raises:
        ConfigError: There is none.
    """
    config = source.config
    if config is not None and not config.exists():
        text = f"no rack here: there is no {config}; `pirack init` sets one up"
        raise ConfigError(text)
    data = source.folders.get(DATA)
    if data is not None and not (data / "racks").is_dir():
        text = f"no rack here: {data} is not a data directory of `pirack up`"
        raise ConfigError(text)
