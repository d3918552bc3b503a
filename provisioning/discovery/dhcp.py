"""DHCP messages to structs and back; pure. RFC 2131, 2132 and 4578."""

import enum
import struct
from ipaddress import IPv4Address

import msgspec

from provisioning.common.hardware import mac_bytes, mac_text, shown

COOKIE = b"\x63\x82\x53\x63"
SERVER_PORT = 67
CLIENT_PORT = 68
BROADCAST_FLAG = 0x8000

_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_ETHERNET = 1
_MAC_BYTES = 6
_GUID_BYTES = 17
_PAD, _END = 0, 255


class Op(enum.IntEnum):
    """Direction of a message."""

    REQUEST = 1
    REPLY = 2


class DhcpKind(enum.IntEnum):
    """Option 53: the type of a message."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7


class Option(enum.IntEnum):
    """The options that are read or written here."""

    HOSTNAME = 12
    VENDOR_DATA = 43
    REQUESTED_ADDRESS = 50
    KIND = 53
    SERVER = 54
    PARAMETERS = 55
    VENDOR = 60
    CLIENT_ID = 61
    ARCHITECTURE = 93
    INTERFACE_VERSION = 94
    GUID = 97


class Dhcp(msgspec.Struct, frozen=True, kw_only=True):
    """One DHCP message.

    Args:
        kind: Option 53.
        mac: Hardware address of the client.
        xid: Transaction number.
        ciaddr: The address the client has; ``0.0.0.0``: none.
        yiaddr: The address it is given.
        siaddr: The server it boots from.
        options: All others, raw.
        broadcast: The client cannot take an answer sent to an address.
        relayed: It came over a relay, whose hardware address its frame has.
    """

    op: Op
    kind: DhcpKind
    mac: str
    xid: int
    ciaddr: str = "0.0.0.0"  # noqa: S104  # "no address", not a place to listen
    yiaddr: str = "0.0.0.0"  # noqa: S104  # as above
    siaddr: str = "0.0.0.0"  # noqa: S104  # as above
    options: dict[int, bytes] = msgspec.field(default_factory=dict)
    broadcast: bool = False
    relayed: bool = False

    def text(self, option: Option) -> str:
        """Returns an option as text that is safe to show; empty when it is missing."""
        raw = self.options.get(option, b"").split(b"\0")[0]
        return shown(raw.decode(errors="replace"))

    def address(self, option: Option) -> str:
        """Returns an option as an address; empty when it is not one."""
        raw = self.options.get(option, b"")
        return str(IPv4Address(raw)) if len(raw) == 4 else ""  # noqa: PLR2004  # bytes of IPv4


def decode(payload: bytes) -> Dhcp | None:
    """Returns the message in a UDP payload; None for anything else.

    Nothing is raised, however wrong the bytes are.
    """
    if len(payload) < _FIXED.size:
        return None
    fields = _FIXED.unpack_from(payload)
    op, hardware, length, _hops, xid, _secs, flags, ciaddr, yiaddr, siaddr = fields[:10]
    chaddr, cookie = fields[11], fields[14]
    options = _options(payload[_FIXED.size :])
    kind = options.pop(Option.KIND, b"")
    if (hardware, length, cookie) != (_ETHERNET, _MAC_BYTES, COOKIE) or len(kind) != 1:
        return None
    try:
        return Dhcp(
            op=Op(op),
            kind=DhcpKind(kind[0]),
            mac=mac_text(chaddr[:_MAC_BYTES]),
            xid=xid,
            ciaddr=str(IPv4Address(ciaddr)),
            yiaddr=str(IPv4Address(yiaddr)),
            siaddr=str(IPv4Address(siaddr)),
            options=options,
            broadcast=bool(flags & BROADCAST_FLAG),
            relayed=any(fields[10]),
        )
    except ValueError:
        return None  # a kind we have no use for: INFORM, lease queries


def _options(raw: bytes) -> dict[int, bytes]:
    """Returns the options; one that comes in parts is put together (RFC 3396)."""
    options: dict[int, bytes] = {}
    at = 0
    while at < len(raw) and raw[at] != _END:
        if raw[at] == _PAD:
            at += 1
            continue
        if at + 1 >= len(raw):
            break
        end = at + 2 + raw[at + 1]
        options[raw[at]] = options.get(raw[at], b"") + raw[at + 2 : end]
        at = end
    return options


def encode(message: Dhcp) -> bytes:
    """Returns the message as a UDP payload."""
    fixed = _FIXED.pack(
        message.op,
        _ETHERNET,
        _MAC_BYTES,
        0,
        message.xid,
        0,
        BROADCAST_FLAG if message.broadcast else 0,
        IPv4Address(message.ciaddr).packed,
        IPv4Address(message.yiaddr).packed,
        IPv4Address(message.siaddr).packed,
        bytes(4),
        mac_bytes(message.mac).ljust(16, b"\0"),
        bytes(64),
        bytes(128),
        COOKIE,
    )
    options = {int(Option.KIND): bytes([message.kind]), **message.options}
    body = b"".join(bytes([n, len(v)]) + v for n, v in options.items())
    # BOOTP's 300 bytes: some servers drop what is shorter.
    return (fixed + body + bytes([_END])).ljust(300, b"\0")


def board_of(guid: bytes) -> tuple[str, str]:
    """Returns model and serial from option 97; empty where it does not tell.

    A Raspberry Pi 4 or newer says ``RPi4``, board revision, the last four bytes of its
    hardware address and of its serial, each little-endian ("DHCP_OPTION97" in the
    documentation of its boot EEPROM); older boot code says its serial four times.
    """
    if len(guid) != _GUID_BYTES or guid[0] != 0:
        return "", ""
    words = [guid[at : at + 4] for at in (1, 5, 9, 13)]
    serial = words[3][::-1].hex()
    if words[0][:3] == b"RPi" and words[0][3:].isalnum():
        return f"Raspberry Pi {words[0][3:].decode()}", serial
    if len(set(words)) == 1 and any(words[0]):
        return "Raspberry Pi", serial
    return "", ""
