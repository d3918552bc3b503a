"""Runs a program that ends when its starter does, even by ``kill -9``.

    python die_with_parent.py <pid of the starter> <program> <arguments>
    python die_with_parent.py --group <pid of the starter> <program> <arguments>

The first becomes the program, which is sent SIGTERM. The second stays beside it, and
kills the whole process group, for programs that start others: the kernel signals one
process only.

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
_CANNOT_EXECUTE = 126


def die_with(parent: int, number: int) -> None:
    """Makes the kernel send this process a signal when its parent ends.

    Args:
        parent: Process id of its starter; if it has another parent by now, the
            starter died before this line, and this process ends.
        number: The signal.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def stay(parent: int, program: list[str]) -> int:
    """Runs a program, and kills the process group when the parent ends.

    SIGTERM is for the program, which has it from the group: this process waits for it.

    Args:
        parent: As for ``die_with``.
        program: Its path and its arguments.

    Returns:
        Its exit code.
    """
    # Functions, not SIG_IGN: the program must not inherit that.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGHUP, lambda *_: os.killpg(0, signal.SIGKILL))
    die_with(parent, signal.SIGHUP)
    child = os.posix_spawn(program[0], program, os.environ)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def main(arguments: list[str]) -> int:
    """Becomes the program that dies with its parent, or stays beside it.

    Args:
        arguments: The parent's process id, the program and its arguments.
    """
    group = arguments[0] == "--group"
    parent, program = int(arguments[group]), arguments[group + 1 :]
    try:
        if group:
            return stay(parent, program)
        die_with(parent, signal.SIGTERM)
        os.execv(program[0], program)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        return _CANNOT_EXECUTE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
