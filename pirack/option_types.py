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
