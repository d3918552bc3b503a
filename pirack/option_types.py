"""Types of options, for argparse: each says what would be right."""

import argparse
import contextlib
import math
from collections.abc import Callable


def whole(what: str, lowest: int, highest: int) -> Callable[[str], int]:
    """Returns the type of a whole number within bounds.

    Args:
        what: The number counts or names, for the error text.
        lowest: Allowed number.
        highest: Allowed number.
    """

    def read(text: str) -> int:
        if text.isdecimal() and lowest <= int(text) <= highest:
            return int(text)
        message = f"{text!r} is not a {what}; use {lowest} to {highest}"
        raise argparse.ArgumentTypeError(message)

    return read


port = whole("port", 1, 65_535)
stack = whole("stack", 1, 9_999)
slot = whole("slot", 1, 9_999)


def add_board(group: argparse._ActionsContainer) -> None:
    """Adds what a board that joins is called, where it stands, and its password."""
    group.add_argument("--name", default="", help="display name, for example s03n2")
    group.add_argument("--stack", type=stack, metavar="N", help="where it stands")
    group.add_argument(
        "--slot", type=slot, metavar="N", help="its position there, from 1"
    )
    group.add_argument(
        "--renew", action="store_true", help="a new password; the old one ends now"
    )


def seconds(text: str) -> float:
    """Reads a duration in seconds.

    Raises:
        ArgumentTypeError: It is not a finite number of at least 0.
    """
    with contextlib.suppress(ValueError):
        if 0 <= (found := float(text)) < math.inf:
            return found
    message = f"{text!r} is not a duration; use seconds from 0, for example 30"
    raise argparse.ArgumentTypeError(message)
