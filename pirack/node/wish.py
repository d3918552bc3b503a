"""What options ask of ``pirack node add``, wherever they are given."""

import argparse
from pathlib import Path

from broker.common.errors import ConfigError
from broker.contract.topics import check_name
from pirack.node import board_id
from pirack.node.add import Wish

HALF_A_PLACE = "a place is both: --stack 3 --slot 2"


def wished(args: argparse.Namespace, board: str) -> Wish:
    """Return what ``--name``, ``--stack``, ``--slot``, ``--renew``, ``--wheel`` ask.

    Args:
        args: From the command line.
        board: Id, serial or MAC address.

    Raises:
        ConfigError: A place lacks its half, or the wheel is not there.
        TopicError: The name or the board is none.
    """
    if (args.stack is None) != (args.slot is None):
        raise ConfigError(HALF_A_PLACE)
    check_packages(args.wheel)
    return Wish(
        board=board_id.read(board),
        name=check_name(args.name, "name") if args.name else "",
        place=None if args.stack is None else (args.stack, args.slot),
        renew=args.renew,
        wheel=args.wheel,
    )


def check_packages(wheel: Path | None, wheelhouse: Path | None = None) -> None:
    """See that what is to be installed is there.

    Args:
        wheel: Our package; None for another one than a person's.
        wheelhouse: Wheels of what it needs; None for the package index.

    Raises:
        ConfigError: It is not.
    """
    if wheel is not None and not wheel.is_file():
        text = f"--wheel {wheel}: is no file; `make wheel` builds one in dist/"
        raise ConfigError(text)
    if wheel is not None and wheel.suffix != ".whl":
        text = f"--wheel {wheel}: is no wheel; `make wheel` builds one in dist/"
        raise ConfigError(text)
    if wheelhouse is not None and not any(wheelhouse.glob("*.whl")):
        text = f"--wheelhouse {wheelhouse}: has no wheels; see docs/provisioning.md"
        raise ConfigError(text)
