"""Runs programs: no shell, little environment, bounded in time and output.

How many run at once is the node's business: an order can expire while it waits.
"""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from broker.common.processes import Tail, run_once
from node_agent.runner import Invocation, Outcome, Progress, UnansweredError, silently

PROBE_TIMEOUT_S = 30.0
"""A board that boots, or whose card is slow, starts an interpreter in many seconds."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROGRESS_EVERY_S = 10.0
PROGRESS_BYTES = 2 * 1024
"""How often and how much of its output is passed on while a command runs."""
SILENT_ROUNDS = 6
"""After so many without new output it is passed on all the same, as a sign of life."""

_SUDO = ("sudo", "-n")


class SubprocessRunner:
    """The real ``Runner``.

    Args:
        root_user: Whether we are root, who needs no sudo; found out when None.
        path: Where programs are looked for, after our own interpreter's directory.
        progress_every_s: Seconds between reports of a command's output.
    """

    def __init__(
        self,
        *,
        root_user: bool | None = None,
        path: str = SYSTEM_PATH,
        progress_every_s: float = PROGRESS_EVERY_S,
    ) -> None:
        self._root_user = os.geteuid() == 0 if root_user is None else root_user
        self._environment = _environment(path)
        self._progress_every_s = progress_every_s

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        """Run to the end or the timeout; see ``Runner.run``."""
        argv = self._without_sudo(invocation.argv)
        return await self._run(argv, invocation.timeout_s, progress)

    async def why_not(self, invocation: Invocation) -> str:
        """Look for the program, ask sudo and the probe; see ``Runner.why_not``."""
        argv = self._without_sudo(invocation.argv)
        missing = self._missing(argv[0])
        if missing:
            return missing
        if argv[:2] == _SUDO:
            refused = await self._refused(("sudo", "-n", "-l", *argv[2:]))
            if refused:
                return f"sudo does not allow it: {refused}"
        if invocation.probe:
            return await self._refused(self._without_sudo(invocation.probe))
        return ""

    def _without_sudo(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Drop ``sudo -n`` for root: small systems have no sudo to do nothing with."""
        return argv[2:] if self._root_user and argv[:2] == _SUDO else argv

    def _missing(self, program: str) -> str:
        if any(os.access(path, os.X_OK) for path in self._candidates(program)):
            return ""
        return f"program {program!r} is not installed"

    def _candidates(self, program: str) -> list[str]:
        """Return where a program may be (``shutil`` would cost half a megabyte)."""
        if "/" in program:
            return [program]
        directories = self._environment["PATH"].split(":")
        return [f"{directory}/{program}" for directory in directories]

    async def _refused(self, argv: tuple[str, ...]) -> str:
        """Run a probe and return what it says against it; empty when it agrees.

        Raises:
            UnansweredError: It says nothing in time.
        """
        outcome = await self._run(argv, PROBE_TIMEOUT_S)
        if outcome.exit_code == 0:
            return ""
        if outcome.timed_out:
            text = f"no answer from {argv[0]!r} within {PROBE_TIMEOUT_S:g} s"
            raise UnansweredError(text)
        said = (outcome.error or outcome.stderr or outcome.stdout).strip()
        return said.splitlines()[-1] if said else f"exit code {outcome.exit_code}"

    async def _run(
        self, argv: tuple[str, ...], timeout_s: float, progress: Progress | None = None
    ) -> Outcome:
        return await run_once(
            argv,
            timeout_s,
            env=self._environment,
            cwd="/",
            watch=partial(self._tell, progress) if progress else None,
        )

    async def _tell(self, progress: Progress, output: Tail) -> None:
        """Pass the tail of an output on: when there is more of it, and now and then."""
        told, rounds = "", 0
        while True:
            await asyncio.sleep(self._progress_every_s)
            tail, rounds = output.text[-PROGRESS_BYTES:], rounds + 1
            if tail != told or rounds >= SILENT_ROUNDS:
                told, rounds = tail, 0
                progress(tail)


def _environment(path: str) -> dict[str, str]:
    """Return all a command gets; our own interpreter first, so it finds our modules."""
    own = str(Path(sys.executable).parent)
    kept = {key: os.environ[key] for key in ("HOME", "TZ") if key in os.environ}
    return kept | {"PATH": f"{own}:{path}", "LANG": "C.UTF-8"}
