"""Keeps a program running: starts it again, with growing pauses, when it ends."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import msgspec

from broker.common.processes import GRACE_S, NotReadyError, Process, how_it_ended
from broker.common.tasks import log_failures, spawn

log = logging.getLogger(__name__)


class RestartPauses(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before a program that ended is started again.

    Args:
        first_s: Seconds after its first end; doubled after each further one.
        longest_s: At most so many.
        steady_s: A program that ran so long has recovered: its next end is the first.
    """

    first_s: float = 1.0
    longest_s: float = 30.0
    steady_s: float = 60.0

    def after(self, ends: int, spread: float) -> float:
        """Returns how long to wait now, in seconds.

        Args:
            ends: How often it ended in a row, from 1.
            spread: Random number from 0 to 1: up to a tenth is added.
        """
        pause_s = self.first_s * 2.0 ** (min(ends, 30) - 1)
        return min(pause_s, self.longest_s) * (1 + spread / 10)


class ProgramEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a program that should run ended.

    Args:
        exit_code: How it ended; None: it could not be started again.
        why: The same in words.
        pause_s: Seconds until it is started again.
    """

    exit_code: int | None
    why: str
    pause_s: float


class Supervisor:
    """Keeps one program running: starts it again, with pauses, whenever it ends.

    Args:
        name: Of the program, for the log.
        launch: Starts it and returns once it is ready; when it fails or is cancelled,
            nothing of it runs.
        pauses: Before it is started again.
        on_end: Called at each end; logs it by default. What it raises ends the
            supervision for good: see ``given_up``.
        on_start: Called when it runs again.
        failures: What ``launch`` raises for reasons that ``on_end`` explains; anything
            else is logged with its traceback, and tried again too.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[], Awaitable[Process]],
        *,
        pauses: RestartPauses | None = None,
        on_end: Callable[[ProgramEnd], None] | None = None,
        on_start: Callable[[], None] | None = None,
        failures: tuple[type[Exception], ...] = (OSError, NotReadyError),
    ) -> None:
        self._name = name
        self._launch = launch
        self._pauses = pauses or RestartPauses()
        self._on_end = on_end or self._log_end
        self._on_start = on_start
        self._failures = failures
        self._process: Process | None = None
        self._task: asyncio.Task[Exception | None] | None = None

    @property
    def process(self) -> Process | None:
        """The program; None while it does not run."""
        process = self._process
        return process if process is not None and process.exit_code is None else None

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self.process.pid if self.process is not None else None

    async def start(self) -> None:
        """Starts it, returns once it is ready, and keeps it running.

        Raises:
            Exception: What ``launch`` raises; then it is not kept running.
        """
        if self._task is None:
            self._process = await self._launch()
            self.keep()

    def keep(self) -> None:
        """Keeps it running from now on, even if it does not run yet."""
        if self._task is None:
            self._task = spawn(f"keep {self._name} running", self._keep())

    async def given_up(self) -> None:
        """Waits until ``on_end`` ends the supervision, and raises what it raised."""
        if self._task is not None and (error := await asyncio.shield(self._task)):
            raise error

    async def stop(self, grace_s: float = GRACE_S) -> bool:
        """Asks it to end and kills it if it does not; twice is fine.

        Args:
            grace_s: Seconds between the two.

        Returns:
            Whether it ended in time.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        process, self._process = self._process, None
        if process is None or process.exit_code is not None:
            return True
        began = asyncio.get_running_loop().time()
        await process.end(grace_s, leader_first=True)
        return asyncio.get_running_loop().time() - began < grace_s

    async def _keep(self) -> Exception | None:
        loop, ends, why = asyncio.get_running_loop(), 0, "not running"
        while True:
            began, code = loop.time(), None
            if self._process is not None:
                code = await self._process.wait()
                await self._process.last_output()
                why, self._process = how_it_ended(code), None
            ends = 1 if loop.time() - began >= self._pauses.steady_s else ends + 1
            pause_s = self._pauses.after(ends, random.random())  # noqa: S311  # jitter
            try:
                self._on_end(ProgramEnd(exit_code=code, why=why, pause_s=pause_s))
            except Exception as error:  # noqa: BLE001  # handed to who waits for it
                return error
            await asyncio.sleep(pause_s)
            why = await self._again()

    async def _again(self) -> str:
        """Starts it again; returns why that failed, or nothing."""
        try:
            self._process = await self._launch()
        except self._failures as error:
            return str(error)
        except Exception as error:
            log.exception("%s cannot be started", self._name)
            return repr(error)
        if self._on_start is not None:
            with log_failures("telling that a program runs again"):
                self._on_start()
        return ""

    def _log_end(self, end: ProgramEnd) -> None:
        log.warning(
            "%s: %s; starting it again in %.0f s", self._name, end.why, end.pause_s
        )
