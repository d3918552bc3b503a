"""``pirack restore``: bring a rack back from one file, on this machine or another."""

import argparse
import asyncio
import contextlib
import grp
import hashlib
import os
import platform
import pwd
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from broker.common.errors import ConfigError, PiRackError
from broker.common.processes import run_once
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from broker.contract.messages import InstallStep
from master_service.rack.events import Retention
from master_service.rack.store import Store
from master_service.service import DATABASE
from node_agent.vitals import LinuxBoard
from pirack import distribution, rack_config, terminal
from pirack.backup import archive, backup, swap
from pirack.backup.archive import (
    DATA,
    ArchiveError,
    Manifest,
    RackFolders,
    RackKind,
)
from pirack.backup.swap import Note, Swap
from pirack.deploy_targets import JOURNAL
from pirack.init.rack_files import DHCP_UNIT, DROP_IN, SERVICES, UNITS
from pirack.up import data_directory
from provisioning.journal import SqliteJournal

HELP = "bring a rack back from a backup, on this machine or another"

EPILOG = """\
All of FILE is checked before anything changes: hashes, names, kinds. Then the folders
are exchanged; what was there is kept beside them as <folder>.before-<time>. Interrupted
at any moment, by `kill -9` or a power cut too, the old rack is whole, or the same
command once more completes the new one.

No outlet is switched, neither now nor at the next start: levels of relays, commands and
install runs that were under way are not taken over. What is wanted of each outlet is
kept, and said where an outlet is otherwise.

on another machine, installed as docs/install.md says, up to `pirack init` or before it
  sudo pirack restore rack.pirack --dry-run
  sudo pirack restore rack.pirack               it says what is to be done next

on the same one
  sudo systemctl stop pirack-master pirack-dashboard pirack-agent pirack-dhcp mosquitto
  sudo pirack restore rack.pirack --replace

a rack of `pirack up`
  pirack restore attic.pirack --data ~/attic

exit codes
  0 done   1 refused or failed, nothing was changed   2 wrong usage   3 configuration
"""

SYSTEMD = Path("/run/systemd/system")
SYSTEMCTL_S = 20.0
ENDED = frozenset({"inactive", "failed", "unknown"})
_KEY = re.compile(r"(?P<rack>.+)-(?P<shape>[0-9]+x[0-9]+)")
_EVERYTHING = Retention(rows=sys.maxsize >> 1, days=36_500)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack restore`` takes."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="what `pirack backup` wrote"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="put it in the place of a rack that is there, which is kept aside",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only check, and say what would happen"
    )
    backup.add_where(parser)


def run(args: argparse.Namespace) -> int:
    """Restores, prints what is next, and returns the exit code.

    Raises:
        PiRackError: The archive or this machine is not as it must be.
    """
    backup.unwind_at_signals()
    try:
        with args.file.open("rb") as file:
            return _run(file, args)
    except ArchiveError as error:
        terminal.complain(
            f"pirack restore: {args.file}: {error}. Nothing was changed.\n"
        )
        return EXIT_FAILED
    except LookupError as error:
        terminal.complain(f"pirack restore: {error}. Nothing was changed.\n")
        return EXIT_FAILED
    except OSError as error:
        terminal.complain(f"pirack restore: {terminal.reason(error)}\n")
        denied = isinstance(error, PermissionError)
        return EXIT_CONFIG if denied else EXIT_FAILED


def _run(file: IO[bytes], args: argparse.Namespace) -> int:
    manifest = archive.check(file)
    target = _target(manifest, args)
    exchange = Swap(target.folders)
    begun = exchange.pending()
    terminal.say(f"{args.file}: {manifest.words}; it is whole.")
    against = list(_against(manifest, target, exchange, args, begun=begun))
    for line in against if begun else (*_would(manifest, exchange), *against):
        terminal.say(line)
    if against:
        terminal.complain("pirack restore: refused. Nothing was changed.\n")
        return EXIT_FAILED
    if args.dry_run:
        terminal.say("A dry run: nothing was changed.")
        return EXIT_OK
    with contextlib.ExitStack() as held:
        if target.kind is RackKind.UP and exchange.folders[DATA].is_dir():
            held.enter_context(data_directory.locked(exchange.folders[DATA]))
        note = begun or held.enter_context(_unpacked(file, manifest, exchange, target))
        try:
            kept = exchange.exchange(note)
            if target.kind is RackKind.UP and os.geteuid() == 0:
                _give_away(exchange.folders[DATA], kept)
        except OSError as error:
            text = f"{terminal.reason(error)}; stopped in the middle: once that can be "
            raise PiRackError(text + "done, the same command completes it") from error
        except KeyboardInterrupt as error:
            text = "stopped in the middle: the same command completes it"
            raise PiRackError(text) from error
    return _done(note, manifest, target, kept)


def _give_away(data: Path, kept: tuple[Path, ...]) -> None:
    """Gives what root restored to the user whose rack it is.

    Args:
        data: The data directory.
        kept: What was there; without it the owner of the folder above is meant.
    """
    owner = (*kept, data.parent)[0].stat()
    for path in (data, *data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _target(manifest: Manifest, args: argparse.Namespace) -> RackFolders:
    """Returns where the rack belongs on this machine; the archive has no say in it.

    Raises:
        ConfigError: The options are for the other kind of rack.
    """
    if manifest.kind == RackKind.UP:
        return backup.of_up(args)
    if args.data is not None:
        text = f"{args.file} is of a rack of `pirack init`; leave out --data"
        raise ConfigError(text)
    return backup.installed(args)


def _would(manifest: Manifest, exchange: Swap) -> Iterator[str]:
    """Returns what a restore does, folder by folder."""
    for role, folder in exchange.folders.items():
        count = sum(one.name.startswith(f"{role}/") for one in manifest.files)
        what = f"{count} file{'' if count == 1 else 's'}"
        if not manifest.has(role):
            what = "is not in the backup"
        there = _holds_something(role, folder)
        tail = f"; what is there is kept as {folder.name}.before-<time>"
        yield f"  {folder}: {what}{tail if there else ''}"


def _holds_something(role: str, folder: Path) -> bool:
    return folder.is_dir() and not backup.is_bare(role, folder)


def _against(
    manifest: Manifest,
    target: RackFolders,
    exchange: Swap,
    args: argparse.Namespace,
    *,
    begun: Note | None,
) -> Iterator[str]:
    """Returns what stands against it, each with the way out."""
    yield from _running(target, exchange)
    if begun is not None:
        return
    if target.kind is RackKind.INSTALLED and os.geteuid() == 0:
        yield from _missing_users(manifest)
    there = [
        str(folder)
        for role, folder in exchange.folders.items()
        if _holds_something(role, folder)
    ]
    if there and not args.replace:
        yield (
            f"there is a rack here already ({', '.join(there)}): --replace puts the "
            "backup in its place, and keeps it aside"
        )
    yield from _bad_places(manifest, exchange)


def _missing_users(manifest: Manifest) -> Iterator[str]:
    users = {one.pw_name for one in pwd.getpwall()}
    groups = {one.gr_name for one in grp.getgrall()}
    missing = {entry.owner for entry in manifest.entries} - users
    missing |= {entry.group for entry in manifest.entries} - groups
    missing = {name for name in missing if not name.isdecimal()}
    ours = f"sh {distribution.deploy_directory()}/master/install"
    for way_out, names in (
        ("apt-get install mosquitto", missing & {"mosquitto"}),
        (ours, missing - {"mosquitto"}),
    ):
        if names:
            listed = ", ".join(sorted(names))
            yield f"users or groups that are not here: {listed}; do: sudo {way_out}"


def _bad_places(manifest: Manifest, exchange: Swap) -> Iterator[str]:
    data = exchange.folders.get(DATA)
    for folder in exchange.folders.values():
        if folder.is_dir() and folder.is_mount():
            yield f"{folder} is a disk of its own and cannot be exchanged; unmount it"
        if folder.exists() and not folder.is_dir():
            yield f"{folder} is not a directory"
    other = data is not None and not (data / "racks").is_dir()
    if data is not None and other and _holds_something(DATA, data):
        yield f"{data} holds other things; name another directory with --data DIR"
    parent = next(iter(exchange.folders.values())).parent
    if not parent.is_dir():
        yield f"there is no directory {parent}"
    elif shutil.disk_usage(parent).free < manifest.size_bytes:
        yield f"{parent} has no room: {manifest.size_bytes / 1e6:.1f} MB are needed"


def _running(target: RackFolders, exchange: Swap) -> Iterator[str]:
    """Returns what uses the folders now, and how it is stopped."""
    if target.kind is RackKind.UP:
        data = exchange.folders[DATA]
        if (data / data_directory.LOCK_FILE).exists():
            try:
                with data_directory.locked(data):
                    pass
            except ConfigError as error:
                yield str(error)
        return
    units: tuple[str, ...] = ()
    if target.folders["etc"] == rack_config.PRODUCTION.parent and SYSTEMD.is_dir():
        units = asyncio.run(_active())
    if units:
        names = ", ".join(units)
        yield (
            f"running: {names}. Stop first, which moves no relay: "
            f"sudo systemctl stop {' '.join(units)}"
        )
        return
    yield from _open_files(exchange)


async def _active() -> tuple[str, ...]:
    """Returns the services of the rack that run, or are about to.

    Raises:
        ConfigError: systemd does not say.
    """
    units = [*SERVICES, DHCP_UNIT.removesuffix(".service")]
    if (UNITS / DROP_IN).exists():  # else it is not the rack's, but Debian's own
        units.append("mosquitto")
    done = await run_once(["systemctl", "is-active", *units], SYSTEMCTL_S)
    states = done.stdout.split()
    if len(states) != len(units):
        why = done.error or done.stderr.strip() or done.stdout.strip()
        text = f"systemctl does not say whether {', '.join(units)} run: {why}"
        raise ConfigError(text)
    return tuple(
        unit for unit, state in zip(units, states, strict=True) if state not in ENDED
    )


def _open_files(exchange: Swap) -> Iterator[str]:
    """Returns which programs use the folders, services or not, as far as we may see."""
    tops = tuple(f"{folder}/" for folder in exchange.folders.values())
    for process in sorted(Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError):  # another user's, or it has just ended
            opened = map(_leads_to, (process / "fd").iterdir())
            used = sorted(one for one in opened if one.startswith(tops))
            if used and process.name != str(os.getpid()):
                name = (process / "comm").read_text().strip()
                yield f"{name} (process {process.name}) uses {used[0]}; stop it first"


def _leads_to(link: Path) -> str:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return ""


@contextlib.contextmanager
def _unpacked(
    file: IO[bytes], manifest: Manifest, exchange: Swap, target: RackFolders
) -> Iterator[Note]:
    """Unpacks beside the folders, and makes it fit for another machine's relays.

    Raises:
        PiRackError: The archive is not what it was, or a newer release's.
        LookupError: A user is not there.
        OSError: There is no room.
    """
    exchange.clear()
    with swap.cleared(exchange), contextlib.ExitStack() as held:
        again = exchange.unpack(file)
        if again != manifest:
            text = "it was changed while it was read"
            raise ArchiveError(text)
        roles = tuple(filter(manifest.has, exchange.folders))
        for role in roles:
            _detach(exchange.staged(role), manifest)
        owners = target.kind is RackKind.INSTALLED and os.geteuid() == 0
        exchange.hand_over(manifest, owners=owners)
        if target.kind is RackKind.UP:
            held.enter_context(data_directory.locked(exchange.staged(DATA)))
        yield Note(
            archive=_digest(manifest),
            words=manifest.words,
            stamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            folders=roles,
            removed=tuple(
                role
                for role, folder in exchange.folders.items()
                if role not in roles and _holds_something(role, folder)
            ),
        )


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()


def _detach(folder: Path, manifest: Manifest) -> None:
    """Removes from databases what is true of the other machine's relays alone.

    Raises:
        ArchiveError: A newer release wrote one, or it is damaged.
    """
    text = (
        f"restored: {manifest.words}; no outlet is switched for that, and what was "
        "under way is not continued"
    )
    try:
        for path in sorted(folder.rglob(DATABASE)):
            asyncio.run(_detach_master(path, text))
        for path in sorted(folder.rglob(JOURNAL)):
            asyncio.run(_end_run(path))
    except (PiRackError, sqlite3.Error) as error:
        words = f"a database in it cannot be used here: {error}"
        raise ArchiveError(words) from error


async def _detach_master(path: Path, text: str) -> None:
    store = Store(path, retention=_EVERYTHING)
    try:
        saved = await store.open()
        if saved.problem:
            raise ArchiveError(saved.problem)
        await store.detach(saved, text)
    finally:
        await store.close()


async def _end_run(path: Path) -> None:
    """Ends an install run that was under way: it would go on, and switch."""
    journal = SqliteJournal(path)
    journal.open()
    try:
        found = journal.last()
        if found is not None and not found.over:
            text = "ended by the restore of a backup; outlets stay as they are"
            ended = found.with_(
                step=InstallStep.FAILED, problems=(*found.problems, text)
            )
            await journal.save(ended)
    finally:
        journal.close()


def _done(
    note: Note, manifest: Manifest, target: RackFolders, kept: tuple[Path, ...]
) -> int:
    """Prints what was done and what is next; returns the exit code."""
    terminal.say("")
    terminal.say(f"Restored: {note.words}.")
    for path in kept:
        terminal.say(f"kept  {path}  (what was there; it has secrets: remove it later)")
    if note.archive != _digest(manifest):
        terminal.complain(
            "That was the restore that had been interrupted, of another file than this "
            "one; this one was not restored. For it, the same command once more.\n"
        )
        return EXIT_FAILED
    terminal.say("")
    lines = _next_up(target) if target.kind is RackKind.UP else _next(manifest, target)
    for line in lines:
        terminal.say(line)
    return EXIT_OK


def _next_up(target: RackFolders) -> Iterator[str]:
    data = target.folders[DATA]
    yield "Next, with the options that it had:"
    for one in sorted(data.glob("racks/*")):
        match = _KEY.fullmatch(one.name)
        shape = f" --simulate {match['shape']}" if match else " --simulate 0"
        rack = match["rack"] if match else one.name
        yield f"  pirack up --data {data} --rack {rack}{shape}"


def _next(manifest: Manifest, target: RackFolders) -> Iterator[str]:
    """Returns what a person must do so that the rack runs here."""
    config = target.folders["etc"] / "pirack.toml"
    if manifest.hostname != platform.node():
        yield (
            f"Before you start it: {manifest.hostname} must not run this rack any "
            "more. Two masters of one rack would both command it."
        )
        yield ""
    try:
        known = rack_config.read_access(config)
    except PiRackError as error:
        yield f"Look at the configuration: {error}"
        return
    plugin = _plugin(target.folders["etc"] / "mosquitto.conf")
    if plugin and not Path(plugin).exists():
        yield (
            f"mosquitto.conf of the backup names {plugin}, which is not here: remove "
            f"{target.folders['etc'] / 'mosquitto.conf'}, `pirack init` makes it."
        )
        yield ""
    init = f"sudo pirack init --rack {known.topics.rack}"
    own = LinuxBoard().facts().addresses
    if _is_here(known.host, own):
        yield "Next: what is missing, and the lines that start the services:"
        yield f"  {init} --name {known.host}"
        yield "Agents need nothing: authority, users and passwords are as they were."
        return
    here = next(iter(own), "<this machine's address>")
    yield (
        f"Agents look for the broker at {known.host}:{known.port}, and this machine is "
        f"{', '.join(own) or 'without an address'}. Authority, users and passwords are "
        "as they were, so either"
    )
    yield f"  let {known.host} be this machine (its address, or where the name leads):"
    yield f"    {init} --name {known.host}"
    yield "  which needs nothing on the boards; or move the rack to its address:"
    yield f'    in {config}, under [enrol]:  host = "{here}"'
    yield f"    {init} --name {here}"
    yield "    and a new bundle for each board: `pirack deploy`, or `pirack node add`"
    yield "Then paste the lines that `pirack init` prints: they start the services."


def _plugin(config: Path) -> str:
    with contextlib.suppress(OSError):
        for line in config.read_text(encoding="utf-8").splitlines():
            if line.startswith("plugin "):
                return line.partition(" ")[2].strip()
    return ""


def _is_here(host: str, addresses: tuple[str, ...]) -> bool:
    """Whether nodes that look for a host find this machine."""
    short = platform.node().partition(".")[0].lower()
    return host in {*addresses, short, f"{short}.local", platform.node().lower()}
