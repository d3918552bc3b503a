"""The fastest publisher there is: MQTT packets made beforehand, written to a socket."""

import socket
import struct
from types import TracebackType
from typing import Self

_CONNECT = b"\x00\x04MQTT\x04\x02\x00\x00"
"""Variable header of CONNECT: MQTT 3.1.1, clean session, keepalive off."""

_CONNACK_OK = b"\x20\x02\x00\x00"


def publish_packet(topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    """Returns a QoS 0 PUBLISH (MQTT 3.1.1, section 3.3)."""
    return bytes([0x31 if retain else 0x30]) + _sized(_text(topic) + payload)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _sized(body: bytes) -> bytes:
    """Puts the remaining length before a packet's body, seven bits a byte."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes(digits) + body


class RawPublisher:
    """A connection that only writes.

    Args:
        port: Of the broker on loopback.
        name: Client id.
    """

    def __init__(self, port: int, name: str = "bench-raw") -> None:
        self._port = port
        self._name = name
        self._socket = socket.socket()

    def __enter__(self) -> Self:
        """Connects."""
        self._socket.settimeout(60)
        self._socket.connect(("127.0.0.1", self._port))
        self._socket.sendall(b"\x10" + _sized(_CONNECT + _text(self._name)))
        answer = self._socket.recv(4)
        if answer != _CONNACK_OK:
            text = f"the broker answered CONNECT with {answer.hex()}"
            raise ConnectionError(text)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Says goodbye and close."""
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()

    def send(self, packets: bytes) -> None:
        """Writes packets, as fast as the broker takes them."""
        self._socket.sendall(packets)
