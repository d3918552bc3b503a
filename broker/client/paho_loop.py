"""Drives a paho client from the asyncio loop: no thread, and no ``select()``.

paho's own loops use ``select()``, which silently never connects once the process holds
more than 1 024 descriptors; a page with many browsers does. This way is also the
fastest (measured: 50 500 messages a second against 45 300 in its own loop).
"""

import asyncio
import ssl
from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # exists for type checkers only

READS_PER_WAKE = 100
"""Messages read at one go: enough to be fast, few enough (2 ms) to stay fair."""
CHUNK_BYTES = 65_536


class BufferedSocket:
    """A socket whose ``recv`` is served from one large read.

    paho reads a packet in four or five pieces, each a system call of its own. At a
    thousand messages a second those calls cost more than the messages themselves.

    Args:
        sock: Connected; with TLS already, where there is TLS.
    """

    def __init__(self, sock: socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._taken = 0
        self.fileno = sock.fileno
        self.send = sock.send
        self.setblocking = sock.setblocking
        self.close = sock.close

    def recv(self, buffer_size: int) -> bytes:
        """Returns at most so many bytes; raises what ``socket.recv`` raises."""
        if self._taken >= len(self._buffer):
            self._buffer = self._sock.recv(CHUNK_BYTES)
            self._taken = 0
        start = self._taken
        self._taken = min(start + buffer_size, len(self._buffer))
        return self._buffer[start : self._taken]

    def pending(self) -> int:
        """Returns how many bytes were read already: no selector knows of them."""
        inner = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return len(self._buffer) - self._taken + inner

    def local_address(self) -> str:
        """Returns the address of this end; empty when the socket is closed."""
        try:
            return str(self._sock.getsockname()[0]).partition("%")[0]
        except OSError:
            return ""


class BufferedClient(Client):
    """A paho client that reads through a ``BufferedSocket``.

    ``_create_socket`` is paho's own seam: its WebSocket wrapper comes in there.
    ``tests/broker/test_paho.py`` fails if a release of paho moves it.
    """

    def _create_socket(self) -> "SocketLike":
        return BufferedSocket(super()._create_socket())  # type: ignore[arg-type]  # no WebSocket is asked for, so it is a socket


class PahoLoop:
    """Connects one client's socket to the running loop.

    Args:
        client: Connected by ``Client.connect``, its CONNECT not yet written.
        period_s: Seconds between looks at the keep-alive.
        rest_s: Seconds to leave the socket alone after reading it, so that messages
            that trickle in are read together; 0 reads each as it comes.
        failed: Called when paho itself raised; the connection is useless then.
    """

    def __init__(
        self,
        client: BufferedClient,
        *,
        period_s: float,
        rest_s: float,
        failed: Callable[[Exception], None],
    ) -> None:
        self._client = client
        self._period_s = period_s
        self._rest_s = rest_s
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._socket: SocketLike | None = None
        self._writing = False
        self._paused = True
        self._timer: asyncio.TimerHandle | None = None
        self._resting: asyncio.TimerHandle | None = None

    def attach(self) -> None:
        """Begins to read and write; call it once, on the loop's thread."""
        client = self._client
        self._socket = client.socket()
        client.on_socket_close = lambda *_: self.detach()
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        self.resume()

    def detach(self) -> None:
        """Lets go of the socket; twice is fine."""
        self.pause()
        self._socket = None

    def pause(self) -> None:
        """Reads and writes nothing, not even keep-alive; the socket stays open."""
        if self._socket is None or self._paused:
            return
        self._paused = True
        self._writing = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        for timer in (self._timer, self._resting):
            if timer is not None:
                timer.cancel()

    def resume(self) -> None:
        """Goes on reading and writing."""
        if self._socket is None or not self._paused:
            return
        self._paused = False
        self._loop.add_reader(self._socket, self._read)
        self._loop.call_soon(self._write)
        self._timer = self._loop.call_later(self._period_s, self._misc)

    def _read(self) -> None:
        if self._paused:
            return
        try:
            more = self._read_some()
        except Exception as error:  # noqa: BLE001  # whatever paho stumbles over in a packet, its parser is out of step afterwards
            self._failed(error)
            return
        if more:
            self._loop.call_soon(self._read)
        elif self._rest_s and self._socket is not None and not self._paused:
            self._loop.remove_reader(self._socket)
            self._resting = self._loop.call_later(self._rest_s, self._wake)

    def _read_some(self) -> bool:
        """Reads at most ``READS_PER_WAKE`` messages; returns whether more are buffered.

        The selector does not know of those: they have left the socket.
        """
        for _ in range(READS_PER_WAKE):
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            sock = self._socket
            if not isinstance(sock, BufferedSocket) or sock.pending() == 0:
                return False
        return True

    def _wake(self) -> None:
        if self._socket is not None and not self._paused:
            self._loop.add_reader(self._socket, self._read)

    def _write(self) -> None:
        client, sock = self._client, self._socket
        if sock is None or self._paused:
            return
        try:
            client.loop_write()
        except Exception as error:  # noqa: BLE001  # as in _read
            self._failed(error)
            return
        if client.want_write() and not self._writing and client.socket() is sock:
            self._writing = True
            self._loop.add_writer(sock, self._write)

    def _misc(self) -> None:
        try:
            self._client.loop_misc()
        except Exception as error:  # noqa: BLE001  # as in _read
            self._failed(error)
            return
        if not self._paused:
            self._timer = self._loop.call_later(self._period_s, self._misc)

    def _on_register_write(self, *_: object) -> None:
        """Writes at the loop's next turn: a burst of messages costs one wake.

        The selector is asked only when the socket turns out to be full.
        """
        self._loop.call_soon(self._write)

    def _on_unregister_write(
        self, _client: Client, _data: object, sock: "SocketLike"
    ) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(sock)
