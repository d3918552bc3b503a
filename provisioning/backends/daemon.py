"""How a DHCP server's process runs: as our own child, or as a unit of systemd."""

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from broker.common.processes import NotReadyError, Process, start, until_ready
from broker.common.supervisor import ProgramEnd, RestartPauses, Supervisor
from broker.common.tasks import Tasks
from provisioning.backends import files
from provisioning.backends.checks import is_running, serves_dhcp, somebody_serves_dhcp
from provisioning.common.errors import BackendError

log = logging.getLogger(__name__)

READY_S = 5.0
STOP_S = 5.0
SYSTEMCTL_S = 20.0
PAUSES = RestartPauses(first_s=0.05, longest_s=5.0, steady_s=10.0)
"""Before a server that ended is started again."""
LOG_BYTES = 1_000_000
"""Most of its output that is kept, twice: a server that dies again and again, or
complains without end, must not fill a card."""
LOG_LOOK_S = 10.0
"""Seconds between two checks of the size of its log."""

LAST_LINES = 14
LAST_CHARACTERS = 600
_REASON = re.compile(r"\b(ERROR|FATAL)\b")
"""How Kea marks the lines that say why it ends, among many that do not."""
_THANKS = "If you think you have received this message due to a bug"
"""dhcpd ends with ten lines of thanks after the one that matters."""


class Daemon(Protocol):
    """Runs a server and lets it read its files again."""

    @property
    def log(self) -> str:
        """Where a person reads its output."""

    async def start(self) -> None:
        """Runs it and returns once it serves.

        Raises:
            BackendError: It does not run.
        """

    async def stop(self) -> None:
        """Ends it; calling it twice is fine."""

    async def reload(self) -> None:
        """Makes it read its files again.

        Raises:
            BackendError: It is not there.
        """

    async def restart(self) -> None:
        """Ends it and runs it again; leases stay.

        Raises:
            BackendError: It does not run.
        """

    async def alive(self) -> bool:
        """Whether it runs."""


class ChildDaemon:
    """A server as our own child, started again whenever it dies.

    It outlives a killed parent, so that a crash of ours does not end DHCP; the next
    parent knows it by its pid file and takes over from it.

    Args:
        argv: Program and arguments; it must stay in the foreground.
        folder: For its pid and its log.
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
        """The file with its output."""
        return self._folder / "server.log"

    @property
    def log(self) -> str:
        """Where a person reads its output."""
        return str(self.log_file)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._supervised.pid

    async def start(self) -> None:
        """Runs it, in the place of one that a killed parent left."""
        if not self._tasks:
            await self._end_orphan()
            await self._supervised.start()
            self._watch_log()

    async def stop(self) -> None:
        """Ends it; calling it twice is fine."""
        await self._tasks.stop()
        await self._supervised.stop(STOP_S)
        self._pid_file.unlink(missing_ok=True)

    async def reload(self) -> None:
        """Sends it SIGHUP."""
        if self.pid is None:
            text = f"{self.argv[0]} is not running: {self._end_of_log()}"
            raise BackendError(text)
        os.kill(self.pid, signal.SIGHUP)

    async def restart(self) -> None:
        """Ends it and runs it again."""
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
        """Ends the server of a killed parent, and no other process with its pid."""
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
            text = f"{self.argv[0]} does not serve: {self._end_of_log()}"
            raise BackendError(text) from error
        return process

    def _begin(self) -> Process:
        """Starts it; it writes to a file, not to a pipe, because it outlives us."""
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
            log.warning("%s ended: %s", self.argv[0], self._end_of_log())

    def _watch_log(self) -> None:
        _ = self._tasks.keep_running(f"log of {self.argv[0]}", self._watch_log_size)

    async def _watch_log_size(self) -> None:
        while True:
            await asyncio.sleep(LOG_LOOK_S)
            self._bound_log()

    def _bound_log(self) -> None:
        """Moves a log that is too long aside; the server goes on in an empty one."""
        with contextlib.suppress(OSError):
            if self.log_file.stat().st_size > LOG_BYTES:
                self.log_file.with_suffix(".log.old").write_bytes(_tail(self.log_file))
                os.truncate(self.log_file, 0)

    def _end_of_log(self) -> str:
        try:
            return end_of_log(self.log_file.read_text(errors="replace"))
        except OSError:
            return end_of_log("")


def end_of_log(log_text: str) -> str:
    """Returns the last lines of a log, above all those that say why it ended."""
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


class SystemdDaemon:
    """A server as a unit of systemd, for a master without rights of its own.

    Args:
        name: Of the unit, for example ``pirack-dhcp.service``.
        systemctl: The program; polkit lets the master's user restart and reload this
            unit and no other.
        serves: Whether a process of this machine listens for DHCP.
        ready_s: Seconds until one must.
    """

    def __init__(
        self,
        name: str,
        systemctl: str = "systemctl",
        serves: Callable[[], bool] = somebody_serves_dhcp,
        ready_s: float = READY_S,
    ) -> None:
        self._name = name
        self._systemctl = systemctl
        self._serves = serves
        self._ready_s = ready_s

    @property
    def log(self) -> str:
        """Where a person reads its output."""
        return f"journalctl -u {self._name}"

    async def start(self) -> None:
        """Starts the unit; restarts one that runs, for its files may have changed."""
        await self.restart()

    async def stop(self) -> None:
        """Leaves the unit running: DHCP outlives the master."""

    async def reload(self) -> None:
        """Makes the unit read its files again."""
        await self._call("reload")

    async def restart(self) -> None:
        """Restarts the unit and returns once it serves; leases stay."""
        await self._call("restart")
        try:
            async with asyncio.timeout(self._ready_s):
                while not self._serves():  # noqa: ASYNC110  # systemd does not tell
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            text = f"{self._name} does not serve; see: {self.log}"
            raise BackendError(text) from error

    async def alive(self) -> bool:
        """Whether systemd says that it is active."""
        try:
            await self._call("is-active")
        except BackendError:
            return False
        return True

    async def _call(self, verb: str) -> None:
        argv = (self._systemctl, "--no-ask-password", verb, self._name)
        code, said = await files.run(argv, SYSTEMCTL_S)
        if code:
            text = f"{self._systemctl} {verb} {self._name} failed: {said}"
            raise BackendError(text)
