"""A packet socket on one interface, with a filter in the kernel.

Needs CAP_NET_RAW and nothing else. The filter is set before the socket is bound: what
the kernel queued until then would reach us unfiltered.
"""

import contextlib
import ctypes
import fcntl
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface

from provisioning.discovery.frame import ETH_P_ARP, ETH_P_IP, UDP
from provisioning.errors import NetworkError

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
"""Takes UDP to port 67 or 68 and drops everything else."""

ARP_FILTER: tuple[Instruction, ...] = (
    (0x28, 0, 0, 12),
    (0x15, 0, 1, ETH_P_ARP),
    _TAKE,
    _DROP,
)
"""Takes ARP and drops everything else."""


def open_packet_socket(
    interface: str, program: Sequence[Instruction], ethertype: int
) -> socket.socket:
    """Return a socket that does not block and hears what the filter takes.

    Args:
        interface: The only interface it hears and speaks on.
        program: Classic BPF.
        ethertype: What it is bound to.

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
    """Return the hardware address of the interface a packet socket is bound to."""
    address: bytes = raw.getsockname()[4]
    return address[:6].hex(":")


def interface_index(interface: str) -> int:
    """Return the kernel's number of an interface; 0: it is not there.

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
    """Return the IPv4 addresses an interface has, each with its prefix length."""
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
    """Return the hardware addresses of this machine's interfaces.

    Those they have now, and those they were made with: a bridge takes the address of
    a port, and the port may get it back.
    """
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _index, name in socket.if_nameindex():
            request = struct.pack("16s24x", name.encode())
            with contextlib.suppress(OSError):  # it went away, or has none
                answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, request)
                found.add(answer[18:24].hex(":"))
            with contextlib.suppress(OSError):
                found.add(_permanent_address(any_socket, name))
    return frozenset(found - {"", "00:00:00:00:00:00"})


def _permanent_address(any_socket: socket.socket, interface: str) -> str:
    buffer = ctypes.create_string_buffer(
        _PERMANENT.pack(_ETHTOOL_GPERMADDR, 32, b""), _PERMANENT.size
    )
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(buffer))
    fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    _command, size, address = _PERMANENT.unpack(buffer.raw)
    return address[:size].hex(":") if size == 6 else ""  # noqa: PLR2004  # bytes
