"""``pirack deploy``: bring the agent to boards over SSH."""

import argparse
import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Protocol, Self

from broker import credentials
from broker.errors import ConfigError, LinkError
from broker.service import EXIT_CONFIG, EXIT_FAILED, EXIT_NO_BROKER, EXIT_OK
from pirack import house
from pirack.deployment import show, targets
from pirack.deployment.ear import Ear
from pirack.deployment.packer import HousePacker
from pirack.deployment.place_them import place_them
from pirack.deployment.places import folder, places
from pirack.house import House
from pirack.node.cli import add_where
from provisioning.deploy.deployer import Deployer
from provisioning.deploy.host_keys import FILE_NAME, HostKeys
from provisioning.deploy.target import SSH_PORT, Report, Target
from provisioning.deploy.visit import Means, Pace

HELP = "bring the agent to boards over SSH, and wait until each has spoken"

EPILOG = """\
examples
  pirack deploy 192.168.23.11 192.168.23.12      boards at these addresses
  pirack deploy s03n2 --user admin --key ~/.ssh/id_ed25519
  pirack deploy --stack 3                        all of one stack
  pirack deploy --all --dry-run                  look, say what would be done
  pirack deploy --all                            again is the way to upgrade
  pirack deploy --print-key                      for authorized_keys of the boards
  pirack deploy --forget-key s01n2               a new card has a new host key

Each board gets a password and a role of its own on the broker, as by `pirack node add`,
the package that runs here, its configuration and its service. What is there already
stays, so again is fine: a board that has all of it is left alone and only heard. Names
are those of an install run (s03n2) and of the rack; anything else is an address.

A board's host key is kept at first sight; one that changes is refused. The boards need
Raspberry Pi OS 12 or newer, our key for a user who may use sudo without a password, and
a package index, or --wheelhouse: docs/provisioning.md.

exit codes
  0 each has spoken   1 not all have   2 wrong usage   3 configuration, files
  4 the broker cannot be used
"""

MOST_PARALLEL = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``pirack deploy`` takes."""
    which = parser.add_argument_group("which boards")
    which.add_argument(
        "board", nargs="*", help="name, id, or address (host, host:port)"
    )
    which.add_argument("--all", action="store_true", help="all that are known")
    which.add_argument("--stack", type=int, metavar="N", help="those of one stack")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--parallel",
        type=_count,
        default=Pace().parallel,
        metavar="N",
        help="boards at the same time (default: 4)",
    )
    how.add_argument("--user", default="pi", help="who we are there (default: pi)")
    how.add_argument(
        "--key", type=Path, metavar="FILE", help="private key (default: our own)"
    )
    how.add_argument(
        "--ssh-port", type=int, default=SSH_PORT, metavar="N", help="default: 22"
    )
    how.add_argument(
        "--wheel", type=Path, metavar="FILE", help="package (default: what runs here)"
    )
    how.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="DIR",
        help="wheels of paho-mqtt, psutil and msgspec for boards without internet",
    )
    how.add_argument(
        "--deadline",
        type=float,
        default=Pace().deadline_s,
        metavar="SECONDS",
        help="for one attempt at one board; there are two (default: 120)",
    )
    how.add_argument(
        "--dry-run", action="store_true", help="look at the boards, change nothing"
    )
    how.add_argument("--plain", action="store_true", help="lines instead of a table")
    instead = parser.add_argument_group("instead")
    instead.add_argument(
        "--print-key", action="store_true", help="print our public key and end"
    )
    instead.add_argument(
        "--forget-key", action="store_true", help="drop the host keys of the boards"
    )
    add_where(parser)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_PARALLEL:
        error = f"{number} is not from 1 to {MOST_PARALLEL}"
        raise argparse.ArgumentTypeError(error)
    return number


def run(args: argparse.Namespace) -> int:
    """Do it and return the exit code.

    Raises:
        ModuleNotFoundError: asyncssh is not installed.
        PiRackError: The rack, its broker or a file does not allow it.
    """
    try:
        found = house.find(args)
        directory = folder(found)
        if args.print_key:
            return _print_key(directory)
        _check(args)
        return asyncio.run(_run(args, found, directory))
    except LinkError as error:
        return _fail(str(error), EXIT_NO_BROKER)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}; be root: use sudo", EXIT_CONFIG)


def _check(args: argparse.Namespace) -> None:
    """See that the options fit together.

    Raises:
        ConfigError: They do not.
    """
    if bool(args.board) + args.all + (args.stack is not None) != 1:
        text = "say which boards: names or addresses, or --all, or --stack N"
        raise ConfigError(text)
    if args.wheel is not None and not args.wheel.is_file():
        text = f"--wheel {args.wheel}: is no file; `make wheel` builds one in dist/"
        raise ConfigError(text)
    if args.wheelhouse is not None and not any(args.wheelhouse.glob("*.whl")):
        text = (
            f"--wheelhouse {args.wheelhouse}: has no wheels; see docs/provisioning.md"
        )
        raise ConfigError(text)


def _print_key(directory: Path) -> int:
    from provisioning.deploy.ssh import own_key, public_line  # noqa: PLC0415  # an extra

    print(public_line(own_key(directory)))
    return EXIT_OK


async def _run(args: argparse.Namespace, found: House, directory: Path) -> int:
    async with Ear(found) as ear:
        known = targets.merge(
            targets.from_places(places(directory), ear.details, args.ssh_port),
            targets.from_rack(ear.details, ear.states, args.ssh_port),
            own=_own_node(found),
        )
        chosen = targets.choose(known, args.board, stack=args.stack, port=args.ssh_port)
        host_keys = HostKeys(directory / FILE_NAME)
        if args.forget_key:
            return _forget(host_keys, chosen)
        packer = HousePacker(found, wheel=args.wheel, wheelhouse=args.wheelhouse)
        means = _means(args, directory, host_keys, packer, ear)
        with _shown(args) as progress:
            reports = await Deployer(means).deploy(chosen, progress)
        notes = await place_them(found, ear, reports, packer.new)
    for note in notes:
        print(f"note: {note}")
    print(show.summary(reports))
    return EXIT_OK if all(report.fine for report in reports) else EXIT_FAILED


def _means(
    args: argparse.Namespace,
    directory: Path,
    host_keys: HostKeys,
    packer: HousePacker,
    ear: Ear,
) -> Means:
    from provisioning.deploy import ssh  # noqa: PLC0415  # an extra

    key = ssh.read_key(args.key) if args.key else ssh.own_key(directory)
    mine = args.key or directory / ssh.KEY_NAME
    advice = (
        f"the key is {mine}. Put the line of `pirack deploy --print-key` into "
        f"~{args.user}/.ssh/authorized_keys there, or name another with --key or --user"
    )
    return Means(
        connect=ssh.Ssh(
            args.user, (key,), host_keys, advice=advice, pin=not args.dry_run
        ),
        packer=packer,
        births=ear,
        user=args.user,
        pace=Pace(parallel=args.parallel, deadline_s=args.deadline),
        dry=args.dry_run,
    )


def _forget(host_keys: HostKeys, chosen: tuple[Target, ...]) -> int:
    gone = [target for target in chosen if host_keys.forget(target.where)]
    for target in gone:
        print(f"{target.label}: its host key is forgotten; the next one is kept")
    if not gone:
        return _fail("no host key of these boards is kept", EXIT_FAILED)
    return EXIT_OK


def _own_node(found: House) -> str:
    """Return the id of the master's own machine; empty where it is not known."""
    if found.own is None or not found.own.exists():
        return ""
    return credentials.read(found.own).username


class _Shown(Protocol):
    """Shows steps as they come."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *reason: object) -> None:
        """End."""

    def __call__(self, report: Report) -> None:
        """Take a step."""


def _shown(args: argparse.Namespace) -> _Shown:
    rich = importlib.util.find_spec("rich") is not None
    if args.plain or not sys.stdout.isatty() or not rich:
        return show.Lines()
    from pirack.deployment.show_rich import Screen  # noqa: PLC0415  # an extra

    return Screen()


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"pirack deploy: {text}\n")
    return code
