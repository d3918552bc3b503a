"""Runs a node's commands: the interface, the real runner, and a fake one.

``SubprocessRunner`` starts programs: no shell, little environment, bounded in time and
output. How many run at once is decided by ``OrderExecutor``: an order can expire while
it waits. The simulator has a runner of its own, which starts nothing.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from broker.common.errors import PiRackError
from broker.common.processes import Finished, TailSink, run_once

DEFAULT_TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 30.0
"""A board that boots, or whose card is slow, starts an interpreter in many seconds."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROGRESS_EVERY_S = 10.0
PROGRESS_BYTES = 2 * 1024
"""How often and how much of its output is passed on while a command runs."""
SILENT_ROUNDS = 6
"""After so many without new output it is passed on all the same, as a sign of life."""

_SUDO = ("sudo", "-n")


class UnansweredError(PiRackError):
    """A probe did not answer in time: it is not known whether a command can work."""


Progress = Callable[[str], None]
"""Called with the tail of the output now and then while a long command runs."""


def silently(_tail: str) -> None:
    """Drops progress: the ``Progress`` of a caller that only wants the end."""


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One command, ready to run.

    Args:
        verb: The alias it comes from; a simulated board acts by it.
        argv: Program and arguments; a shell alias is ``("/bin/sh", "-c", text)``.
        timeout_s: Seconds after which it and its children are killed.
        probe: Command that tells by its exit code whether this one can work.
    """

    verb: str
    argv: tuple[str, ...]
    timeout_s: float = DEFAULT_TIMEOUT_S
    probe: tuple[str, ...] = ()


Outcome = Finished
"""What became of an invocation."""


class Runner(Protocol):
    """Runs commands without blocking the loop."""

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        """Runs to the end or the timeout; never raises for what the command does."""

    async def why_not(self, invocation: Invocation) -> str:
        """Returns why it cannot work here, in words; empty when it can.

        Probes only, and never runs the command itself.

        Raises:
            UnansweredError: The probe did not answer in time.
        """


class SubprocessRunner:
    """A ``Runner`` that starts programs.

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
        """Runs to the end or the timeout; see ``Runner.run``."""
        argv = self._without_sudo(invocation.argv)
        return await self._run(argv, invocation.timeout_s, progress)

    async def why_not(self, invocation: Invocation) -> str:
        """Looks for the program, asks sudo and the probe; see ``Runner.why_not``."""
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
        """Drops ``sudo -n`` for root: small systems have no sudo."""
        return argv[2:] if self._root_user and argv[:2] == _SUDO else argv

    def _missing(self, program: str) -> str:
        if any(os.access(path, os.X_OK) for path in self._candidates(program)):
            return ""
        return f"program {program!r} is not installed"

    def _candidates(self, program: str) -> list[str]:
        """Returns where a program may be (``shutil`` would cost half a megabyte)."""
        if "/" in program:
            return [program]
        directories = self._environment["PATH"].split(":")
        return [f"{directory}/{program}" for directory in directories]

    async def _refused(self, argv: tuple[str, ...]) -> str:
        """Runs a probe and returns what it says against it; empty when it agrees.

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
            watch=partial(self._report, progress) if progress else None,
        )

    async def _report(self, progress: Progress, output: TailSink) -> None:
        """Passes the tail of an output on when it grows, and now and then."""
        sent, rounds = "", 0
        while True:
            await asyncio.sleep(self._progress_every_s)
            tail, rounds = output.text[-PROGRESS_BYTES:], rounds + 1
            if tail != sent or rounds >= SILENT_ROUNDS:
                sent, rounds = tail, 0
                progress(tail)


def _environment(path: str) -> dict[str, str]:
    """Returns all a command gets; our interpreter first, so it finds our modules."""
    own = str(Path(sys.executable).parent)
    kept = {key: os.environ[key] for key in ("HOME", "TZ") if key in os.environ}
    return kept | {"PATH": f"{own}:{path}", "LANG": "C.UTF-8"}


class FakeRunner:
    """Answers what a test tells it to and remembers what it was asked."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        """Outcome by verb; others end with exit code 0 at once."""
        self.obstacles: dict[str, str] = {}
        """Why not, by verb; others can be run."""
        self.unanswered: set[str] = set()
        """Verbs whose probes do not answer."""
        self.probed: list[str] = []
        """Verbs it was asked about, in order."""
        self.invocations: list[Invocation] = []

    async def run(
        self,
        invocation: Invocation,
        progress: Progress = silently,  # noqa: ARG002  # it is done at once
    ) -> Outcome:
        """Notes the invocation and returns the outcome set for its verb."""
        self.invocations.append(invocation)
        return self.outcomes.get(invocation.verb, Outcome(exit_code=0))

    async def why_not(self, invocation: Invocation) -> str:
        """Returns the obstacle set for the verb."""
        self.probed.append(invocation.verb)
        if invocation.verb in self.unanswered:
            text = "no answer within 30 s"
            raise UnansweredError(text)
        return self.obstacles.get(invocation.verb, "")
