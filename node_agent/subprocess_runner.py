"""Runs programs: no shell, little environment, bounded in time, output and number.

Each command leads a process group of its own, which is killed as a whole on timeout.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from node_agent.runner import Invocation, Outcome

MAX_STDOUT_BYTES = 8 * 1024
MAX_STDERR_BYTES = 4 * 1024
"""Both fit into one 16 KiB result; the tail is kept, for errors stand at the end."""
MAX_AT_ONCE = 4
PROBE_TIMEOUT_S = 5.0

_CHUNK_BYTES = 4096
_AFTER_END_S = 0.5
"""How long output is still read when the program has ended: a child that it left
behind may hold the pipe open for ever."""
_AFTER_KILL_S = 2.0
_SUDO = ("sudo", "-n")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SubprocessRunner:
    """The real ``Runner``.

    Args:
        at_once: How many programs run at the same time; others wait.
        clock: Monotonic clock, seconds.
        root_user: Whether we are root, who needs no sudo; found out when None.
    """

    def __init__(
        self,
        *,
        at_once: int = MAX_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
        root_user: bool | None = None,
    ) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._clock = clock
        self._root_user = os.geteuid() == 0 if root_user is None else root_user
        self._environment = _environment()

    async def run(self, invocation: Invocation) -> Outcome:
        """Run to the end or the timeout; see ``Runner.run``."""
        async with self._slots:
            argv = self._without_sudo(invocation.argv)
            return await self._run(argv, invocation.timeout_s)

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
        if shutil.which(program, path=self._environment["PATH"]) is not None:
            return ""
        return f"program {program!r} is not installed"

    async def _refused(self, argv: tuple[str, ...]) -> str:
        """Run a probe and return what it says against it; empty when it agrees."""
        outcome = await self._run(argv, PROBE_TIMEOUT_S)
        if outcome.exit_code == 0:
            return ""
        if outcome.timed_out:
            return f"no answer from {argv[0]!r} within {PROBE_TIMEOUT_S:.0f} s"
        said = (outcome.error or outcome.stderr or outcome.stdout).strip()
        return said.splitlines()[-1] if said else f"exit code {outcome.exit_code}"

    async def _run(self, argv: tuple[str, ...], timeout_s: float) -> Outcome:
        started = self._clock()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            text = f"{argv[0]!r} cannot be started: {error.strerror}"
            return Outcome(exit_code=None, error=text)
        return await self._watch(process, argv[0], timeout_s, started)

    async def _watch(
        self,
        process: asyncio.subprocess.Process,
        program: str,
        timeout_s: float,
        started: float,
    ) -> Outcome:
        """Wait for a program and its output, and end it when its time is up."""
        tails = _Tail(MAX_STDOUT_BYTES), _Tail(MAX_STDERR_BYTES)
        readers = [
            asyncio.create_task(tail.read(stream))
            for tail, stream in zip(
                tails, (process.stdout, process.stderr), strict=True
            )
            if stream is not None
        ]
        error = ""
        try:
            timed_out = await _ends_within(process, timeout_s) is False
            if timed_out:
                error = await _kill(process, program, timeout_s)
            await asyncio.wait(readers, timeout=_AFTER_END_S)
        except asyncio.CancelledError:
            _signal_group(process)
            raise
        finally:
            for reader in readers:
                reader.cancel()
        return Outcome(
            exit_code=process.returncode,
            stdout=tails[0].text,
            stderr=tails[1].text,
            truncated=any(tail.truncated for tail in tails),
            duration_s=self._clock() - started,
            timed_out=timed_out,
            error=error,
        )


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self.truncated = False
        self._limit = limit
        self._kept = bytearray()

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read to the end of the stream, so that the program never blocks on us."""
        while chunk := await stream.read(_CHUNK_BYTES):
            self._kept += chunk
            if len(self._kept) > self._limit:
                self.truncated = True
                del self._kept[: -self._limit]

    @property
    def text(self) -> str:
        """What was kept; bytes that are no UTF-8 are marked."""
        return self._kept.decode("utf-8", errors="replace")


async def _ends_within(process: asyncio.subprocess.Process, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def _kill(
    process: asyncio.subprocess.Process, program: str, timeout_s: float
) -> str:
    """End the whole group and say what came of it."""
    killed = _signal_group(process)
    ended = killed and await _ends_within(process, _AFTER_KILL_S)
    text = f"{program!r} took longer than {timeout_s:g} s"
    return f"{text} and was killed" if ended else f"{text} and could not be killed"


def _signal_group(process: asyncio.subprocess.Process) -> bool:
    """Kill the process group; return False where another user's it is (sudo)."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except PermissionError:
            return False
    return True


def _environment() -> dict[str, str]:
    """Return all a command gets; our own interpreter first, so it finds our modules."""
    own = str(Path(sys.executable).parent)
    kept = {key: os.environ[key] for key in ("HOME", "TZ") if key in os.environ}
    return kept | {"PATH": f"{own}:{_SYSTEM_PATH}", "LANG": "C.UTF-8"}
