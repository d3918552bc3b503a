"""Runs a program that ends when whoever started it does, even by ``kill -9``.

    python broker/tether.py <pid of the starter> <program> <arguments>

Linux sends the signal when the *thread* that forked ends, so start it from the main
thread. A change of user after this would undo it, which is why Mosquitto is told to
stay the user it is. A file of its own, run by path: nothing happens between fork and
exec, where a process with threads may do next to nothing, and only this much is loaded.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie(parent: int, number: int) -> None:
    """Have this process sent a signal when its parent ends.

    Args:
        parent: Process id of whoever started it; if that is no longer the parent, it
            died before this line and this process ends.
        number: The signal.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the program.

    Args:
        arguments: The parent's process id, the program and its arguments.
    """
    parent, program = int(arguments[0]), arguments[1:]
    tie(parent, signal.SIGTERM)
    os.execv(program[0], program)  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
