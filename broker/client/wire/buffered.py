"""A paho client that asks the kernel once for what it reads in many small pieces.

paho reads a packet in four or five pieces, each a system call of its own. At a thousand
messages a second those calls cost more than everything the messages are for.
"""

import ssl
from socket import socket
from typing import TYPE_CHECKING

from paho.mqtt.client import Client

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # exists for type checkers only

CHUNK_BYTES = 65_536


class BufferedSocket:
    """A socket whose ``recv`` is served from one large read.

    Args:
        sock: Connected; with TLS already, where there is TLS.
    """

    def __init__(self, sock: socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._taken = 0

    def recv(self, buffer_size: int) -> bytes:
        """Return at most so many bytes; it raises what ``socket.recv`` does."""
        if self._taken >= len(self._buffer):
            self._buffer = self._sock.recv(CHUNK_BYTES)
            self._taken = 0
        start = self._taken
        self._taken = min(start + buffer_size, len(self._buffer))
        return self._buffer[start : self._taken]

    def pending(self) -> int:
        """Return how many bytes were read already: no selector knows of them."""
        inner = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return len(self._buffer) - self._taken + inner

    def send(self, buffer: bytes | bytearray) -> int:
        """Send; return how many bytes the kernel took."""
        return self._sock.send(buffer)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  # as socket has it
        """Set whether calls wait."""
        self._sock.setblocking(flag)

    def local_address(self) -> str:
        """Return the address of this end; empty when the socket is closed."""
        try:
            return str(self._sock.getsockname()[0]).partition("%")[0]
        except OSError:
            return ""

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it."""
        self._sock.close()


class BufferedClient(Client):
    """A paho client that reads through a ``BufferedSocket``.

    ``_create_socket`` is paho's own seam: its WebSocket wrapper comes in there.
    ``tests/broker/test_buffered.py`` fails if a release of paho moves it.
    """

    def _create_socket(self) -> "SocketLike":
        return BufferedSocket(super()._create_socket())  # type: ignore[arg-type]  # no WebSocket is asked for, so it is a socket
