"""``pirack deploy``: bring the agent to boards over SSH."""

import argparse
import asyncio
from pathlib import Path

from broker.common.errors import LinkError
from broker.common.service import EXIT_CONFIG, EXIT_NO_BROKER, EXIT_USAGE
from pirack import distribution, option_types, rack_config, terminal
from pirack.rack_config import SEE_DOCTOR
from provisioning.deploy.deployer import DeployPace
from provisioning.deploy.report import SSH_PORT

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
WHICH = "say which boards: names or addresses, or --all, or --stack N"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``pirack deploy`` takes."""
    which = parser.add_argument_group("which boards")
    which.add_argument(
        "board", nargs="*", help="name, id, or address (host, host:port)"
    )
    which.add_argument("--all", action="store_true", help="all that are known")
    which.add_argument(
        "--stack", type=option_types.stack, metavar="N", help="those of one stack"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--parallel",
        type=option_types.whole("number of boards", 1, MOST_PARALLEL),
        default=DeployPace().parallel,
        metavar="N",
        help="boards at the same time (default: 4)",
    )
    how.add_argument("--user", default="pi", help="who we are there (default: pi)")
    how.add_argument(
        "--key", type=Path, metavar="FILE", help="private key (default: our own)"
    )
    how.add_argument(
        "--ssh-port",
        type=option_types.port,
        default=SSH_PORT,
        metavar="N",
        help="default: 22",
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
        type=option_types.seconds,
        default=DeployPace().deadline_s,
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
    rack_config.add_options(parser, broker=False)


def run(args: argparse.Namespace) -> int:
    """Do it and return the exit code.

    Raises:
        ModuleNotFoundError: asyncssh is not installed.
        PiRackError: The rack, its broker or a file does not allow it.
    """
    from pirack.deployment import command  # noqa: PLC0415  # asyncssh, an extra

    try:
        found = rack_config.find_access(args)
        if args.print_key:
            return command.print_key(found)
        if bool(args.board) + args.all + (args.stack is not None) != 1:
            return _fail(WHICH, EXIT_USAGE)
        distribution.check_packages(args.wheel, args.wheelhouse)
        return asyncio.run(command.deploy(args, found))
    except LinkError as error:
        return _fail(f"{error}. Does the rack run? {SEE_DOCTOR}", EXIT_NO_BROKER)
    except OSError as error:
        return _fail(terminal.reason(error), EXIT_CONFIG)


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack deploy: {text}\n")
    return code
