"""Runs programs: no shell, little environment, bounded in time and output.

Each command leads a process group of its own, which is ended as a whole on timeout. How
many run at once is the node's business: an order can expire while it waits.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from node_agent.runner import Invocation, Outcome, Progress, silently

MAX_STDOUT_BYTES = 8 * 1024
MAX_STDERR_BYTES = 4 * 1024
"""Both fit into one 16 KiB result; the tail is kept, for errors stand at the end."""
PROBE_TIMEOUT_S = 5.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROGRESS_EVERY_S = 10.0
PROGRESS_BYTES = 2 * 1024
"""How often and how much of its output is passed on while a command runs."""
SILENT_ROUNDS = 6
"""After so many without new output it is passed on all the same, as a sign of life."""

_AFTER_END_S = 0.5
"""How long output is still read when the program has ended: a child that it left
behind may hold the pipe open for ever."""
_GRACE_S = 1.0
"""Between asking a group to end and killing it, and to see that it is gone."""
_SUDO = ("sudo", "-n")


class SubprocessRunner:
    """The real ``Runner``.

    Args:
        clock: Monotonic clock, seconds.
        root_user: Whether we are root, who needs no sudo; found out when None.
        path: Where programs are looked for, after our own interpreter's directory.
        progress_every_s: Seconds between reports of a command's output.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        root_user: bool | None = None,
        path: str = SYSTEM_PATH,
        progress_every_s: float = PROGRESS_EVERY_S,
    ) -> None:
        self._clock = clock
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
        """Run a probe and return what it says against it; empty when it agrees."""
        outcome = await self._run(argv, PROBE_TIMEOUT_S)
        if outcome.exit_code == 0:
            return ""
        if outcome.timed_out:
            return f"no answer from {argv[0]!r} within {PROBE_TIMEOUT_S:.0f} s"
        said = (outcome.error or outcome.stderr or outcome.stdout).strip()
        return said.splitlines()[-1] if said else f"exit code {outcome.exit_code}"

    async def _run(
        self, argv: tuple[str, ...], timeout_s: float, progress: Progress = silently
    ) -> Outcome:
        started = self._clock()
        try:
            transport, watcher = await self._start(argv)
        except OSError as error:
            text = f"{argv[0]!r} cannot be started: {error.strerror}"
            return Outcome(exit_code=None, error=text)
        group, outlast = transport.get_pid(), ""
        telling = asyncio.create_task(self._tell(watcher.stdout, progress))
        try:
            if not await _within(watcher.exited, timeout_s):
                ended = await _end(group, watcher)
                outlast = _outlast(argv[0], timeout_s, ended=ended)
            await _within(watcher.silent, _AFTER_END_S)
        except asyncio.CancelledError:
            await _end(group, watcher)
            raise
        finally:
            telling.cancel()
            transport.close()
        return Outcome(
            exit_code=transport.get_returncode(),
            stdout=watcher.stdout.text,
            stderr=watcher.stderr.text,
            truncated=watcher.stdout.truncated or watcher.stderr.truncated,
            duration_s=self._clock() - started,
            timed_out=bool(outlast),
            error=outlast,
        )

    async def _start(
        self, argv: tuple[str, ...]
    ) -> tuple[asyncio.SubprocessTransport, "_Watcher"]:
        """Start a program, and do not let that be cut off in its middle.

        asyncio (3.11) would wait for ever for the end of pipes it had not connected
        yet: an agent told to end just then would hang.
        """
        starting = asyncio.ensure_future(
            asyncio.get_running_loop().subprocess_exec(
                _Watcher,
                *argv,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                transport, watcher = await starting
                await _end(transport.get_pid(), watcher)
                transport.close()
            raise

    async def _tell(self, output: "_Tail", progress: Progress) -> None:
        """Pass the tail of an output on: when there is more of it, and now and then."""
        told, rounds = "", 0
        while True:
            await asyncio.sleep(self._progress_every_s)
            tail, rounds = output.text[-PROGRESS_BYTES:], rounds + 1
            if tail != told or rounds >= SILENT_ROUNDS:
                told, rounds = tail, 0
                progress(tail)


class _Watcher(asyncio.SubprocessProtocol):
    """Takes a program's output and notes its end.

    ``asyncio``'s own ``Process.wait`` waits for the pipes too, which a child that the
    program left behind may hold for ever; so exit and end of output are told apart.
    """

    def __init__(self) -> None:
        self.stdout = _Tail(MAX_STDOUT_BYTES)
        self.stderr = _Tail(MAX_STDERR_BYTES)
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self._open = 2

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the tail, so that the program never blocks on us."""
        (self.stdout if fd == 1 else self.stderr).add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Note that one of the two pipes is at its end."""
        self._open -= 1
        if self._open == 0:
            self.silent.set()

    def process_exited(self) -> None:
        """Note that the program itself has ended."""
        self.exited.set()


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self.truncated = False
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Append, and forget what is too long ago."""
        self._kept += data
        if len(self._kept) > self._limit:
            self.truncated = True
            del self._kept[: -self._limit]

    @property
    def text(self) -> str:
        """What was kept; bytes that are no UTF-8 are marked."""
        return self._kept.decode("utf-8", errors="replace")


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _end(group: int, watcher: _Watcher) -> bool:
    """Ask a process group to end, then kill it; return whether its leader is gone.

    A group that sudo gave to another user cannot be signalled.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            break
        except PermissionError:
            return False
        await _within(watcher.exited, _GRACE_S)
    return await _within(watcher.exited, _GRACE_S)


def _outlast(program: str, timeout_s: float, *, ended: bool) -> str:
    result = "was ended" if ended else "could not be ended: it is another user's"
    return f"{program!r} took longer than {timeout_s:g} s and {result}"


def _environment(path: str) -> dict[str, str]:
    """Return all a command gets; our own interpreter first, so it finds our modules."""
    own = str(Path(sys.executable).parent)
    kept = {key: os.environ[key] for key in ("HOME", "TZ") if key in os.environ}
    return kept | {"PATH": f"{own}:{path}", "LANG": "C.UTF-8"}
