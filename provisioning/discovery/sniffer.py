"""Hears every board that asks for an address, whoever the DHCP server is.

It was the fastest source in every measurement, needs no cooperation of a server, hears
DISCOVER and REQUEST alike, and a board of which a full pool would never tell.
"""

import asyncio
import logging
import socket

from broker.common.tasks import Tasks
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, Kind, Op, Option
from provisioning.discovery.frame import ETH_P_IP, Datagram, decode_udp
from provisioning.discovery.packet_socket import (
    DHCP_FILTER,
    FRAME_BYTES,
    interface_index,
    open_packet_socket,
    own_mac,
)
from provisioning.errors import NetworkError
from provisioning.run.messages import Ask, AskKind, ForeignServer
from provisioning.seams import Ear

log = logging.getLogger(__name__)

NO_ADDRESS = "0.0.0.0"  # noqa: S104  # "none", not a place to listen
MAX_FRAMES = 64
"""Frames read in a row before others on the loop have their turn."""

LOOK_S = 1.0
"""Seconds between two looks whether the interface is another one by now."""

_KINDS = {
    Kind.DISCOVER: AskKind.DISCOVER,
    Kind.REQUEST: AskKind.REQUEST,
    Kind.DECLINE: AskKind.DECLINE,
}
_ANSWERS = frozenset({Kind.OFFER, Kind.ACK, Kind.NAK})


def open_dhcp_socket(interface: str) -> socket.socket:
    """Return a packet socket that hears DHCP.

    Raises:
        NetworkError: It cannot be opened.
    """
    return open_packet_socket(interface, DHCP_FILTER, ETH_P_IP)


class Sniffer:
    """A source that listens on the wire.

    Args:
        interface: Where.
        own: Our own address there: whose DHCP answers are not foreign.
    """

    def __init__(self, interface: str, own: str) -> None:
        self._interface = interface
        self._own = own
        self._socket: socket.socket | None = None
        self._mac = ""
        self._index = 0
        self._ear: Ear | None = None
        self._tasks = Tasks()

    async def start(self, ear: Ear) -> None:
        """Begin to listen.

        Raises:
            NetworkError: There is no such interface, or no right to listen on it.
        """
        self._ear = ear
        self._open()
        name = f"look for interface {self._interface}"
        _ = self._tasks.keep_running(name, self._look)

    async def stop(self) -> None:
        """Stop; calling it twice is fine."""
        await self._tasks.stop()
        self._close()

    def _open(self) -> None:
        self._index = interface_index(self._interface)
        self._socket = open_dhcp_socket(self._interface)
        self._mac = own_mac(self._socket)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def _look(self) -> None:
        """Listen anew when the interface was made anew."""
        while True:
            await asyncio.sleep(LOOK_S)
            if interface_index(self._interface) in {0, self._index}:
                continue
            self._close()
            try:
                self._open()
            except NetworkError as error:
                self._index = 0
                log.warning("%s", error)
            else:
                log.info("sniffer on %s: it is there again", self._interface)

    def _close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        """Read what is there."""
        for _ in range(MAX_FRAMES):
            if self._socket is None:
                return
            try:
                frame, origin = self._socket.recvfrom(FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # The interface went down; the socket hears again when it is up.
                log.warning("sniffer on %s: %s", self._interface, error.strerror)
                return
            if origin[2] != socket.PACKET_OUTGOING and not _of_other_vlan(
                frame, origin[2]
            ):
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        datagram = decode_udp(frame)
        message = dhcp.decode(datagram.payload) if datagram else None
        if datagram is None or message is None or self._ear is None:
            return
        if message.op is Op.REPLY:
            server = foreign_server(datagram, message)
            if server and server.address != self._own and server.mac != self._mac:
                self._ear.server(server)
            return
        ask = asked(message)
        # A device that asks in the name of another one is not that one.
        honest = message.relayed or datagram.mac == message.mac
        if ask is not None and honest:
            self._ear.heard(ask)


def _of_other_vlan(frame: bytes, kind: int) -> bool:
    """Whether a frame for all is not for us: it had the tag of another VLAN.

    The kernel takes the tag off and leaves no other sign of it.
    """
    return kind == socket.PACKET_OTHERHOST and bool(frame[0] & 1)


def asked(message: Dhcp) -> Ask | None:
    """Return what a client said about itself; None for a release."""
    kind = _KINDS.get(message.kind)
    if kind is None or message.op is not Op.REQUEST:
        return None
    wanted = message.address(Option.REQUESTED_ADDRESS)
    has = message.ciaddr if message.ciaddr != NO_ADDRESS else ""
    model, serial = dhcp.board_of(message.options.get(Option.GUID, b""))
    # A DISCOVER may wish for any address of long ago; only a REQUEST is for one that
    # was offered or held.
    address = "" if kind is AskKind.DISCOVER else wanted or has
    return Ask(
        mac=message.mac,
        kind=kind,
        address=address,
        hostname=message.text(Option.HOSTNAME),
        client_id=message.options.get(Option.CLIENT_ID, b"").hex(),
        vendor=message.text(Option.VENDOR),
        model=model,
        serial=serial,
    )


def foreign_server(datagram: Datagram, message: Dhcp) -> ForeignServer | None:
    """Return who answered a client; None when it was no server's answer.

    One that lends nothing is none either: it tells boot code where to boot from.
    """
    if message.op is not Op.REPLY or message.kind not in _ANSWERS:
        return None
    if message.kind is not Kind.NAK and message.yiaddr == NO_ADDRESS:
        return None
    address = message.address(Option.SERVER) or datagram.source
    return ForeignServer(address, datagram.mac)
