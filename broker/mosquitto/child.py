"""Mosquitto as a child process: start, wait until it speaks MQTT, stop."""

import asyncio
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from broker.common.atomic import replace
from broker.common.errors import BrokerError
from broker.common.processes import (
    DieWithParent,
    LineSink,
    NotReadyError,
    Process,
    start,
    until_ready,
)
from broker.mosquitto.configuration import Plan, render
from broker.mosquitto.program import Mosquitto

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
TAIL_LINES = 12
_KEPT_LINES = 40
_CONNECT = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x05\x00\x06pirack"
"""A 3.1.1 CONNECT without a name: whatever is answered, a broker is there."""
_CONNACK = 0x20

STORE = "mosquitto.db"
BROKEN = ".broken-"
"""Between the name of a store that was put aside and the moment, in UTC."""
KEPT_BROKEN = 3
_UNREADABLE = "Couldn't open database"
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
)


def put_aside(store: Path) -> Path:
    """Rename a store that cannot be read; the last few are kept for a person.

    Args:
        store: ``mosquitto.db``.

    Raises:
        BrokerError: The card cannot be written.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    aside = store.with_name(f"{store.name}{BROKEN}{moment}")
    try:
        store.rename(aside)
        older = sorted(store.parent.glob(f"{store.name}{BROKEN}*"))
        for one in older[:-KEPT_BROKEN]:
            one.unlink()
    except OSError as error:
        text = f"{store} cannot be read, nor put aside: {error.strerror}"
        raise BrokerError(text) from error
    return aside


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens; a port in TIME_WAIT is free, as for Mosquitto."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
    except OSError:
        probe.close()
        raise
    return probe


def _log(line: str) -> None:
    log.log(logging.WARNING if line.startswith("Error") else logging.INFO, "%s", line)


class MosquittoChild:
    """One Mosquitto; it can be started again after it ended.

    It is killed with us (``die_with_parent``). ``kill -9`` costs it at most what came
    since its last autosave, and that is said again: nodes and master publish all they
    have whenever they connect.

    Args:
        mosquitto: The program.
        plan: How it shall run; its directory holds the plugin's file already.
        hear: Called with each line it logs; the log by default.
    """

    def __init__(
        self,
        mosquitto: Mosquitto,
        plan: Plan,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        self._mosquitto = mosquitto
        self._plan = plan
        self._hear = hear or _log
        self._process: Process | None = None
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        process = self._process
        running = process is not None and process.exit_code is None
        return process.pid if process is not None and running else None

    async def start(self) -> None:
        """Start it, if it does not run, and return when it accepts MQTT.

        Raises:
            BrokerError: It cannot be started; says why and what to do.
        """
        if self.pid is None:
            _ = await self.launch()

    async def launch(self) -> Process:
        """Start it and return its process when it accepts MQTT.

        A store that it cannot read is put aside: the broker is a cache.

        Call it on the main thread's loop: the child ends with the thread that made it.

        Raises:
            BrokerError: It cannot be started; says why and what to do.
        """
        try:
            return await self._launch()
        except BrokerError:
            store = self._unreadable_store()
            if store is None:
                raise
            aside = put_aside(store)
        self._hear(
            f"Error: {store} cannot be read and was put aside as {aside.name}; the "
            "broker starts without it; nodes and master publish again what they know"
        )
        return await self._launch()

    async def _launch(self) -> Process:
        self._refuse_taken_port()
        self._tail.clear()
        process = self._process = self._spawn(self._configure())
        try:
            await until_ready(process, self._answers, START_TIMEOUT_S)
        except NotReadyError as error:
            raise BrokerError(self._complaint(str(error))) from error
        return process

    def _unreadable_store(self) -> Path | None:
        """Return the store, if Mosquitto ended because of it."""
        store = self._plan.directory / STORE
        code = self._process.exit_code if self._process is not None else None
        crashed = code is not None and -code in _CRASHES
        said = any(_UNREADABLE in line for line in self._tail)
        return store if (said or crashed) and store.is_file() else None

    async def stop(self) -> None:
        """Ask it to save and end; kill it if it does not; twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            _ = await process.end(STOP_TIMEOUT_S, leader_first=True)

    async def wait(self) -> int:
        """Wait until it ends and return its exit status.

        Raises:
            BrokerError: It was not started.
        """
        if self._process is None:
            text = "mosquitto was not started"
            raise BrokerError(text)
        return await self._process.wait()

    def tail(self) -> str:
        """Return the last lines it logged."""
        return "\n".join(list(self._tail)[-TAIL_LINES:])

    def _refuse_taken_port(self) -> None:
        """Another program's broker would otherwise pass for ours."""
        tls = self._plan.tls
        for host, port in (
            (self._plan.host, self._plan.port),
            *([(tls.host, tls.port)] if tls else []),
        ):
            try:
                _bound(host, port).close()
            except OSError as error:
                where = f"{host or 'all addresses'}, port {port}"
                why = f"{error.strerror}; name another"
                text = f"mosquitto cannot listen on {where}: {why}"
                raise BrokerError(text) from error

    def _configure(self) -> Path:
        path = self._plan.directory / "mosquitto.conf"
        try:
            replace(path, render(self._plan, root=os.geteuid() == 0).encode())
        except OSError as error:
            text = f"{path}: cannot be written: {error.strerror}"
            raise BrokerError(text) from error
        return path

    def _spawn(self, configuration: Path) -> Process:
        program = str(self._mosquitto.program)
        try:
            return start(
                [program, "-c", str(configuration)],
                env=self._mosquitto.environment(os.environ),
                stderr=LineSink(self._heard),
                die_with_parent=DieWithParent.PROGRAM,
            )
        except OSError as error:
            text = f"{program} cannot be started: {error.strerror}"
            raise BrokerError(text) from error

    def _heard(self, line: str) -> None:
        self._tail.append(line)
        self._hear(line)

    async def _answers(self) -> bool:
        """Whether a broker answers a CONNECT, with a refusal or not."""
        host = self._plan.host or "127.0.0.1"
        try:
            reader, writer = await asyncio.open_connection(host, self._plan.port)
        except OSError:
            return False
        try:
            writer.write(_CONNECT)
            return (await reader.read(1)) == bytes([_CONNACK])
        except OSError:
            return False
        finally:
            writer.close()

    def _complaint(self, what: str) -> str:
        said = self.tail() or "(it logged nothing)"
        return (
            f"{self._mosquitto.program} {what}. It said:\n{said}\n"
            f"Its configuration: {self._plan.directory / 'mosquitto.conf'}"
        )
