"""What hears boards: a sniffer of DHCP messages, and agents over MQTT.

The sniffer was the fastest source in every measurement. It works with any DHCP server,
hears DISCOVER and REQUEST alike, and boards that a full pool has no address for. Agents
are the source where DHCP is out of hearing: an agent's first message after power on
tells hardware address, serial and address at once.
"""

import asyncio
import logging
import socket

from broker.common.tasks import Tasks
from broker.contract.messages import Details
from provisioning.common.errors import NetworkError
from provisioning.common.hardware import ipv4_text, normal_mac, shown
from provisioning.common.network import (
    BoardHeard,
    ForeignServer,
    HeardKind,
    SightingHandler,
)
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, DhcpKind, Op, Option
from provisioning.discovery.packet_socket import (
    DHCP_FILTER,
    ETH_P_IP,
    FRAME_BYTES,
    Datagram,
    decode_udp,
    interface_index,
    open_packet_socket,
    own_mac,
)

log = logging.getLogger(__name__)

SERIAL_DIGITS = 8
"""Of a node id, and of what option 97 tells."""
NO_ADDRESS = "0.0.0.0"  # noqa: S104  # "none", not a place to listen
MAX_FRAMES = 64
"""Frames read in a row before other tasks of the loop run."""

LOOK_S = 1.0
"""Seconds between two checks whether the interface was replaced."""

_KINDS = {
    DhcpKind.DISCOVER: HeardKind.DISCOVER,
    DhcpKind.REQUEST: HeardKind.REQUEST,
    DhcpKind.DECLINE: HeardKind.DECLINE,
}
_ANSWERS = frozenset({DhcpKind.OFFER, DhcpKind.ACK, DhcpKind.NAK})


def open_dhcp_socket(interface: str) -> socket.socket:
    """Return a packet socket that hears DHCP.

    Raises:
        NetworkError: It cannot be opened.
    """
    return open_packet_socket(interface, DHCP_FILTER, ETH_P_IP)


class Sniffer:
    """Hears the DHCP messages on one interface.

    Args:
        own: Our own address there, whose DHCP answers are not foreign.
    """

    def __init__(self, interface: str, own: str) -> None:
        self._interface = interface
        self._own = own
        self._socket: socket.socket | None = None
        self._mac = ""
        self._index = 0
        self._handler: SightingHandler | None = None
        self._tasks = Tasks()

    async def start(self, handler: SightingHandler) -> None:
        """Begins to listen."""
        self._handler = handler
        self._open()
        name = f"look for interface {self._interface}"
        _ = self._tasks.keep_running(name, self._follow_interface)

    async def stop(self) -> None:
        """Stops listening; calling it twice is fine."""
        await self._tasks.stop()
        self._close()

    def _open(self) -> None:
        self._index = interface_index(self._interface)
        self._socket = open_dhcp_socket(self._interface)
        self._mac = own_mac(self._socket)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def _follow_interface(self) -> None:
        """Opens the socket again when the interface was replaced."""
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
        """Reads the frames that wait."""
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
                self._handle(frame)

    def _handle(self, frame: bytes) -> None:
        datagram = decode_udp(frame)
        message = dhcp.decode(datagram.payload) if datagram else None
        if datagram is None or message is None or self._handler is None:
            return
        if message.op is Op.REPLY:
            server = foreign_server(datagram, message)
            if server and server.address != self._own and server.mac != self._mac:
                self._handler.server(server)
            return
        ask = asked(message)
        # A device may ask in the name of another one.
        honest = message.relayed or datagram.mac == message.mac
        if ask is not None and honest:
            self._handler.heard(ask)


def _of_other_vlan(frame: bytes, kind: int) -> bool:
    """Whether a frame for all is not for us: it had the tag of another VLAN.

    The kernel takes the tag off and leaves no other sign of it.
    """
    return kind == socket.PACKET_OTHERHOST and bool(frame[0] & 1)


def asked(message: Dhcp) -> BoardHeard | None:
    """Returns what a client said about itself; None for a release."""
    kind = _KINDS.get(message.kind)
    if kind is None or message.op is not Op.REQUEST:
        return None
    wanted = message.address(Option.REQUESTED_ADDRESS)
    has = message.ciaddr if message.ciaddr != NO_ADDRESS else ""
    model, serial = dhcp.board_of(message.options.get(Option.GUID, b""))
    # A DISCOVER may wish for any address of long ago; only a REQUEST is for one that
    # was offered or held.
    address = "" if kind is HeardKind.DISCOVER else wanted or has
    return BoardHeard(
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
    """Returns the server that answered a client; None for any other message.

    One that lends nothing does not count: it tells boot code where to boot from.
    """
    if message.op is not Op.REPLY or message.kind not in _ANSWERS:
        return None
    if message.kind is not DhcpKind.NAK and message.yiaddr == NO_ADDRESS:
        return None
    address = message.address(Option.SERVER) or datagram.source
    return ForeignServer(address, datagram.mac)


class AgentSource:
    """Passes on what agents say; the owner of the link to the broker calls ``said``."""

    def __init__(self) -> None:
        self._handler: SightingHandler | None = None
        self._boots: dict[str, str] = {}

    async def start(self, handler: SightingHandler) -> None:
        """Begins to pass on."""
        self._handler = handler

    async def stop(self) -> None:
        """Stops; calling it twice is fine."""
        self._handler = None

    def said(self, node_id: str, details: Details, *, retained: bool) -> None:
        """Handles the details of a node.

        Args:
            node_id: Identifies it; its first hardware address may change while it
                runs, when an adapter is plugged in or a bridge takes another one.
            retained: They came out of the broker's store and may be old.
        """
        ask = born(details)
        if ask is None:
            return
        # A new session of the same boot is not a start: the broker was away.
        again = self._boots.get(node_id) == details.boot_id
        self._boots[node_id] = details.boot_id
        if self._handler and not (retained or again or details.reason):
            self._handler.heard(ask)


def born(details: Details) -> BoardHeard | None:
    """Returns what details say about a board; None without a hardware address."""
    try:
        mac = normal_mac(details.macs[0])
    except (IndexError, ValueError):
        return None
    ipv4 = filter(None, map(ipv4_text, details.addresses))
    return BoardHeard(
        mac=mac,
        kind=HeardKind.BIRTH,
        address=next(ipv4, ""),
        hostname=shown(details.hostname),
        model=shown(details.model),
        serial=shown(details.serial)[-SERIAL_DIGITS:],
    )
