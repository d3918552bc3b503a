"""A DHCP server's process, and the one that is our own child."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from provisioning.backends.process_table import is_running, serves_dhcp
from provisioning.errors import BackendError

log = logging.getLogger(__name__)

READY_S = 5.0
STOP_S = 5.0
BACKOFF_S = (0.05, 5.0)
"""Seconds before a dead server is started again: at first, and at most."""
STEADY_S = 10.0
"""Who served that long begins anew with the shortest pause."""
LOG_BYTES = 1_000_000
"""At most kept of what it said: one that dies again and again must not fill a card."""


LAST_LINES = 14
"""dhcpd ends with ten lines of thanks after the one that matters."""
LAST_CHARACTERS = 600


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
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

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
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def start(self) -> None:
        """Run it, in the place of one that a killed parent left.

        Raises:
            BackendError: It ended, or does not listen in time.
        """
        if self._keeper is None:
            await self._end_orphan()
            await self._launch()
            self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it; calling it twice is fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await self._end()
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
            self._keeper = asyncio.create_task(self._keep())
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

    async def _launch(self) -> None:
        try:
            # Appends: what a server said before it died is what a person needs.
            with self.log_file.open("ab") as output:
                if output.tell() > LOG_BYTES:
                    output.truncate(0)
                self._process = await asyncio.create_subprocess_exec(
                    *self.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **self._environment},
                    start_new_session=True,  # Ctrl-C is for us; we end it in order
                )
            self._pid_file.write_text(str(self._process.pid))
        except OSError as error:
            text = f"{self.argv[0]} cannot be started: {error.strerror}"
            raise BackendError(text) from error
        try:
            async with asyncio.timeout(READY_S):
                while self._process.returncode is None:
                    if serves_dhcp(self._process.pid):
                        return
                    await asyncio.sleep(0.01)
        except TimeoutError:
            await self._end()
        text = f"{self.argv[0]} does not serve: {self._last_words()}"
        raise BackendError(text)

    async def _keep(self) -> None:
        """Start it again whenever it ends without being asked."""
        wait_s = BACKOFF_S[0]
        while True:
            began = asyncio.get_running_loop().time()
            if self._process is not None:
                await self._process.wait()
                log.warning("%s ended: %s", self.argv[0], self._last_words())
            if asyncio.get_running_loop().time() - began >= STEADY_S:
                wait_s = BACKOFF_S[0]
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, BACKOFF_S[1])
            try:
                await self._launch()
            except BackendError as error:
                log.warning("%s", error)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _last_words(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return "it said nothing"
        said = [line.strip() for line in lines[-LAST_LINES:] if line.strip()]
        return "; ".join(said)[:LAST_CHARACTERS] or "it said nothing"
