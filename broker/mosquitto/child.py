"""Mosquitto as a child process: its configuration, start, store and stop.

The lines of the configuration with their reasons are in ``mosquitto.conf``, for a
broker of one's own. Everything here is understood by 2.0 and 2.1.
"""

import asyncio
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

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
from broker.mosquitto.program import Mosquitto

log = logging.getLogger(__name__)

ALL_ADDRESSES = ""
"""As host: listen on every address, IPv4 and IPv6."""
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
TAIL_LINES = 12
_KEPT_LINES = 40
_CONNECT = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x05\x00\x06pirack"
"""A 3.1.1 CONNECT without a name: any answer shows that a broker is there."""
_CONNACK = 0x20

STORE = "mosquitto.db"
BROKEN = ".broken-"
"""Between the name of a store that was put aside and the moment, in UTC."""
KEPT_BROKEN = 3
_UNREADABLE = "Couldn't open database"
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
)


_LIMITS = (
    "autosave_interval 30",
    "max_packet_size 262144",
    "max_inflight_messages 20",
    # A master that subscribes to a large rack is sent all that is retained at once.
    "max_queued_messages 100000",
    "max_queued_bytes 67108864",
    "max_keepalive 600",
    "sys_interval 10",
    "set_tcp_nodelay true",
    "log_dest stderr",
    "log_timestamp false",
    "log_type error",
    "log_type warning",
    "log_type notice",
    "connection_messages false",
)


class TlsListener(msgspec.Struct, frozen=True, kw_only=True):
    """A second listener, encrypted.

    Args:
        port: TCP port.
        certificate: PEM file of the server, with its chain.
        key: PEM file of its private key.
        host: Address to listen on; empty for all.
    """

    port: int
    certificate: Path
    key: Path
    host: str = ALL_ADDRESSES


class MosquittoConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How one Mosquitto runs.

    Args:
        directory: Its data: store and ``dynamic-security.json``; absolute.
        plugin: Path of the dynamic-security plugin.
        port: TCP port of the plain listener.
        host: Its address; loopback unless the network may read passwords; empty for
            all addresses.
        tls: An encrypted listener beside it.
    """

    directory: Path
    plugin: Path
    port: int
    host: str = "127.0.0.1"
    tls: TlsListener | None = None


class MosquittoChild:
    """Runs one Mosquitto; it can be started again after it ended.

    It is killed with us (``die_with_parent``). ``kill -9`` costs it at most what came
    since its last autosave, and that is said again: nodes and master publish all they
    have whenever they connect.

    Args:
        mosquitto: The program.
        config: How it runs; its directory holds the plugin's file already.
        on_line: Called with each line it logs; logs it by default.
    """

    def __init__(
        self,
        mosquitto: Mosquitto,
        config: MosquittoConfig,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._mosquitto = mosquitto
        self._config = config
        self._on_line = on_line or _log
        self._process: Process | None = None
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        process = self._process
        running = process is not None and process.exit_code is None
        return process.pid if process is not None and running else None

    async def start(self) -> None:
        """Starts it, if it does not run, and returns when it accepts MQTT.

        Raises:
            BrokerError: It cannot be started; says why and what to do.
        """
        if self.pid is None:
            _ = await self.launch()

    async def launch(self) -> Process:
        """Starts it and returns its process when it accepts MQTT.

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
        self._on_line(
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
        """Returns the store, if Mosquitto ended because of it."""
        store = self._config.directory / STORE
        code = self._process.exit_code if self._process is not None else None
        crashed = code is not None and -code in _CRASHES
        said = any(_UNREADABLE in line for line in self._tail)
        return store if (said or crashed) and store.is_file() else None

    async def stop(self) -> None:
        """Asks it to save and end; kills it if it does not; twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            _ = await process.end(STOP_TIMEOUT_S, leader_first=True)

    async def wait(self) -> int:
        """Waits until it ends and returns its exit status.

        Raises:
            BrokerError: It was not started.
        """
        if self._process is None:
            text = "mosquitto was not started"
            raise BrokerError(text)
        return await self._process.wait()

    def tail(self) -> str:
        """Returns the last lines it logged."""
        return "\n".join(list(self._tail)[-TAIL_LINES:])

    def _refuse_taken_port(self) -> None:
        """Raises if a port is taken: another broker would otherwise pass for ours."""
        tls = self._config.tls
        for host, port in (
            (self._config.host, self._config.port),
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
        path = self._config.directory / "mosquitto.conf"
        try:
            replace(path, render(self._config, root=os.geteuid() == 0).encode())
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
                stderr=LineSink(self._add_line),
                die_with_parent=DieWithParent.PROGRAM,
            )
        except OSError as error:
            text = f"{program} cannot be started: {error.strerror}"
            raise BrokerError(text) from error

    def _add_line(self, line: str) -> None:
        self._tail.append(line)
        self._on_line(line)

    async def _answers(self) -> bool:
        """Whether a broker answers a CONNECT, with a refusal or not."""
        host = self._config.host or "127.0.0.1"
        try:
            reader, writer = await asyncio.open_connection(host, self._config.port)
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
            f"Its configuration: {self._config.directory / 'mosquitto.conf'}"
        )


def render(config: MosquittoConfig, *, root: bool) -> str:
    """Returns the text of its configuration file.

    Args:
        config: How it runs.
        root: Whether we run as root. Mosquitto would then become the user
            ``mosquitto``, which may not exist, cannot read a private data directory,
            and by changing its user would no longer end with us.

    Raises:
        BrokerError: A path holds a line break.
    """
    lines = [
        "# Written by PiRack at every start; changes here are lost.",
        *(["user root"] if root else []),
        *_listeners(config),
        "allow_anonymous false",
        f"plugin {_clean(config.plugin)}",
        f"plugin_opt_config_file {_clean(config.directory / 'dynamic-security.json')}",
        "persistence true",
        f"persistence_location {_clean(config.directory)}/",
        *_LIMITS,
    ]
    return "\n".join(lines) + "\n"


def _listeners(config: MosquittoConfig) -> list[str]:
    lines = [f"listener {config.port} {config.host}".rstrip()]
    if config.tls is not None:
        lines += [
            f"listener {config.tls.port} {config.tls.host}".rstrip(),
            f"certfile {_clean(config.tls.certificate)}",
            f"keyfile {_clean(config.tls.key)}",
            "tls_version tlsv1.2",
        ]
    return lines


def _clean(path: Path) -> Path:
    """Refuses a path that would end its line early."""
    if "\n" in str(path) or "\r" in str(path):
        text = f"path {str(path)!r} has a line break; Mosquitto cannot be told of it"
        raise BrokerError(text)
    return path


def put_aside(store: Path) -> Path:
    """Renames a store that cannot be read; the last few are kept for a person.

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
    """Returns a socket that listens; a port in TIME_WAIT is free, as for Mosquitto."""
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
