"""Packet sockets with a filter in the kernel, their frames, and facts on interfaces.

A packet socket needs CAP_NET_RAW and nothing else. The filter is set before the socket
is bound: what the kernel queued until then would reach us unfiltered. Frames are
Ethernet, IPv4, UDP and ARP, as far as a rack needs them (RFC 791, 768, 826).
"""

import contextlib
import ctypes
import fcntl
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface

import msgspec

from provisioning.common.errors import NetworkError
from provisioning.common.hardware import BROADCAST, ZERO, mac_bytes, mac_text

ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
UDP = 17
ARP_REQUEST = 1
ARP_REPLY = 2

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_FRAGMENT = 0x1FFF
FRAME_BYTES = 2048
_SO_ATTACH_FILTER = 26
_SIOCGIFCONF = 0x8912
_SIOCGIFFLAGS = 0x8913
_SIOCGIFNETMASK = 0x891B
_SIOCGIFHWADDR = 0x8927
_SIOCETHTOOL = 0x8946
_ETHTOOL_GPERMADDR = 0x20
_PERMANENT = struct.Struct("II32s")
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_UNION_BYTES = struct.calcsize("LLHBBB0L")
"""Of struct ifreq, beside the name: 24, or 16 on 32-bit machines."""
_IFREQ = struct.Struct(f"16s{_UNION_BYTES}s")
_SOCKADDR_IN = struct.Struct(f"HH4s{_UNION_BYTES - 8}x")
_MAX_ADDRESSES = 256
"""Of all interfaces together."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand (classic BPF)."""

_DROP: Instruction = (0x06, 0, 0, 0)
_TAKE: Instruction = (0x06, 0, 0, FRAME_BYTES)

DHCP_FILTER: tuple[Instruction, ...] = (
    (0x28, 0, 0, 12),  # ethertype
    (0x15, 0, 9, ETH_P_IP),
    (0x30, 0, 0, 23),  # protocol
    (0x15, 0, 7, UDP),
    (0x28, 0, 0, 20),  # flags and fragment offset
    (0x45, 5, 0, 0x1FFF),
    (0xB1, 0, 0, 14),  # X = length of the IP header
    (0x48, 0, 0, 16),  # destination port
    (0x15, 1, 0, 67),
    (0x15, 0, 1, 68),
    _TAKE,
    _DROP,
)
"""Passes UDP to port 67 or 68 and drops everything else."""

ARP_FILTER: tuple[Instruction, ...] = (
    (0x28, 0, 0, 12),
    (0x15, 0, 1, ETH_P_ARP),
    _TAKE,
    _DROP,
)
"""Passes ARP and drops everything else."""


def open_packet_socket(
    interface: str, program: Sequence[Instruction], ethertype: int
) -> socket.socket:
    """Returns a socket that does not block and receives what the filter passes.

    Args:
        interface: The only interface it uses.
        program: Classic BPF.
        ethertype: Type of the frames it receives.

    Raises:
        NetworkError: There is no such interface, or no right to listen on it.
    """
    try:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as error:
        text = (
            f"no right to listen on {interface}: this process lacks CAP_NET_RAW; "
            "pirack-master.service has it (AmbientCapabilities=CAP_NET_RAW), or run "
            "it as root"
        )
        raise NetworkError(text) from error
    try:
        _attach(raw, program)
        raw.bind((interface, ethertype))
        raw.settimeout(0)
    except OSError as error:
        raw.close()
        text = f"cannot listen on interface {interface!r}: {error.strerror}"
        raise NetworkError(text) from error
    return raw


def _attach(raw: socket.socket, program: Sequence[Instruction]) -> None:
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("HL", len(program), ctypes.addressof(buffer))
    raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def own_mac(raw: socket.socket) -> str:
    """Returns the hardware address of the interface a packet socket is bound to."""
    address: bytes = raw.getsockname()[4]
    return mac_text(address[:6])


def interface_index(interface: str) -> int:
    """Returns the kernel's number of an interface; 0: it is not there.

    An adapter that was pulled out and put in again has another one, and sockets that
    were bound before stay deaf.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


def carrier(interface: str) -> bool | None:
    """Whether the interface has a link; None when it is down or not there."""
    request = struct.pack("16s16x", interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        except OSError:
            return None
    (flags,) = struct.unpack_from("H", answer, 16)
    return bool(flags & _IFF_RUNNING) if flags & _IFF_UP else None


def interface_addresses(interface: str) -> tuple[IPv4Interface, ...]:
    """Returns the IPv4 addresses an interface has, each with its prefix length."""
    buffer = ctypes.create_string_buffer(_MAX_ADDRESSES * _IFREQ.size)
    request = struct.pack("iP", len(buffer), ctypes.addressof(buffer))
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFCONF, request)
        (size,) = struct.unpack_from("i", answer)
        for label, sockaddr in _IFREQ.iter_unpack(buffer.raw[:size]):
            # Further addresses may have labels of their own: eth1:1.
            if label.rstrip(b"\0").decode().partition(":")[0] != interface:
                continue
            masked = fcntl.ioctl(any_socket, _SIOCGIFNETMASK, label + sockaddr)
            _family, _port, address = _SOCKADDR_IN.unpack(sockaddr)
            _family, _port, mask = _SOCKADDR_IN.unpack(masked[16:])
            text = f"{IPv4Address(address)}/{IPv4Address(mask)}"
            found.append(IPv4Interface(text))
    return tuple(found)


def own_hardware_addresses() -> frozenset[str]:
    """Returns the hardware addresses of this machine's interfaces.

    Those they have now, and those they were made with: a bridge takes the address of
    a port, and the port may get it back.
    """
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _index, name in socket.if_nameindex():
            request = struct.pack("16s24x", name.encode())
            with contextlib.suppress(OSError):  # it went away, or has none
                answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, request)
                found.add(mac_text(answer[18:24]))
            with contextlib.suppress(OSError):
                found.add(_permanent_address(any_socket, name))
    return frozenset(found - {"", ZERO})


def _permanent_address(any_socket: socket.socket, interface: str) -> str:
    buffer = ctypes.create_string_buffer(
        _PERMANENT.pack(_ETHTOOL_GPERMADDR, 32, b""), _PERMANENT.size
    )
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(buffer))
    fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    _command, size, address = _PERMANENT.unpack(buffer.raw)
    return mac_text(address[:size]) if size == 6 else ""  # noqa: PLR2004  # bytes


# --- frames ---------------------------------------------------------------------------


class Datagram(msgspec.Struct, frozen=True):
    """A UDP datagram; ``mac`` is the hardware address of its sender."""

    mac: str
    source: str
    source_port: int
    target: str
    target_port: int
    payload: bytes


class Arp(msgspec.Struct, frozen=True):
    """An ARP message: ``mac`` says it has ``address``, or asks who has ``target``."""

    operation: int
    mac: str
    address: str
    target: str


def decode_udp(frame: bytes) -> Datagram | None:
    """Returns the datagram in a frame; None for other frames and fragments."""
    if len(frame) < _ETHERNET.size + _IPV4.size:
        return None
    _target, source_mac, ethertype = _ETHERNET.unpack_from(frame)
    fields = _IPV4.unpack_from(frame, _ETHERNET.size)
    header_bytes = (fields[0] & 0x0F) * 4
    start = _ETHERNET.size + header_bytes
    usable = len(frame) >= start + _UDP.size and not fields[4] & _FRAGMENT
    if ethertype != ETH_P_IP or fields[6] != UDP or not usable:
        return None
    source_port, target_port, length, _checksum = _UDP.unpack_from(frame, start)
    return Datagram(
        mac=mac_text(source_mac),
        source=str(IPv4Address(fields[8])),
        source_port=source_port,
        target=str(IPv4Address(fields[9])),
        target_port=target_port,
        payload=frame[start + _UDP.size : start + max(length, _UDP.size)],
    )


def encode_udp(datagram: Datagram, *, to: str = BROADCAST) -> bytes:
    """Returns a frame; the UDP checksum is left out, as IPv4 allows.

    Args:
        to: Hardware address it goes to.
    """
    length = _UDP.size + len(datagram.payload)
    addresses = (
        IPv4Address(datagram.source).packed,
        IPv4Address(datagram.target).packed,
    )
    head = (0x45, 0, _IPV4.size + length, 0, 0, 64, UDP)
    checksum = _checksum(_IPV4.pack(*head, 0, *addresses))
    return (
        _ETHERNET.pack(mac_bytes(to), mac_bytes(datagram.mac), ETH_P_IP)
        + _IPV4.pack(*head, checksum, *addresses)
        + _UDP.pack(datagram.source_port, datagram.target_port, length, 0)
        + datagram.payload
    )


def _checksum(header: bytes) -> int:
    """Returns the checksum of an IPv4 header (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def decode_arp(frame: bytes) -> Arp | None:
    """Returns the ARP message in a frame; None for other frames."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    if _ETHERNET.unpack_from(frame)[2] != ETH_P_ARP:
        return None
    kind, protocol, _hlen, _plen, operation, mac, address, _mac, target = (
        _ARP.unpack_from(frame, _ETHERNET.size)
    )
    if (kind, protocol) != (1, ETH_P_IP):
        return None
    return Arp(
        operation, mac_text(mac), str(IPv4Address(address)), str(IPv4Address(target))
    )


def encode_question(mac: str, sender: str, address: str) -> bytes:
    """Returns an ordinary ARP request: who has an address?

    A client that checks whether its new address is free takes a question without a
    sender's address (an ARP probe) for a conflict, and declines (RFC 5227, 2.1.1).

    Args:
        mac: Who asks.
        sender: The asker's own address; never ``0.0.0.0``.
        address: What is asked for.
    """
    return _ETHERNET.pack(mac_bytes(BROADCAST), mac_bytes(mac), ETH_P_ARP) + _ARP.pack(
        1,
        ETH_P_IP,
        6,
        4,
        ARP_REQUEST,
        mac_bytes(mac),
        IPv4Address(sender).packed,
        bytes(6),
        IPv4Address(address).packed,
    )
