"""Outlets switched by commands of the owner: uhubctl, snmpset, curl, anything.

Each is split into words once and run without a shell, in a process group of its own
that ends as a whole when it takes too long, or when we do.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping

import msgspec

from broker.messages import Power
from master_service.power.outlets import PowerFatalError, PowerRetryableError, unknown
from master_service.power.rows import CommandsRow, Words, words

TRY_AGAIN = 75
"""``EX_TEMPFAIL`` of sysexits.h."""
KEPT_BYTES = 4096
_READ_BYTES = 65_536
_QUOTED = 200
_DRAIN_S = 1.0


class Outcome(msgspec.Struct, frozen=True):
    """How a command ended.

    Args:
        code: Its exit code; negative: the signal that ended it.
        said: Standard output, its first 4 KiB.
        complained: Standard error, likewise.
    """

    code: int
    said: str
    complained: str


class CommandOutlets:
    """Outlets switched by commands; see ``Outlets``.

    Args:
        rows: By outlet.
    """

    def __init__(self, rows: Mapping[str, CommandsRow]) -> None:
        self._rows = dict(rows)
        self._turns = {name: asyncio.Lock() for name in rows}

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # what it switches keeps its own
        """Check that there is such an outlet."""
        self._row(outlet)

    async def read(self, outlet: str) -> Power:
        """Run the status command and look for its words."""
        row = self._row(outlet)
        async with self._turns[outlet]:
            outcome = await self._run(outlet, "status", row.status, row.timeout_s)
        on, off = (
            re.search(pattern, outcome.said) is not None
            for pattern in (row.status_on, row.status_off)
        )
        if on is not off:
            return Power.ON if on else Power.OFF
        text = (
            f"outlet {outlet}: status says {outcome.said[:_QUOTED]!r}, in which "
            f"{'both' if on else 'neither'} status_on {row.status_on!r} and status_off "
            f"{row.status_off!r} {'are' if on else 'is'} found"
        )
        raise PowerFatalError(text)

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Run the command for a level."""
        row = self._row(outlet)
        name, command = ("on", row.on) if on else ("off", row.off)
        async with self._turns[outlet]:
            await self._run(outlet, name, command, row.timeout_s)

    async def close(self) -> None:
        """Do nothing: no command runs on."""

    async def _run(
        self, outlet: str, name: str, command: Words, timeout_s: float
    ) -> Outcome:
        """Run a command that must end well.

        Raises:
            PowerFatalError: It cannot be started, or failed.
            PowerRetryableError: It took too long, or asked for another attempt.
        """
        argv = words(command)
        what = f"outlet {outlet}: {name} command {argv[0]!r}"
        try:
            outcome = await run(argv, timeout_s)
        except TimeoutError:
            text = f"{what} was ended after {timeout_s:.0f} s"
            raise PowerRetryableError(text) from None
        except OSError as error:
            text = f"{what} cannot be started: {error.strerror}"
            raise PowerFatalError(text) from error
        if outcome.code == 0:
            return outcome
        said = (outcome.complained or outcome.said).strip()[-_QUOTED:]
        text = f"{what} ended with exit code {outcome.code}: {said or 'without a word'}"
        if outcome.code == TRY_AGAIN:
            raise PowerRetryableError(text)
        raise PowerFatalError(text)

    def _row(self, outlet: str) -> CommandsRow:
        try:
            return self._rows[outlet]
        except KeyError:
            raise unknown(outlet, self._rows) from None


async def run(argv: tuple[str, ...], timeout_s: float) -> Outcome:
    """Run words as a process and return how it ended.

    Args:
        argv: Program and arguments.
        timeout_s: Seconds after which it and all it started are killed.

    Raises:
        TimeoutError: It did not end in time.
        OSError: It cannot be started.
    """
    process = await _started(argv)
    try:
        async with asyncio.timeout(timeout_s):
            said, complained = await asyncio.gather(
                _kept(process.stdout), _kept(process.stderr)
            )
            return Outcome(await process.wait(), said, complained)
    except BaseException:
        await _end(process)
        raise


async def _started(argv: tuple[str, ...]) -> asyncio.subprocess.Process:
    """Start words as a process, and do not let that be cut off in its middle.

    asyncio (3.11) would kill the program alone, without what it started, and wait for
    ever for the end of pipes it had not connected yet.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _end(await starting)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process with all it started: who is left holds the group's number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # What is left in the pipes, or their ends would stay open.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            await asyncio.gather(_kept(process.stdout), _kept(process.stderr))
    await process.wait()


async def _kept(stream: asyncio.StreamReader | None) -> str:
    """Read a stream to its end and return its beginning."""
    kept = b""
    while stream is not None and (data := await stream.read(_READ_BYTES)):
        kept = (kept + data)[:KEPT_BYTES]
    return kept.decode("utf-8", "replace")
