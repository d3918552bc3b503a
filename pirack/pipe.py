"""Printing for a reader that may go away, as ``| head`` does."""

import os
import sys


def say(line: str) -> bool:
    """Print a line at once; return False when its reader has just gone away.

    For what is printed while messages come in: whoever calls there cannot be stopped by
    an exception, and later lines go nowhere.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError:
        hush()
        return False
    return True


def hush() -> None:
    """Let what is printed from now on, and at the exit, go nowhere.

    As the Python documentation has it ("Note on SIGPIPE", module ``signal``): else
    the interpreter complains when it flushes the closed pipe at its end.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
