"""Asking a silent board itself: is it there, apart from its agent?

ICMP without privileges (a datagram socket, as ``ping`` uses where
``net.ipv4.ping_group_range`` allows), else with a raw socket; or RFC 862 echo over UDP,
which simulated boards answer. One socket serves every board; the loop is never blocked.
"""

import asyncio
import ipaddress
import itertools
import logging
import socket
import struct
from collections.abc import Callable
from typing import Protocol

import msgspec

from broker.common.tasks import Tasks, log_failure
from master_service.rack.node import RackNode

log = logging.getLogger(__name__)

TIMEOUT_S = 1.0
ATTEMPTS = 2
"""Questions within the timeout: one lost datagram must not make a board lost."""
AT_ONCE = 100
"""Probes under way together; more wait for a place, or socket buffers overflow."""
ECHO_REQUEST = 8
ECHO_REPLY = 0
IP_VERSION = 4
_HEADER = struct.Struct("!BBHHH")
_TOKEN = struct.Struct("!8sQ")
_MARK = b"pirack-p"


class PingAnswer(msgspec.Struct, frozen=True):
    """What became of one probe.

    Args:
        answered: The board is there.
        note: Why it could not be asked; empty if it was.
    """

    answered: bool
    note: str = ""


class Prober(Protocol):
    """Something that can ask boards whether they are there."""

    async def start(self) -> None:
        """Opens what is needed; if that fails, every answer says why."""

    async def probe(self, address: str) -> PingAnswer:
        """Asks a board once; takes about a second when it is not there.

        Args:
            address: IPv4 address; empty if none is known.
        """

    async def stop(self) -> None:
        """Closes; twice is fine."""


class NoProber:
    """Asks no board, and says so."""

    async def start(self) -> None:
        """Does nothing."""

    async def probe(self, address: str) -> PingAnswer:  # noqa: ARG002  # none is asked
        """Returns that no board is asked."""
        return PingAnswer(answered=False, note='[master] probe is "none"')

    async def stop(self) -> None:
        """Does nothing."""


class FakeProber:
    """Answers for the addresses a test names; see ``Prober``."""

    def __init__(self) -> None:
        self.alive: set[str] = set()
        """Addresses that answer."""
        self.asked: list[str] = []

    async def start(self) -> None:
        """Does nothing."""

    async def probe(self, address: str) -> PingAnswer:
        """Answers at once."""
        self.asked.append(address)
        return PingAnswer(address in self.alive)

    async def stop(self) -> None:
        """Does nothing."""


class SocketProber:
    """Probes with one datagram socket.

    Args:
        opener: Makes the socket; an OSError of it becomes the note of every answer.
        pack: Token to datagram.
        unpack: Datagram to token; None for one that is no answer.
        port: Where to send to; 0 where that has no meaning.
    """

    def __init__(
        self,
        opener: Callable[[], socket.socket],
        pack: Callable[[bytes], bytes],
        unpack: Callable[[bytes], bytes | None],
        port: int = 0,
    ) -> None:
        self._opener = opener
        self._pack = pack
        self._unpack = unpack
        self._port = port
        self._socket: socket.socket | None = None
        self._why_not = "the prober is not started"
        self._numbers = itertools.count(1)
        self._waiting: dict[tuple[bytes, str], asyncio.Future[None]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def start(self) -> None:
        """Opens the socket and reads it on this loop."""
        try:
            self._socket = self._opener()
        except OSError as error:
            self._why_not = f"no socket: {error.strerror or error}"
            return
        self._socket.settimeout(0)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def probe(self, address: str) -> PingAnswer:
        """Asks a board once."""
        if self._socket is None:
            return PingAnswer(answered=False, note=self._why_not)
        if not _is_ipv4(address):
            # Never a name: the socket would have it resolved, and block the loop.
            return PingAnswer(answered=False, note="no IPv4 address is known")
        async with self._places:
            return await self._ask(self._socket, address)

    async def stop(self) -> None:
        """Closes the socket."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def _ask(self, sock: socket.socket, address: str) -> PingAnswer:
        loop = asyncio.get_running_loop()
        token = _TOKEN.pack(_MARK, next(self._numbers))
        answer: asyncio.Future[None] = loop.create_future()
        self._waiting[token, address] = answer
        try:
            for _ in range(ATTEMPTS):
                sock.sendto(self._pack(token), (address, self._port))
                await asyncio.wait([answer], timeout=TIMEOUT_S / ATTEMPTS)
                if answer.done():
                    return PingAnswer(answered=True)
        except OSError as error:
            unreachable = f"cannot send: {error.strerror or error}"
            return PingAnswer(answered=False, note=unreachable)
        finally:
            del self._waiting[token, address]
        return PingAnswer(answered=False)

    def _read(self) -> None:
        """Reads every datagram that waits; anything unexpected is not for us."""
        while self._socket is not None:
            try:
                datagram, source = self._socket.recvfrom(2048)
            except OSError:
                return
            token = self._unpack(datagram)
            future = self._waiting.get((token, source[0])) if token else None
            if future is not None and not future.done():
                future.set_result(None)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


class ProbeQueue:
    """Asks many boards, each once at a time, and few of them at once.

    Args:
        tasks: Where the questions under way run.
        answered: Told what became of each question.
    """

    def __init__(
        self,
        prober: Prober,
        tasks: Tasks,
        answered: Callable[[RackNode, PingAnswer], None],
    ) -> None:
        self._prober = prober
        self._tasks = tasks
        self._answered = answered
        self._waiting: dict[str, RackNode] = {}
        self._first: dict[str, RackNode] = {}
        self._asking: set[str] = set()
        self._again: set[str] = set()

    def ask(self, node: RackNode, *, urgent: bool = False) -> None:
        """Asks a board, unless it is being asked already or waits for it.

        Args:
            urgent: Before all others, and again if it is being asked already: the
                answer to an older question would prove nothing.
        """
        if node.id in self._asking:
            if urgent:
                self._again.add(node.id)
            return
        if urgent:
            self._waiting.pop(node.id, None)
            self._first[node.id] = node
        elif node.id not in self._first:
            self._waiting[node.id] = node
        self._ask_more()

    def clear(self) -> None:
        """Forgets the boards that wait."""
        self._waiting.clear()
        self._first.clear()
        self._again.clear()

    def _ask_more(self) -> None:
        """Asks those that wait, as many at once as a prober has places."""
        for waiting in (self._first, self._waiting):
            while waiting and len(self._asking) < AT_ONCE:
                node = waiting.pop(next(iter(waiting)))
                self._asking.add(node.id)
                _ = self._tasks.spawn(f"probe {node.id}", self._ask(node))

    async def _ask(self, node: RackNode) -> None:
        try:
            answer = await self._prober.probe(node.address)
        except Exception as error:  # noqa: BLE001  # noted; the next board is asked
            log_failure("asking a board whether it is there", error)
            answer = PingAnswer(answered=False, note=f"not asked: {error!r}")
        self._asking.discard(node.id)
        outdated = node.id in self._again
        if outdated:
            self._again.discard(node.id)
            self._first[node.id] = node
        self._ask_more()
        if not outdated or answer.answered:
            self._answered(node, answer)  # a silence from before proves nothing


def make(probe: str) -> Prober:
    """Returns the prober that ``[master] probe`` names: icmp, none or echo:<port>."""
    if probe == "none":
        return NoProber()
    if probe == "icmp":
        return SocketProber(_icmp_socket, icmp_request, icmp_token)
    port = int(probe.removeprefix("echo:"))
    return SocketProber(_udp_socket, bytes, _own_token, port)


def icmp_request(token: bytes) -> bytes:
    """Returns an ICMP echo request that carries a token (RFC 792)."""
    empty = _HEADER.pack(ECHO_REQUEST, 0, 0, 0, 1) + token
    return _HEADER.pack(ECHO_REQUEST, 0, _checksum(empty), 0, 1) + token


def icmp_token(datagram: bytes) -> bytes | None:
    """Returns the token of an ICMP echo reply, with or without its IP header."""
    if datagram and datagram[0] >> 4 == IP_VERSION:
        datagram = datagram[(datagram[0] & 0x0F) * 4 :]
    if len(datagram) < _HEADER.size or datagram[0] != ECHO_REPLY:
        return None
    return _own_token(datagram[_HEADER.size :])


def _own_token(payload: bytes) -> bytes | None:
    return payload if payload.startswith(_MARK) else None


def _checksum(data: bytes) -> int:
    """Returns the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _icmp_socket() -> socket.socket:
    """Opens an ICMP socket, without privileges if the kernel allows it.

    Raises:
        OSError: Neither kind is allowed; the text says what would allow it.
    """
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        except PermissionError:
            continue
    why = (
        "ICMP is not allowed: set net.ipv4.ping_group_range to include this group, "
        "or give CAP_NET_RAW"
    )
    raise OSError(1, why)


def _udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
