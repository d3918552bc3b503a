"""Answers pings for boards that have no network of their own: UDP echo (RFC 862).

One socket serves every board: Linux tells which address a packet was for (IP_PKTINFO,
ip(7)), and lets the answer come from there. A board that must not answer is as silent
as a real one; a closed port would say "connection refused".
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from broker.common.errors import ConfigError

log = logging.getLogger(__name__)

_IP_PKTINFO = 8
"""From <linux/in.h>; the socket module has it from Python 3.14 on."""
_LOOPBACK = b"lo\0"
_INFO_BYTES = 12
_MAX_BYTES = 2048
_PACKETS_PER_WAKE = 64


class PingResponder:
    """Answers for the addresses that answer at this moment.

    Args:
        port: UDP port, the same for every board.
        answers: Whether the board of an address answers now.
    """

    def __init__(self, port: int, answers: Callable[[str], bool]) -> None:
        self._port = port
        self._answers = answers
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Opens the port on loopback.

        Raises:
            ConfigError: The port is in use.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            _prepare(sock, self._port)
        except OSError as error:
            sock.close()
            text = (
                f"[simulator] echo_port {self._port} cannot be opened: "
                f"{error.strerror}; choose another, or 0 for no echo"
            )
            raise ConfigError(text) from error
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._read)

    def stop(self) -> None:
        """Closes it; twice is fine."""
        sock, self._socket = self._socket, None
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _read(self) -> None:
        for _ in range(_PACKETS_PER_WAKE):
            if self._socket is None or not self._answer(self._socket):
                return

    def _answer(self, sock: socket.socket) -> bool:
        """Answers one packet; returns whether there was one."""
        try:
            data, ancillary, _, sender = sock.recvmsg(
                _MAX_BYTES, socket.CMSG_SPACE(_INFO_BYTES)
            )
        except BlockingIOError:
            return False
        address = _destination(ancillary)
        if address is None or not self._answers(socket.inet_ntoa(address)):
            return True
        try:
            sock.sendmsg([data], [_source(address)], 0, sender)
        except OSError as error:
            log.debug("simulator: an echo was not sent: %s", error)
        return True


def _prepare(sock: socket.socket, port: int) -> None:
    """Binds to every loopback address at once, and to nothing else if allowed."""
    sock.settimeout(0)
    sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _LOOPBACK)
    except PermissionError:
        log.debug("simulator: the echo port is open beyond loopback, and mute there")
    sock.bind(("", port))


def _destination(ancillary: list[tuple[int, int, bytes]]) -> bytes | None:
    """Returns the address a packet was sent to: the last field of in_pktinfo."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return data[8:_INFO_BYTES]
    return None


def _source(address: bytes) -> tuple[int, int, Any]:
    """Returns the in_pktinfo that makes a packet come from an address."""
    info = b"\0\0\0\0" + address + b"\0\0\0\0"
    return socket.IPPROTO_IP, _IP_PKTINFO, info
