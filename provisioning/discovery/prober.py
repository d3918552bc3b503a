"""Asks on the rack's network who has an address, and who serves DHCP."""

import asyncio
import contextlib
import functools
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection
from ipaddress import IPv4Address, IPv4Interface

from provisioning.common.errors import NetworkError
from provisioning.common.network import ArpAnswer, ForeignServer
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, DhcpKind, Op, Option
from provisioning.discovery.packet_socket import (
    ARP_FILTER,
    ARP_REPLY,
    ETH_P_ARP,
    FRAME_BYTES,
    Datagram,
    decode_arp,
    decode_udp,
    encode_question,
    encode_udp,
    interface_addresses,
    open_packet_socket,
    own_mac,
)
from provisioning.discovery.sources import NO_ADDRESS, foreign_server, open_dhcp_socket

ROUNDS = 2
"""Questions for each address: one frame may be lost."""

Claims = dict[tuple[str, str], int]


class NetworkProber:
    """Asks on the network behind one interface.

    Args:
        own: Our own address there.
        random: Returns a random number of so many bits.
    """

    def __init__(self, interface: str, own: str, random: Callable[[int], int]) -> None:
        self._interface = interface
        self._own = own
        self._random = random

    async def probe(
        self, addresses: Collection[str], *, within_s: float
    ) -> tuple[ArpAnswer, ...]:
        """Returns the devices that answer, with the most replies to one question.

        The questions name our own address as their sender, so that no client takes
        them for a conflict about an address it is about to use.
        """
        if not addresses:
            return ()
        ours = interface_addresses(self._interface)
        senders = {one: self._sender(ours, one) for one in addresses}
        raw = open_packet_socket(self._interface, ARP_FILTER, ETH_P_ARP)
        best: Claims = {}
        with contextlib.closing(raw):
            for _ in range(ROUNDS):
                for address, sender in senders.items():
                    question = encode_question(own_mac(raw), sender, address)
                    _send(raw, question, self._interface)
                claims = await _collect(raw, set(addresses), within_s / ROUNDS)
                for key, count in claims.items():
                    best[key] = max(best.get(key, 0), count)
        return tuple(
            ArpAnswer(address=address, mac=mac, replies=count)
            for (address, mac), count in sorted(best.items())
        )

    def _sender(self, ours: Collection[IPv4Interface], address: str) -> str:
        """Returns our address in the network of another one."""
        asked = IPv4Address(address)
        near = sorted(str(one.ip) for one in ours if asked in one.network)
        if self._own in near:
            return self._own
        if near:
            return near[0]
        text = (
            f"interface {self._interface} has no address in the network of {address}, "
            f"so nobody there can be asked; give it {self._own} with its prefix length"
        )
        raise NetworkError(text)

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Returns the DHCP servers that make an offer and are not ours.

        The question comes from an invented board, so no lease of a real one moves;
        always from the same one, so that asking again holds no second address.
        """
        raw = open_dhcp_socket(self._interface)
        found: dict[str, ForeignServer] = {}
        with contextlib.closing(raw):
            question = self._discover()
            ours = own_mac(raw)
            _send(raw, _broadcast(ours, question), self._interface)
            async with contextlib.aclosing(_frames(raw, within_s)) as frames:
                async for frame in frames:
                    server = _offer(frame, question)
                    if server and server.address != self._own and server.mac != ours:
                        found[server.address] = server
        return tuple(found.values())

    @functools.cached_property
    def _invented(self) -> str:
        """The hardware address of the board that asks who serves DHCP."""
        return (0x02 << 40 | self._random(40)).to_bytes(6).hex(":")

    def _discover(self) -> Dhcp:
        return Dhcp(
            op=Op.REQUEST,
            kind=DhcpKind.DISCOVER,
            mac=self._invented,
            xid=self._random(32),
            options={Option.PARAMETERS: bytes([1, 3, 6])},
            broadcast=True,
        )


def _offer(frame: bytes, question: Dhcp) -> ForeignServer | None:
    datagram = decode_udp(frame)
    message = dhcp.decode(datagram.payload) if datagram else None
    if datagram is None or message is None or message.xid != question.xid:
        return None
    return foreign_server(datagram, message)


def _broadcast(mac: str, message: Dhcp) -> bytes:
    return encode_udp(
        Datagram(
            mac=mac,
            source=NO_ADDRESS,
            source_port=dhcp.CLIENT_PORT,
            target="255.255.255.255",
            target_port=dhcp.SERVER_PORT,
            payload=dhcp.encode(message),
        )
    )


async def _collect(raw: socket.socket, wanted: set[str], within_s: float) -> Claims:
    """Counts the replies of each device that says it has an address."""
    claims: Counter[tuple[str, str]] = Counter()
    async with contextlib.aclosing(_frames(raw, within_s)) as frames:
        async for frame in frames:
            arp = decode_arp(frame)
            if arp and arp.operation == ARP_REPLY and arp.address in wanted:
                claims[arp.address, arp.mac] += 1
    return dict(claims)


async def _frames(raw: socket.socket, within_s: float) -> AsyncGenerator[bytes, None]:
    """Yields the frames that others send, until the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while (left_s := end - loop.time()) > 0:
        try:
            # Not wait_for: of Python 3.11 it keeps a stop to itself that comes with a
            # frame.
            async with asyncio.timeout(left_s):
                frame, origin = await loop.sock_recvfrom(raw, FRAME_BYTES)
        except TimeoutError:
            return
        except OSError as error:
            text = f"the network cannot be heard: {error.strerror}"
            raise NetworkError(text) from error
        if origin[2] != socket.PACKET_OUTGOING:
            yield frame


def _send(raw: socket.socket, frame: bytes, interface: str) -> None:
    try:
        raw.send(frame)
    except OSError as error:
        text = f"nothing can be sent on {interface}: {error.strerror}; is it up?"
        raise NetworkError(text) from error
