"""``pirack backup``: all that makes up a rack, in one file.

Everything below the rack's folders is kept, an owner's own files too, but for what
``LEFT_OUT`` names: it is written again at each start, or true of this machine alone.
"""

import argparse
import contextlib
import fnmatch
import grp
import os
import platform
import pwd
import re
import secrets
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from broker.common.config import RackSettings, load
from broker.common.errors import ConfigError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, TABLES
from broker.mosquitto.dynsec import FILE_NAME
from master_service.power import rack_outlets
from master_service.power.rack_outlets import FAKE_FILE, LEVELS_FILE
from pirack import rack_config, runfile, terminal
from pirack.backup import archive
from pirack.backup.archive import (
    DATA,
    SQLITE,
    Entry,
    Found,
    Manifest,
    RackFolders,
    RackKind,
)
from pirack.init.rack_files import BROKER_CONFIG, folders
from pirack.up import client_tools, data_directory, part_config

HELP = "write all that makes up a rack into one file"

EPILOG = """\
It works while everything runs, and changes nothing. In the file are configuration,
certificates with the authority's key, every password, the users of the broker and of
the page, names, places, tags, wanted power, history, and what install runs found.
ANYONE WHO HAS THE FILE HAS THE RACK: its mode is 0600; keep it as you keep a password.

Left out: what is written again at each start, locks, logs, what the broker retained
(its owners publish it again), the levels of this machine's relays, and what
links lead to, which are named.

examples
  sudo pirack backup /media/usb/rack.pirack     a rack of `pirack init`
  pirack backup attic.pirack --data ~/attic     a rack of `pirack up`
  sudo pirack backup - | ssh me@nas 'umask 077; cat >rack.pirack'
  tar -xzOf rack.pirack manifest.json           what is in it

`pirack restore FILE` brings it back, on this machine or another.

exit codes
  0 done   1 it could not be written   2 wrong usage   3 there is no rack, no right
"""

STDOUT = "-"
PRIVATE = 0o077
"""Permission bits of others."""
VAR_TMP = Path("/var/tmp")  # noqa: S108  # files without a name are made there
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
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack backup`` takes."""
    parser.add_argument("file", metavar="FILE", help="where to; - for standard output")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="write FILE although it is there; until the end the old one stays",
    )
    add_where(parser)


def add_where(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which rack is meant."""
    group = parser.add_argument_group("which rack")
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="that of `pirack up` in this directory (default: that of `pirack init`, "
        "else $PIRACK_DATA, or .pirack)",
    )
    group.add_argument(
        "--etc",
        type=Path,
        default=rack_config.PRODUCTION.parent,
        metavar="DIR",
        help=f"as for `pirack init` (default: {rack_config.PRODUCTION.parent})",
    )
    group.add_argument(
        "--state",
        type=Path,
        default=Path("/var/lib/pirack"),
        metavar="DIR",
        help="as for `pirack init` (default: /var/lib/pirack)",
    )


def installed(args: argparse.Namespace) -> RackFolders:
    """Returns the folders of a rack of ``pirack init``."""
    found = folders(args.etc.absolute(), args.state.absolute())
    return RackFolders(RackKind.INSTALLED, found)


def of_up(args: argparse.Namespace) -> RackFolders:
    """Returns the folder of a rack of ``pirack up``."""
    data = runfile.data_directory(args.data).absolute()
    return RackFolders(RackKind.UP, {DATA: data})


def run(args: argparse.Namespace) -> int:
    """Writes the backup, prints what it is, and returns the exit code.

    Raises:
        ConfigError: There is no rack, or FILE may not be written.
    """
    unwind_at_signals()
    source = installed(args)
    if args.data is not None or not (args.etc / "pirack.toml").exists():
        up = of_up(args)
        source = up if args.data is not None or up.folders[DATA].exists() else source
    require(source)
    try:
        manifest, notes = _write(source, args)
    except OSError as error:
        terminal.complain(f"pirack backup: {terminal.reason(error)}\n")
        denied = isinstance(error, PermissionError)
        return EXIT_CONFIG if denied else EXIT_FAILED
    for line in (*told(args.file, manifest), *notes):
        terminal.complain(f"{line}\n")
    return EXIT_OK


def unwind_at_signals() -> None:
    """Makes signals that end this process, SIGHUP too, remove what is half done.

    What is half done are secrets; who runs it under ``nohup`` has said what to ignore.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _write(source: RackFolders, args: argparse.Namespace) -> tuple[Manifest, list[str]]:
    """Returns what was written, and what the person should know beside it."""
    apart = "not in it, keep it yourself: "
    notes = [apart + one for one in links(source)]
    rack = ""
    try:
        rack = rack_name(source)
        notes += [apart + one for one in elsewhere(source)]
    except ConfigError as error:
        notes.append(f"kept as it is, although it cannot be read: {error}")
    with _output(args.file, source, replace=args.replace) as (out, room):
        manifest = archive.write(
            source, walk(source), out, rack=rack, hostname=platform.node(), room=room
        )
        if args.file != STDOUT and os.fstat(out.fileno()).st_mode & PRIVATE:
            notes.append(
                f"ATTENTION: the disk of {args.file} keeps no modes: everyone "
                "who can read the disk can read the file"
            )
    return manifest, notes


def told(file: str, manifest: Manifest) -> Iterator[str]:
    """Returns what the person is told."""
    where = "standard output" if file == STDOUT else file
    size = manifest.size_bytes / 1e6
    yield (
        f"{where}: {manifest.words}: {len(manifest.files)} files, {size:.1f} MB "
        "before they were packed"
    )
    yield (
        "IT IS SECRET: every password of the rack is in it, and the key of its "
        "certificate authority. Keep it as you keep a password."
    )


@contextlib.contextmanager
def _output(
    file: str, source: RackFolders, *, replace: bool
) -> Iterator[tuple[IO[bytes], Path]]:
    """Returns where to write, and a folder for copies; a file is there at the end only.

    Raises:
        ConfigError: It is there already, or may not be there.
    """
    if file == STDOUT:
        if sys.stdout.isatty():
            text = "standard output is a terminal; send it to a file or a program"
            raise ConfigError(text)
        yield sys.stdout.buffer, VAR_TMP
        sys.stdout.buffer.flush()
        return
    path = Path(file).absolute()
    _require_free(path, source, replace=replace)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(new, flags, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out, path.parent
            out.flush()
            os.fsync(out.fileno())
        _require_free(path, source, replace=replace)  # somebody may have been quicker
        new.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise


def _require_free(path: Path, source: RackFolders, *, replace: bool) -> None:
    if not path.parent.is_dir():
        text = f"{path}: there is no directory {path.parent}"
        raise ConfigError(text)
    if any(
        map(path.resolve().is_relative_to, map(Path.resolve, source.folders.values()))
    ):
        text = f"{path} is in a folder that is backed up; write it somewhere else"
        raise ConfigError(text)
    if path.is_dir() or (path.exists() and not path.is_file()):
        text = f"{path} is not a file; name a file to write"
        raise ConfigError(text)
    if path.exists() and not replace:
        text = f"{path} is there already; --replace overwrites it"
        raise ConfigError(text)


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


def walk(source: RackFolders) -> Iterator[Found]:
    """Returns what belongs into the archive, folders before what is in them.

    No link is followed, and a file is closed once the next is asked for.

    Raises:
        ConfigError: A file has a name that cannot be kept.
        OSError: Something cannot be read.
    """
    for name, where, inside, files, handle in _kept_folders(source):
        _require_text(where, (*inside, *files))
        yield _found(name, where, os.fstat(handle))
        for file in sorted(files):
            is_kept = not left_out(f"{name}/{file}")
            if is_kept and not _is_of_sqlite(file, files, handle):
                yield from _opened_file(name, where, file, handle)


def links(source: RackFolders) -> Iterator[str]:
    """Returns the links in the folders, and where each leads: no backup follows one."""
    for name, where, inside, files, _ in _kept_folders(source):
        for path in (where / one for one in sorted((*inside, *files))):
            if path.is_symlink() and not left_out(f"{name}/{path.name}"):
                yield f"{path}, which is a link to {path.readlink()}"


def _kept_folders(
    source: RackFolders,
) -> Iterator[tuple[str, Path, list[str], list[str], int]]:
    """Returns each folder that is not left out whole, with what is in it.

    That is its name in the archive, where it is, the names of folders and of files in
    it, and a handle of it.
    """
    for role, folder in source.folders.items():
        top = folder.resolve()  # where /var/lib/… is, its owner may decide by a link
        if not top.is_dir():
            continue  # of a service that has never run
        for where, inside, files, handle in os.fwalk(top, onerror=_raise):
            inside.sort()
            name = Path(role, Path(where).relative_to(top)).as_posix()
            if left_out(f"{name}/") and not NOT_LEFT_OUT.startswith(f"{name}/"):
                inside.clear()
            else:
                yield name, Path(where), inside, files, handle


def _require_text(where: Path, names: tuple[str, ...]) -> None:
    """Checks that names can be written down.

    Raises:
        ConfigError: One is not UTF-8.
    """
    for name in names:
        if not name.isprintable():  # what cannot be decoded is not
            text = f"{where}: the file name {name!r} cannot be kept; rename the file"
            raise ConfigError(text)


def _raise(error: OSError) -> None:
    """Raises what cannot be read; a folder that is gone is no error."""
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


def _opened_file(name: str, where: Path, file: str, handle: int) -> Iterator[Found]:
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
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    entry = Entry(name=name, owner=owner, group=group, mode=mode)
    return Found(entry=entry, path=path, content=content, mtime=status.st_mtime)


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


def rack_name(source: RackFolders) -> str:
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


def elsewhere(source: RackFolders) -> Iterator[str]:
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


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  # any TOML value
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def require(source: RackFolders) -> None:
    """Checks that there is a rack.

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
