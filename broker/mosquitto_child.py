"""Mosquitto as a child process: start, wait until it speaks MQTT, stop."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from broker import tether
from broker.atomic import replace
from broker.errors import BrokerError
from broker.mosquitto import Mosquitto
from broker.mosquitto_conf import Plan, render

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
TAIL_LINES = 12
_KEPT_LINES = 40
_CONNECT = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x05\x00\x06pirack"
"""A 3.1.1 CONNECT without a name: whatever is answered, a broker is there."""
_CONNACK = 0x20


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

    It is killed with us (see ``tether``). ``kill -9`` costs it at most what came since
    its last autosave, and that is said again: nodes and master publish all they have
    whenever they connect.

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
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        process = self._process
        running = process is not None and process.returncode is None
        return process.pid if process is not None and running else None

    async def start(self) -> None:
        """Start it and return when it accepts MQTT.

        Call it on the main thread's loop: the child ends with the thread that made it.

        Raises:
            BrokerError: It cannot be started; says why and what to do.
        """
        if self.pid is not None:
            return
        self._refuse_taken_port()
        self._tail.clear()
        process = self._process = await self._spawn(self._configure())
        self._reader = asyncio.create_task(self._read(process), name="mosquitto log")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._answers():
                    if process.returncode is not None:
                        await self._reader
                        raise BrokerError(self._complaint("ended at once"))
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            await self.stop()
            complaint = self._complaint(f"is not ready after {START_TIMEOUT_S:g} s")
            raise BrokerError(complaint) from error
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ask it to save and end; kill it if it does not; twice is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                log.warning("mosquitto did not end in %g s; killed", STOP_TIMEOUT_S)
                process.kill()
        await process.wait()
        if self._reader is not None:
            await self._reader

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

    async def _spawn(self, configuration: Path) -> asyncio.subprocess.Process:
        program = str(self._mosquitto.program)
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid())),
                *(program, "-c", str(configuration)),
                env=self._mosquitto.environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in the terminal is for us only
            )
        except OSError as error:
            text = f"{program} cannot be started: {error.strerror}"
            raise BrokerError(text) from error

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101  # it is a pipe, see _spawn
        async for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
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
