"""Child processes: run one to its end; ``supervisor`` keeps one running.

Every program that the product starts while its loop runs is started here, and leads a
process group of its own. Starting is one synchronous call: ``asyncio``'s own
(Python 3.11) hangs for ever when it is cancelled before it has connected its pipes.
The end of a program is watched apart from the end of its output, because a program that
it left behind may hold the pipes open for ever.
"""

import asyncio
import contextlib
import enum
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import IO, Any

import msgspec

from broker.common.tasks import spawn

Sink = Callable[[bytes], None]
"""Takes output as it comes; no bytes mean the end of it."""

STDOUT_BYTES = 8 * 1024
STDERR_BYTES = 4 * 1024
"""How much of the output is kept: the tail, because errors stand at the end. Both fit
into one 16 KiB result of a node."""
LINE_BYTES = 64 * 1024
"""A longer line is cut."""
GRACE_S = 1.0
"""Between asking a group to end and killing it, and to see that it is gone."""
LAST_OUTPUT_S = 0.5
"""How long output is still read when the program itself has ended."""

# Not imported: it loads ctypes, half a megabyte that a node does without.
_DIE_WITH_PARENT = os.path.join(os.path.dirname(__file__), "die_with_parent.py")  # noqa: PTH118, PTH120  # pathlib is no shorter
_READ_BYTES = 64 * 1024
_POLL_S = 0.05
_READY_POLL_S = 0.02


class DieWithParent(enum.Enum):
    """What happens to a program when this process ends, even by ``kill -9``.

    ``PROGRAM`` sends it SIGTERM and costs nothing. ``GROUP`` kills it with all that it
    started, and costs a small Python process for as long as it runs.
    """

    NONE = "none"
    PROGRAM = "program"
    GROUP = "group"


class NotReadyError(Exception):
    """A program ended, or took too long, before it was ready."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """How a program that was run to its end ended.

    Args:
        exit_code: Negative: the number of the signal that ended it; None: it could not
            be started, or not be ended.
        stdout: Its output, the tail when too long.
        stderr: Its error output, the tail when too long.
        truncated: Whether either was cut.
        duration_s: From start to end, seconds.
        timed_out: Whether it took too long and was told to end.
        error: Why it could not be started, or that it took too long; empty otherwise.
    """

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    duration_s: float = 0.0
    timed_out: bool = False
    error: str = ""


class TailSink:
    """A sink that keeps the last bytes of an output.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self.truncated = False
        self._limit = limit
        self._kept = bytearray()

    def __call__(self, data: bytes) -> None:
        """Appends, and forgets what is too long ago."""
        self._kept += data
        if len(self._kept) > self._limit:
            self.truncated = True
            del self._kept[: -self._limit]

    @property
    def text(self) -> str:
        """What was kept; bytes that are not UTF-8 are marked."""
        return self._kept.decode("utf-8", errors="replace")


class LineSink:
    """A sink that passes an output on line by line, without their ends.

    Args:
        on_line: Called with each.
        limit: Bytes after which a line is cut; the rest of it is dropped.
    """

    def __init__(self, on_line: Callable[[str], None], limit: int = LINE_BYTES) -> None:
        self._on_line = on_line
        self._limit = limit
        self._line = bytearray()

    def __call__(self, data: bytes) -> None:
        """Passes on all lines that are complete now."""
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._add(part)
            self._pass_on()
        self._add(rest)
        if not data and self._line:
            self._pass_on()

    def _add(self, part: bytes) -> None:
        self._line += part[: self._limit - len(self._line)]

    def _pass_on(self) -> None:
        text = self._line.decode("utf-8", errors="replace").rstrip()
        self._line.clear()
        self._on_line(text)


class Process:
    """A program that was started; made by ``start`` only.

    Args:
        popen: It runs already; its pipes are read from now on.
        sinks: Where the output of its pipes goes, by pipe.
    """

    def __init__(
        self, popen: "subprocess.Popen[bytes]", sinks: Mapping[IO[bytes], Sink]
    ) -> None:
        self._popen = popen
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._pipes = dict(sinks)
        for pipe in sinks:
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._read, pipe)
        if not sinks:
            self._drained.set()
        self._watch()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the number of the signal that ended it."""
        return self._popen.returncode

    async def wait(self) -> int:
        """Waits until the program has ended and returns its exit code."""
        await self._exited.wait()
        return self._popen.returncode

    async def ended_within(self, timeout_s: float) -> bool:
        """Waits until it has ended, and returns whether it did in that time."""
        return await _within(self._exited, timeout_s)

    async def last_output(self, within_s: float = LAST_OUTPUT_S) -> None:
        """Waits for the end of its output, a little, and closes the pipes."""
        try:
            await _within(self._drained, within_s)
        finally:
            self.close()

    def close(self) -> None:
        """Reads no more output; twice is fine."""
        for pipe in tuple(self._pipes):
            self._end_of(pipe)

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal, when it still runs.

        Raises:
            PermissionError: It became another user's.
        """
        self._popen.send_signal(number)

    async def end(
        self, grace_s: float = GRACE_S, *, leader_first: bool = False
    ) -> bool:
        """Asks it to end, kills its group if it does not, and reads the last output.

        A group that sudo gave to another user cannot be signalled.

        Args:
            grace_s: Seconds between asking and killing.
            leader_first: Ask only the program itself, which ends what it started.

        Returns:
            Whether it has ended.
        """
        try:
            if await self._asked(grace_s, leader_first=leader_first):
                self._send_all(signal.SIGKILL)
                await _within(self._exited, GRACE_S)
            await self.last_output()
        except asyncio.CancelledError:
            self._send_all(signal.SIGKILL)
            raise
        finally:
            self.close()
        return self.exit_code is not None

    async def _asked(self, grace_s: float, *, leader_first: bool) -> bool:
        """Asks it to end; returns whether its group has to be killed."""
        if leader_first:
            with contextlib.suppress(PermissionError):
                self.send_signal(signal.SIGTERM)
            return not await _within(self._exited, grace_s)
        if not self._send_all(signal.SIGTERM):
            return False
        await _within(self._exited, grace_s)
        return True

    def _send_all(self, number: signal.Signals) -> bool:
        """Signals its group; returns whether anything of it was there and ours."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _watch(self) -> None:
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:  # an old kernel, a strict container, no descriptor left
            self._loop.call_later(_POLL_S, self._poll)
        else:
            self._loop.add_reader(fd, self._note_exit, fd)

    def _poll(self) -> None:
        if self._popen.poll() is None:
            self._loop.call_later(_POLL_S, self._poll)
        else:
            self._exited.set()

    def _note_exit(self, fd: int) -> None:
        if self._popen.poll() is not None:
            self._loop.remove_reader(fd)
            os.close(fd)
            self._exited.set()

    def _read(self, pipe: IO[bytes]) -> None:
        try:
            data = os.read(pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._pipes[pipe](data)
        else:
            self._end_of(pipe)

    def _end_of(self, pipe: IO[bytes]) -> None:
        sink = self._pipes.pop(pipe)
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        if not self._pipes:
            self._drained.set()
        sink(b"")


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdout: Sink | IO[bytes] | None = None,
    stderr: Sink | IO[bytes] | None = None,
    merged: bool = False,
    die_with_parent: DieWithParent = DieWithParent.NONE,
) -> Process:
    """Starts a program without input, which leads a process group of its own.

    Call it on the main thread's loop when the program must die with us: Linux means
    the thread that made it.

    Args:
        argv: Program and arguments; no shell reads them.
        env: All of its environment; None: as ours.
        cwd: Where it runs; None: where we do.
        stdout: A sink, an open file, or None for nowhere.
        stderr: As ``stdout``.
        merged: Send the error output where the output goes.
        die_with_parent: What happens to it when we end.

    Raises:
        OSError: It cannot be started.
    """
    ends = [_end_for(stdout), subprocess.STDOUT if merged else _end_for(stderr)]
    try:
        popen = subprocess.Popen(  # noqa: S603  # words of ours or of the owner, no shell
            _argv(argv, die_with_parent, env),
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=ends[0],
            stderr=ends[1],
            env=env,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C in the terminal is for us only
        )
    except ValueError as error:  # a NUL or half a surrogate in the words
        raise OSError(errno.EINVAL, str(error)) from error
    sinks = {
        pipe: sink
        for pipe, sink in ((popen.stdout, stdout), (popen.stderr, stderr))
        if pipe is not None and callable(sink)
    }
    return Process(popen, sinks)


async def run_once(
    argv: Sequence[str],
    timeout_s: float,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdout_bytes: int = STDOUT_BYTES,
    stderr_bytes: int = STDERR_BYTES,
    merged: bool = False,
    die_with_parent: DieWithParent = DieWithParent.NONE,
    watch: Callable[[TailSink], Coroutine[Any, Any, None]] | None = None,
) -> Finished:
    """Runs a program to its end, and no longer than ``timeout_s``.

    When it takes too long, or the caller is cancelled, its whole process group is told
    to end and then killed. Never raises for what the program does.

    Args:
        argv: Program and arguments; no shell reads them.
        timeout_s: Seconds.
        env: All of its environment; None: as ours.
        cwd: Where it runs; None: where we do.
        stdout_bytes: How much of its output is kept.
        stderr_bytes: How much of its error output is kept.
        merged: Keep the error output with the output, in their order.
        die_with_parent: What happens to it when we end.
        watch: Runs beside it with its output, and is cancelled when it has ended.
    """
    loop = asyncio.get_running_loop()
    stdout, stderr = TailSink(stdout_bytes), TailSink(stderr_bytes)
    began = loop.time()
    try:
        process = start(
            argv,
            env=env,
            cwd=cwd,
            stdout=stdout,
            stderr=None if merged else stderr,
            merged=merged,
            die_with_parent=die_with_parent,
        )
    except OSError as error:
        text = f"{argv[0]!r} cannot be started: {error.strerror or error}"
        return Finished(exit_code=None, error=text)
    watching = spawn(f"output of {argv[0]}", watch(stdout)) if watch else None
    late = ""
    try:
        if not await process.ended_within(timeout_s):
            late = _took_too_long(argv[0], timeout_s, ended=await process.end())
        await process.last_output()
    except asyncio.CancelledError:
        await process.end()
        raise
    finally:
        if watching is not None:
            watching.cancel()
    return Finished(
        exit_code=process.exit_code,
        stdout=stdout.text,
        stderr=stderr.text,
        truncated=stdout.truncated or stderr.truncated,
        duration_s=loop.time() - began,
        timed_out=bool(late),
        error=late,
    )


async def until_ready(
    process: Process, is_ready: Callable[[], Awaitable[bool]], within_s: float
) -> None:
    """Waits until a program is ready; ends it when it is not, or when cancelled.

    Args:
        process: It was started just now.
        is_ready: Asked again and again.
        within_s: Seconds.

    Raises:
        NotReadyError: It ended, or took too long.
    """
    try:
        async with asyncio.timeout(within_s):
            while not await is_ready():
                if process.exit_code is not None:
                    break
                await asyncio.sleep(_READY_POLL_S)
            else:
                return
    except TimeoutError as error:
        await process.end()
        text = f"is not ready after {within_s:g} s"
        raise NotReadyError(text) from error
    except BaseException:
        await process.end()
        raise
    await process.last_output()
    text = f"ended at once ({how_it_ended(process.exit_code or 0)})"
    raise NotReadyError(text)


def how_it_ended(code: int) -> str:
    """Returns an exit code in words: ``exit code 1``, ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _took_too_long(program: str, timeout_s: float, *, ended: bool) -> str:
    result = "was ended" if ended else "could not be ended: it is another user's"
    return f"{program!r} took longer than {timeout_s:g} s and {result}"


def _end_for(output: Sink | IO[bytes] | None) -> IO[bytes] | int:
    if output is None:
        return subprocess.DEVNULL
    return subprocess.PIPE if callable(output) else output


def _argv(
    argv: Sequence[str], mode: DieWithParent, env: Mapping[str, str] | None
) -> list[str]:
    if mode is DieWithParent.NONE:
        return list(argv)
    group = ["--group"] if mode is DieWithParent.GROUP else []
    starter = [sys.executable, "-I", "-S", _DIE_WITH_PARENT, *group, str(os.getpid())]
    return [*starter, _found(argv[0], env), *argv[1:]]


def _found(program: str, env: Mapping[str, str] | None) -> str:
    """Returns where a program is.

    Raises:
        FileNotFoundError: Nowhere.
    """
    if "/" in program:
        candidates = [program]
    else:
        candidates = [f"{place}/{program}" for place in os.get_exec_path(env)]
    for path in candidates:
        if os.access(path, os.X_OK):
            return path
    code = errno.EACCES if os.path.exists(candidates[0]) else errno.ENOENT  # noqa: PTH110  # pathlib costs a node memory
    raise OSError(code, os.strerror(code), program)
