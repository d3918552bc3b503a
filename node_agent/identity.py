"""Who this board is: model, serial, hardware addresses, and the node id made of them.

Never the hostname or ``/etc/machine-id``: PiRack's nodes are born by cloning cards, and
clones share both.
"""

from pathlib import Path

import msgspec

from broker.errors import ConfigError

_DEVICE_TREE = ("proc/device-tree", "sys/firmware/devicetree/base")
_ID_DIGITS = 8
_NO_MAC = "00:00:00:00:00:00"
_ETHERNET = "1"
"""``ARPHRD_ETHER`` of ``linux/if_arp.h``; wireless is of this type too."""


class Interface(msgspec.Struct, frozen=True, order=True):
    """One network interface; they sort as the id prefers them.

    Args:
        virtual: No device stands behind it (a bridge, a container's cable).
        wireless: It has no cable.
        name: For example ``eth0``.
        mac: Hardware address.
    """

    virtual: bool
    wireless: bool
    name: str
    mac: str


def node_id(serial: str, macs: tuple[str, ...]) -> str:
    """Return ``pi-`` and eight hex digits of the serial, else of the first address.

    Args:
        serial: Board serial, hex; empty where there is none.
        macs: Hardware addresses, the preferred one first.

    Raises:
        ConfigError: The machine has neither; a person must choose an id.
    """
    source = serial if serial.strip("0") else "".join(macs[:1]).replace(":", "")
    if len(source) < _ID_DIGITS:
        text = (
            "this machine has neither a board serial nor a network interface; "
            'set [agent] id = "pi-…" to a name of your own'
        )
        raise ConfigError(text)
    return f"pi-{source[-_ID_DIGITS:]}".lower()


def model(root: Path) -> str:
    """Return the board's model; a PC's product name; empty where there is neither."""
    return _device_tree(root, "model") or read_text(
        root / "sys/class/dmi/id/product_name"
    )


def is_raspberry(root: Path) -> bool:
    """Whether the device tree says that this is a Raspberry Pi."""
    return _device_tree(root, "model").startswith("Raspberry Pi")


def serial(root: Path) -> str:
    """Return the board's serial from the device tree, lower-case hex; else empty."""
    found = _device_tree(root, "serial-number").lower()
    return found if found and set(found) <= set("0123456789abcdef") else ""


def interfaces(root: Path) -> tuple[Interface, ...]:
    """Return the Ethernet and wireless interfaces, the preferred one first."""
    try:
        directories = list((root / "sys/class/net").iterdir())
    except OSError:
        return ()
    return tuple(sorted(filter(None, map(_interface, directories))))


def read_text(path: Path) -> str:
    """Return a small file's text without padding; empty when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.strip("\0 \n\t")


def _device_tree(root: Path, name: str) -> str:
    texts = (read_text(root / base / name) for base in _DEVICE_TREE)
    return next(filter(None, texts), "")


def _interface(directory: Path) -> Interface | None:
    mac = read_text(directory / "address").lower()
    if read_text(directory / "type") != _ETHERNET or mac in {"", _NO_MAC}:
        return None
    return Interface(
        virtual=not (directory / "device").exists(),
        wireless=(directory / "wireless").exists() or (directory / "phy80211").exists(),
        name=directory.name,
        mac=mac,
    )
