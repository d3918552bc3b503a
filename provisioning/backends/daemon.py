"""A DHCP server's process, and the one that is our own child."""

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from broker.common.processes import NotReadyError, Process, start, until_ready
from broker.common.supervisor import ProgramEnd, RestartPauses, Supervisor
from broker.common.tasks import Tasks
from provisioning.backends.process_table import is_running, serves_dhcp
from provisioning.errors import BackendError

log = logging.getLogger(__name__)

READY_S = 5.0
STOP_S = 5.0
PAUSES = RestartPauses(first_s=0.05, longest_s=5.0, steady_s=10.0)
"""Before a server that ended is started again."""
LOG_BYTES = 1_000_000
"""Of what it said, at most so much is kept, and as much of what it said before that:
one that dies again and again, or complains without end, must not fill a card."""
LOG_LOOK_S = 10.0
"""How often the size of its log is looked at."""

LAST_LINES = 14
LAST_CHARACTERS = 600
_REASON = re.compile(r"\b(ERROR|FATAL)\b")
"""How Kea marks the lines that say why it ends, among many that do not."""
_THANKS = "If you think you have received this message due to a bug"
"""dhcpd ends with ten lines of thanks after the one that matters."""


class Daemon(Protocol):
    """Runs a server and tells it to read its files again."""

    @property
    def log(self) -> str:
        """Where a person reads what it said."""

    async def start(self) -> None:
        """Run it and return once it serves.

        Raises:
            BackendError: It does not run.
        """

    async def stop(self) -> None:
        """End it; calling it twice is fine."""

    async def reload(self) -> None:
        """Let it read its files again.

        Raises:
            BackendError: It is not there.
        """

    async def restart(self) -> None:
        """End it and run it again; leases stay.

        Raises:
            BackendError: It does not run.
        """

    async def alive(self) -> bool:
        """Whether it runs."""


class Child:
    """A server as our own child, started again whenever it dies.

    It outlives a killed parent, so that a crash of ours does not end DHCP; the next
    parent knows it by its pid file and takes over from it.

    Args:
        argv: Program and arguments; it must stay in the foreground.
        folder: Where its pid and its log go.
        environment: Variables it needs beside ours.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self._folder = folder
        self._environment = dict(environment or {})
        self._supervised = Supervisor(
            self.argv[0] if self.argv else "server",
            self._launch,
            pauses=PAUSES,
            on_end=self._ended,
            failures=(BackendError,),
        )
        self._tasks = Tasks()

    @property
    def log_file(self) -> Path:
        """What the server last said."""
        return self._folder / "server.log"

    @property
    def log(self) -> str:
        """Where a person reads what it said."""
        return str(self.log_file)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._supervised.pid

    async def start(self) -> None:
        """Run it, in the place of one that a killed parent left.

        Raises:
            BackendError: It ended, or does not listen in time.
        """
        if not self._tasks:
            await self._end_orphan()
            await self._supervised.start()
            self._watch_log()

    async def stop(self) -> None:
        """End it; calling it twice is fine."""
        await self._tasks.stop()
        await self._supervised.stop(STOP_S)
        self._pid_file.unlink(missing_ok=True)

    async def reload(self) -> None:
        """Send it SIGHUP.

        Raises:
            BackendError: It is not there.
        """
        if self.pid is None:
            text = f"{self.argv[0]} is not running: {self._last_words()}"
            raise BackendError(text)
        os.kill(self.pid, signal.SIGHUP)

    async def restart(self) -> None:
        """End it and run it again.

        Raises:
            BackendError: It does not come up; that is tried again, as after a death.
        """
        await self.stop()
        try:
            await self.start()
        except BackendError:
            self._supervised.keep()
            self._watch_log()
            raise

    async def alive(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def _pid_file(self) -> Path:
        return self._folder / "server.pid"

    async def _end_orphan(self) -> None:
        """End the server a killed parent left, and nothing that only has its pid."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not is_running(pid, self.argv):
                return
            log.info("taking over from %s, pid %d", self.argv[0], pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    while is_running(pid, self.argv):  # noqa: ASYNC110  # not our child: nobody tells
                        await asyncio.sleep(0.01)

    async def _launch(self) -> Process:
        try:
            process = self._begin()
        except OSError as error:
            text = f"{self.argv[0]} cannot be started: {error.strerror}"
            raise BackendError(text) from error
        try:
            self._pid_file.write_text(str(process.pid))
        except OSError as error:
            await process.end()
            text = f"{self._pid_file} cannot be written: {error.strerror}"
            raise BackendError(text) from error
        try:
            await until_ready(process, partial(self._serves, process.pid), READY_S)
        except NotReadyError as error:
            text = f"{self.argv[0]} does not serve: {self._last_words()}"
            raise BackendError(text) from error
        return process

    def _begin(self) -> Process:
        """Start it; it appends to a file, and to no pipe, because it outlives us."""
        self._bound_log()
        env = {**os.environ, **self._environment}
        with self.log_file.open("ab") as output:
            return start(self.argv, env=env, stdout=output, stderr=output)

    async def _serves(self, pid: int) -> bool:
        return serves_dhcp(pid)

    def _ended(self, end: ProgramEnd) -> None:
        if end.exit_code is None:
            log.warning("%s", end.why)
        else:
            log.warning("%s ended: %s", self.argv[0], self._last_words())

    def _watch_log(self) -> None:
        _ = self._tasks.keep_running(f"log of {self.argv[0]}", self._watch_log_size)

    async def _watch_log_size(self) -> None:
        while True:
            await asyncio.sleep(LOG_LOOK_S)
            self._bound_log()

    def _bound_log(self) -> None:
        """Puts a log that is too long aside; the server goes on at its beginning."""
        with contextlib.suppress(OSError):
            if self.log_file.stat().st_size > LOG_BYTES:
                self.log_file.with_suffix(".log.old").write_bytes(_tail(self.log_file))
                os.truncate(self.log_file, 0)

    def _last_words(self) -> str:
        try:
            return last_words(self.log_file.read_text(errors="replace"))
        except OSError:
            return last_words("")


def last_words(log_text: str) -> str:
    """Return what a server said at its end, above all why it ended."""
    said = [line.strip() for line in log_text.splitlines() if line.strip()]
    said = said[-LAST_LINES:]
    thanks = next((n for n, line in enumerate(said) if _THANKS in line), None)
    if thanks:
        said = said[:thanks]
    said = [line for line in said if _REASON.search(line)] or said
    return "; ".join(said)[-LAST_CHARACTERS:] or "it said nothing"


def _tail(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(-min(LOG_BYTES, file.stat().st_size), os.SEEK_END)
        return opened.read(LOG_BYTES)
