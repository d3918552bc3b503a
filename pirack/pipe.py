"""Printing for a reader that may go away, as ``| head`` does, and for a terminal.

What nodes and the master say is foreign text: it is printed by these functions, which
show the characters that a terminal would obey. Only our own styling is printed raw.
"""

import os
import sys
from typing import TypeVar

import msgspec

from broker.common.log import printable

T = TypeVar("T")


def say(line: str) -> bool:
    """Print a line at once; return False when its reader has just gone away.

    For what is printed while messages come in: whoever calls there cannot be stopped by
    an exception, and later lines go nowhere.
    """
    try:
        print(printable(line), flush=True)
    except BrokenPipeError:
        hush()
        return False
    return True


def complain(text: str) -> None:
    """Write to standard error."""
    sys.stderr.write(printable(text))


def cleaned(value: T, keep: str = "") -> T:
    """Return a message with all its texts printable, for a picture drawn of it.

    Args:
        value: A decoded message, or a part of one.
        keep: Control characters that stay.
    """
    found: object = value
    if isinstance(value, str) and type(value) is str:
        found = printable(value, keep)
    elif isinstance(value, msgspec.Struct):
        changed = {
            name: clean
            for name in value.__struct_fields__
            if (clean := cleaned(now := getattr(value, name), keep)) is not now
        }
        found = msgspec.structs.replace(value, **changed) if changed else value
    elif isinstance(value, tuple | list):
        found = type(value)(cleaned(one, keep) for one in value)
    elif isinstance(value, dict):
        found = {cleaned(key, keep): cleaned(one, keep) for key, one in value.items()}
    return found  # type: ignore[return-value]  # of the type that came in


def hush() -> None:
    """Let what is printed from now on, and at the exit, go nowhere.

    As the Python documentation has it ("Note on SIGPIPE", module ``signal``): else
    the interpreter complains when it flushes the closed pipe at its end.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
