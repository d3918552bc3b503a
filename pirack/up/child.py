"""One part of the rack as a child process that is started again when it dies."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence

import msgspec

from broker.errors import ConfigError
from broker.service import EXIT_CONFIG, EXIT_USAGE

log = logging.getLogger(__name__)

FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 30.0
SETTLED_S = 60.0
"""A part that lived this long has recovered: the next death counts as the first."""
STOP_S = 8.0
"""After this a part that was asked to end is killed."""
LAST_WORDS_S = 0.5
LINE_LIMIT_BYTES = 64 * 1024

Say = Callable[[str], None]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What to run.

    Args:
        name: As people call it: ``master``.
        arguments: Sub-command of ``pirack`` and its options.
    """

    name: str
    arguments: tuple[str, ...]


def restart_delay_s(deaths: int, spread: float) -> float:
    """Return how long to wait before a part is started again, in seconds.

    Args:
        deaths: How often it died in a row, from 1.
        spread: Random number from 0 to 1: up to a tenth is added.
    """
    delay_s = FIRST_DELAY_S * 2.0 ** (min(deaths, 10) - 1)
    return min(delay_s, LONGEST_DELAY_S) * (1 + spread / 10)


def how_it_ended(code: int) -> str:
    """Say an exit status in words: ``exit code 1``, ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


class Child:
    """A part that is kept running until it is stopped.

    Args:
        part: What to run.
        say: Where sentences for the person go, the part's own lines among them.
        changed: Called when the process id is another one.
    """

    def __init__(self, part: Part, say: Say, changed: Callable[[], None]) -> None:
        self.part = part
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id now; 0 while it is not running."""
        process = self._process
        return process.pid if process and process.returncode is None else 0

    async def start(self) -> None:
        """Start the process and keep it."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def broken(self) -> None:
        """Wait for what a restart cannot heal.

        Raises:
            ConfigError: The part refuses its configuration.
        """
        if self._keeper is not None:
            await asyncio.shield(self._keeper)

    async def stop(self) -> None:
        """Ask the process to end, kill it if it does not; calling it twice is fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConfigError):
                await keeper
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        self._signal(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            self._say(f"{self.part.name} did not end within {STOP_S:g} s; killed")
            self._signal(process, signal.SIGKILL)
            await process.wait()

    async def _keep(self) -> None:
        deaths = 0
        while True:
            began = time.monotonic()
            code = await self._follow()
            deaths = 1 if time.monotonic() - began > SETTLED_S else deaths + 1
            if code in {EXIT_CONFIG, EXIT_USAGE}:
                text = f"{self.part.name} refuses its configuration; see above"
                raise ConfigError(text)
            delay_s = restart_delay_s(deaths, random.random())  # noqa: S311  # jitter
            self._say(
                f"{self.part.name} ended ({how_it_ended(code)}); "
                f"starting it again in {delay_s:.0f} s"
            )
            self._changed()
            await asyncio.sleep(delay_s)
            await self._spawn()
            self._say(f"{self.part.name} runs again (process {self.pid})")
            self._changed()

    async def _spawn(self) -> None:
        command = (sys.executable, "-m", "pirack.up.part", str(os.getpid()))
        self._process = await asyncio.create_subprocess_exec(
            *command,
            *self.part.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT_BYTES,
            # Ctrl-C reaches the supervisor only, which stops the parts in order.
            start_new_session=True,
        )

    async def _follow(self) -> int:
        """Pass the part's lines on until it ends; return its exit status."""
        process = self._process
        assert process is not None  # noqa: S101  # spawned before it is followed
        lines = asyncio.create_task(self._pass_on(process), name="lines of a part")
        try:
            code = await process.wait()
            # Its last words; a program it left behind may hold the pipe open for ever.
            await asyncio.wait([lines], timeout=LAST_WORDS_S)
        finally:
            lines.cancel()
        return code

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101  # asked for when it was spawned
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than the limit: dropped, the stream goes on
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self._say(f"[{self.part.name}] {text}")

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


async def stop_all(children: Sequence[Child]) -> None:
    """Stop parts at the same time."""
    await asyncio.gather(*(child.stop() for child in children))
