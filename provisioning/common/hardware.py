"""Hardware addresses, what can be told from one, and safe text of what a board says."""

import re
from ipaddress import IPv4Address

MAX_SHOWN = 64
"""Characters that are kept of a text of a board."""
BROADCAST = "ff:ff:ff:ff:ff:ff"
ZERO = "00:00:00:00:00:00"

_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")

# Blocks of Raspberry Pi (Trading) Ltd and the Foundation, IEEE registry. A hint only:
# compute modules take a carrier's address, and USB adapters have their maker's.
_RASPBERRY = frozenset(
    {
        "28:cd:c1",
        "2c:cf:67",
        "88:a2:9e",
        "b8:27:eb",
        "d8:3a:dd",
        "dc:a6:32",
        "e4:5f:01",
    }
)


def mac_text(raw: bytes) -> str:
    """Returns six bytes as ``aa:bb:cc:dd:ee:ff``."""
    return raw.hex(":")


def mac_bytes(text: str) -> bytes:
    """Returns the six bytes of ``aa:bb:cc:dd:ee:ff``.

    Raises:
        ValueError: It is not a hardware address.
    """
    return bytes.fromhex(normal_mac(text).replace(":", ""))


def normal_mac(text: str) -> str:
    """Returns a hardware address in the one form that is compared: lower case, colons.

    Raises:
        ValueError: It is not a hardware address.
    """
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.match(mac):
        error = f"{text!r} is not a hardware address; one looks like dc:a6:32:01:02:03"
        raise ValueError(error)
    return mac


def of_one_device(mac: str) -> bool:
    """Whether an address can be that of a device: not of a group, and not all zero."""
    return mac != ZERO and not mac_bytes(mac)[0] & 1


def looks_like_a_pi(mac: str) -> bool:
    """Whether the address is from a block of Raspberry Pi; False proves nothing."""
    return mac[:8] in _RASPBERRY


def ipv4_text(text: str) -> str:
    """Returns an IPv4 address as it is written; empty for other text."""
    try:
        return str(IPv4Address(text))
    except ValueError:
        return ""


def shown(text: str) -> str:
    """Returns what a board says of itself as it is safe to show: short, one line."""
    return "".join(c for c in text if c.isprintable())[:MAX_SHOWN]
