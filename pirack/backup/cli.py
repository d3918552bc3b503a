"""``pirack backup``: all that makes up a rack, in one file."""

import argparse
import contextlib
import os
import platform
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from broker.common.errors import ConfigError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from pirack import rack_config, runfile, terminal
from pirack.backup import archive, contents
from pirack.backup.archive import Manifest
from pirack.backup.contents import DATA, Kind, Source
from pirack.init.rack_files import folders

HELP = "write all that makes up a rack into one file"

EPILOG = """\
It works while everything runs, and changes nothing. In the file are configuration,
certificates with the authority's key, every password, the users of the broker and of
the page, names, places, tags, wanted power, history, and what install runs found.
ANYONE WHO HAS THE FILE HAS THE RACK: its mode is 0600; keep it as you keep a password.

Left out: what is written again at each start, locks, logs, what the broker retained
(whoever published it does so again), the levels of this machine's relays, and what
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


def installed(args: argparse.Namespace) -> Source:
    """Returns the folders of a rack of ``pirack init``."""
    found = folders(args.etc.absolute(), args.state.absolute())
    return Source(Kind.INSTALLED, found)


def of_up(args: argparse.Namespace) -> Source:
    """Returns the folder of a rack of ``pirack up``."""
    data = runfile.data_directory(args.data).absolute()
    return Source(Kind.UP, {DATA: data})


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
    contents.require(source)
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
    """Lets what ends this process, a lost terminal too, remove first what is half done.

    What is half done are secrets; who runs it under ``nohup`` has said what to ignore.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _write(source: Source, args: argparse.Namespace) -> tuple[Manifest, list[str]]:
    """Returns what was written, and what the person should know beside it."""
    apart = "not in it, keep it yourself: "
    notes = [apart + one for one in contents.links(source)]
    rack = ""
    try:
        rack = contents.rack_name(source)
        notes += [apart + one for one in contents.elsewhere(source)]
    except ConfigError as error:
        notes.append(f"kept as it is, although it cannot be read: {error}")
    with _opened(args.file, source, replace=args.replace) as (out, room):
        manifest = archive.write(source, rack, platform.node(), out, room)
        if args.file != STDOUT and os.fstat(out.fileno()).st_mode & PRIVATE:
            notes.append(
                f"ATTENTION: the disk of {args.file} keeps no modes: whoever "
                "can read the disk can read the file"
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
def _opened(
    file: str, source: Source, *, replace: bool
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


def _require_free(path: Path, source: Source, *, replace: bool) -> None:
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
