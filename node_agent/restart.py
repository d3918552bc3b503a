"""The agent ends and begins anew because an order says so; it takes no privilege.

Under systemd it only ends: the unit has ``Restart=always``, and what systemd starts is
fresh in every respect. Anywhere else (``pirack up``, a terminal, a container) perhaps
nobody starts it again, so it puts its own program in its place, with its process id.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping

Execute = Callable[[str, list[str]], object]
"""Puts a program in the place of this process: ``os.execv``."""

SYSTEMD_EXEC_PID = "SYSTEMD_EXEC_PID"
"""Set by systemd 248 and later to the process id of what it started; a terminal that
a service opened inherits it, so it says something only to the process it names."""


class Restart:
    """Whether a restart was ordered, and how it is done.

    Args:
        environ: Of this process.
        execute: Puts a program in its place.
        end: Asks the service to end, as SIGTERM does.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        execute: Execute = os.execv,
        end: Callable[[], None] = lambda: signal.raise_signal(signal.SIGTERM),
    ) -> None:
        self.ordered = False
        """Whether the end that follows is a restart."""
        self._environ = environ
        self._execute = execute
        self._end = end

    def order(self) -> None:
        """Have the service stopped; ``carry_out`` does the rest."""
        self.ordered = True
        self._end()

    def carry_out(self) -> None:
        """Begin anew if that was ordered; return where systemd does it, or nobody."""
        if self.ordered and self._environ.get(SYSTEMD_EXEC_PID) != str(os.getpid()):
            self._execute(sys.executable, [sys.executable, *sys.orig_argv[1:]])
