"""``pirack seed``: cards whose boards join by themselves."""

import argparse
import secrets
from pathlib import Path

from broker.common.errors import LinkError, TopicError
from broker.common.service import EXIT_CONFIG, EXIT_NO_BROKER, EXIT_OK, EXIT_USAGE
from pirack import distribution, option_types, rack_config, terminal
from pirack.enrolment import AddedNode, add
from pirack.node import HALF_A_PLACE, read_request
from pirack.seed import card
from pirack.seed.card import ARCHIVE, FIRSTRUN, META_DATA, USER_DATA, Card, System

HELP = "prepare cards whose boards join the rack at their first boot"

EPILOG = """\
two kinds of cards
  --node    for one board: its own password, configuration, agent and service are on
            the card; it is in the rack minutes after its first start. The broker lets
            it in as by `pirack node add`.
  --shared  one image for all: no secret. The master can come in by its SSH key, and
            `pirack deploy --all` brings each board its agent and password.

On both the board keeps its hostname (the rack names boards), gets a machine-id and SSH
host keys of its own, and a user without a password whom the master's key lets in.

examples
  pirack seed --shared --to /media/me/bootfs       a card, mounted here
  pirack seed --shared >user-data                  or print it; --print firstrun.sh
  pirack seed --node pi-1f3a9c2e --name s03n2 --stack 3 --slot 2 --to /media/me/bootfs
  pirack seed --node 100000001f3a9c2e --to ~/card  a folder, to be copied by hand

Raspberry Pi OS 13 and Ubuntu read user-data and meta-data (cloud-init), Raspberry Pi
OS 12 firstrun.sh; what the card has is seen from its boot partition, or told by --os.

exit codes
  0 done   2 wrong usage   3 configuration, files   4 the broker cannot be used
"""

INSTANCE_BYTES = 4
DEPLOY_USER = "pi"
"""Who `pirack deploy` is on the boards, unless told otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack seed`` takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--node", metavar="BOARD", help="for this board: id, serial or MAC address"
    )
    which.add_argument(
        "--shared", action="store_true", help="the same for all cards, without secrets"
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="the card's mounted boot partition, or a folder",
    )
    parser.add_argument(
        "--print",
        dest="printed",
        choices=(USER_DATA, META_DATA, FIRSTRUN),
        default=USER_DATA,
        help="which to print where there is no --to (default: user-data)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="put it in the place of what is there, and keep that as *.before",
    )
    parser.add_argument(
        "--os",
        type=System,
        choices=list(System),
        metavar="OS",
        help="cloud-init, bookworm, or any (default: as the card looks)",
    )
    access = parser.add_argument_group("the way in")
    access.add_argument(
        "--user",
        default=DEPLOY_USER,
        help=f"account the master uses there (default: {DEPLOY_USER})",
    )
    access.add_argument(
        "--ssh-key",
        type=Path,
        metavar="FILE",
        help="public key that is let in (default: that of `pirack deploy`)",
    )
    node = parser.add_argument_group("with --node")
    option_types.add_board(node)
    node.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="package to install (default: what runs here)",
    )
    node.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="DIR",
        help="wheels of paho-mqtt, psutil and msgspec for boards without internet",
    )
    rack_config.add_options(parser, broker=False)


def run(args: argparse.Namespace) -> int:
    """Prepares it and returns the exit code.

    Raises:
        ModuleNotFoundError: asyncssh is not installed, and no ``--ssh-key`` given.
        PiRackError: The rack, its broker or a file does not allow it.
    """
    wrong = _wrong(args)
    if wrong:
        return _fail(wrong, EXIT_USAGE)
    try:
        return _shared(args) if args.shared else _node(args)
    except TopicError as error:
        return _fail(str(error), EXIT_USAGE)
    except LinkError as error:
        return _fail(str(error), EXIT_NO_BROKER)
    except OSError as error:
        return _fail(terminal.reason(error), EXIT_CONFIG)


def _wrong(args: argparse.Namespace) -> str:
    """Returns why the options do not go together; empty if they do."""
    if not args.shared and args.to is None:
        return "a card for one board holds its password: say where to, --to DIR"
    for option in ("name", "stack", "slot", "renew", "wheel", "wheelhouse"):
        if args.shared and getattr(args, option):
            return f"--{option} goes with --node"
    if (args.stack is None) != (args.slot is None):
        return HALF_A_PLACE
    return ""


def _shared(args: argparse.Namespace) -> int:
    made = card.texts(_card(args, "shared"))
    if args.to is None:
        print(made[args.printed].decode(), end="")
        return EXIT_OK
    which = args.os or card.system_of(args.to)
    card.check(args.to, which, force=args.force)
    _put(args, made, which)
    user = "" if args.user == DEPLOY_USER else f" --user {args.user}"
    print(f"When the boards have started: pirack deploy --all{user}")
    return EXIT_OK


def _node(args: argparse.Namespace) -> int:
    found = rack_config.find_access(args)
    wish = read_request(args, args.node)
    distribution.check_packages(None, args.wheelhouse)
    told = _card(args, wish.board.node)
    which = args.os or card.system_of(args.to)
    card.check(args.to, which, force=args.force)
    wheel = None if wish.wheel else distribution.build_wheel()
    added = add(found, wish)
    for line in _joined(added):
        terminal.say(line)
    secret = card.pack(
        added.bundle, wish.board, wheel=wheel, wheelhouse=args.wheelhouse
    )
    _put(args, card.texts(told) | {ARCHIVE: secret}, which)
    return EXIT_OK


def _card(args: argparse.Namespace, what: str) -> Card:
    script = distribution.deploy_directory() / "seed" / "first-boot"
    return Card(
        user=args.user,
        key=_key(args),
        instance=f"pirack-{what}-{secrets.token_hex(INSTANCE_BYTES)}",
        script=script.read_text(encoding="utf-8"),
    )


def _key(args: argparse.Namespace) -> str:
    """Returns the public key that is let in; that of ``pirack deploy`` may be made."""
    if args.ssh_key is not None:
        # With any bytes, so that Card can say that it is not a key.
        return str(args.ssh_key.read_text(encoding="utf-8", errors="replace").strip())
    from provisioning.deploy.ssh import own_key, public_line  # noqa: PLC0415  # an extra

    return public_line(own_key(rack_config.find_access(args).install_directory()))


def _put(args: argparse.Namespace, made: dict[str, bytes], which: System) -> None:
    notes = card.write(made, args.to, which)
    written = [name for name in made if name in {ARCHIVE, *which.files}]
    print(f"wrote {', '.join(written)} to {args.to}")
    for note in notes:
        terminal.say(f"  note: {note}")


def _joined(added: AddedNode) -> list[str]:
    node, name = added.request.board.node, added.request.name
    who = f"{name} ({node})" if name else node
    return [
        f"{who} may join rack {added.rack}.",
        *(f"  done: {text}" for text in added.done),
        *(f"  note: {text}" for text in added.problems),
    ]


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack seed: {text}\n")
    return code
