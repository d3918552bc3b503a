"""Printing for a reader that may go away, as ``| head`` does."""

import os
import sys


def hush() -> None:
    """Let what is printed from now on, and at the exit, go nowhere.

    As the Python documentation has it ("Note on SIGPIPE", module ``signal``): else
    the interpreter complains when it flushes the closed pipe at its end.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
