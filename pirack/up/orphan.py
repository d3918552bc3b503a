"""End with the supervisor, even when it is killed with -9.

Linux only: elsewhere a killed supervisor leaves its parts running.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(expected_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends.

    Called first thing in the child: nothing between fork and exec, and nothing lost
    when the parent died before this line ran.

    Args:
        expected_pid: The supervisor's; if that is no longer the parent, it is gone.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != expected_pid:
        os._exit(1)
