"""Who this board is: model, serial, hardware addresses, and the node id made of them.

Never the hostname or ``/etc/machine-id``: PiRack's nodes are born by cloning cards, and
clones share both. Never an address that a container engine, a bridge or a random
generator made up: it is the same on many machines, or another one after each boot. A
machine that has nothing else gets an id at random, kept in a file of its own.
"""

import logging
import re
import secrets
from pathlib import Path

import msgspec

from broker.common import atomic
from broker.common.errors import ConfigError

log = logging.getLogger(__name__)

KEPT_ID = "node-id"
"""File in the state directory of a machine whose hardware does not say who it is."""

_DEVICE_TREE = ("proc/device-tree", "sys/firmware/devicetree/base")
_ID_DIGITS = 8
_ID = re.compile(r"[a-z0-9-]{1,32}")
_COUNTED = frozenset(
    {
        "12345678",
        "123456789",
        "1234567890",
        "0123456789",
        "0123456789abcdef",
        "123456789abcdef0",
        "1234567890abcdef",
    }
)
"""Serials that are the same on every board of a maker who set none."""
_NO_MAC = "00:00:00:00:00:00"
_ETHERNET = "1"
"""``ARPHRD_ETHER`` of ``linux/if_arp.h``; wireless is of this type too."""
_PERMANENT, _RANDOM = "0", "1"
"""``addr_assign_type``: NET_ADDR_PERM and NET_ADDR_RANDOM of ``linux/netdevice.h``."""
_LOCAL_BIT = 0x02
"""In the first octet: the address was made up locally, not given by a manufacturer."""
_INSIDE = re.compile(
    r"lo|(?:veth|docker|virbr|vnet|cni|cali|flannel|lxcbr|lxdbr|podman|kube|tun|tap"
    r"|wg|dummy|ifb|bond|team).*|br-[0-9a-f]{12}"
)
"""Names of interfaces that lead to containers, or through another interface."""


class Interface(msgspec.Struct, frozen=True, order=True):
    """One network interface; they sort as the id prefers them.

    Args:
        inside: A bridge, a bond, or an interface of containers or tunnels.
        virtual: No device stands behind it.
        local: Its address is locally administered.
        assigned: Its address is not the permanent one of its device.
        wireless: It has no cable.
        usb: It can be unplugged.
    """

    inside: bool
    virtual: bool
    local: bool
    assigned: bool
    wireless: bool
    usb: bool
    name: str
    mac: str

    @property
    def identifies(self) -> bool:
        """Whether its address belongs to this machine alone, and stays."""
        return not (self.inside or self.local)


def node_id(serial: str, macs: tuple[str, ...]) -> str:
    """Returns ``pi-`` and eight hex digits of the serial, else of the first address.

    Args:
        serial: Board serial, hex; empty where there is none.
        macs: Hardware addresses, the preferred one first.

    Raises:
        ConfigError: The machine has neither; a person must choose an id.
    """
    source = serial if names_board(serial) else "".join(macs[:1]).replace(":", "")
    if len(source) < _ID_DIGITS:
        text = (
            "this machine has neither a board serial nor a network interface; "
            'set [agent] id = "pi-…" to a name of your own'
        )
        raise ConfigError(text)
    return f"pi-{source[-_ID_DIGITS:]}".lower()


def names_board(serial: str) -> bool:
    """Whether a serial is one, and not what a maker left in its place."""
    if len(serial) < _ID_DIGITS or len(set(serial)) == 1:
        return False
    return serial.lower() not in _COUNTED


def hardware_id(root: Path) -> str:
    """Returns the node id that the hardware gives; empty where it gives none."""
    macs = tuple(one.mac for one in interfaces(root) if one.identifies)
    board = serial(root)
    return node_id(board, macs) if names_board(board) or macs else ""


def known_id(root: Path, kept: Path, username: str = "") -> str:
    """Returns the id of this machine's agent, which stays what it is; empty if none.

    The board's serial, else an id that was kept, else a permanent hardware address.

    Args:
        kept: File of an id at random; see ``make_kept``.
        username: As which the agent signs in: an agent that was enrolled by an
            address that would not be taken now keeps its id.
    """
    if names_board(serial(root)):
        return hardware_id(root)
    before = read_kept(kept)
    if before:
        return before
    if username and username in _earlier_ids(root):
        return username
    return hardware_id(root)


def read_kept(path: Path) -> str:
    """Returns the id in a file; empty if there is none, or a broken one, put aside."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        log.warning("%s: cannot be read (%s)", path, error.strerror)
        return ""
    if _ID.fullmatch(text):
        return text
    atomic.put_aside(path, f"{text[:64]!r} is not a node id")
    return ""


def make_kept(path: Path, chosen: str = "") -> str:
    """Writes an id to a file and returns it.

    Args:
        chosen: The id; empty makes one at random.

    Raises:
        ConfigError: It cannot be written: the id would be another at each start.
    """
    made = chosen or random_id()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(path, f"{made}\n".encode())
    except OSError as error:
        text = (
            "this machine has neither a board serial nor a network interface with a "
            f"permanent address, and an id cannot be kept in {path} "
            f'({error.strerror}); set [agent] id = "pi-…" to a name of your own'
        )
        raise ConfigError(text) from error
    if not chosen:
        log.warning(
            "this machine has neither a board serial nor a permanent hardware "
            "address; its id is %s, kept in %s",
            made,
            path,
        )
    return made


def random_id() -> str:
    """Returns a node id for a machine whose hardware gives none."""
    return f"pi-{secrets.token_hex(_ID_DIGITS // 2)}"


def model(root: Path) -> str:
    """Returns the board's model; a PC's product name; empty where there is neither."""
    return _device_tree(root, "model") or read_text(
        root / "sys/class/dmi/id/product_name"
    )


def is_raspberry(root: Path) -> bool:
    """Whether the device tree says that this is a Raspberry Pi."""
    return _device_tree(root, "model").startswith("Raspberry Pi")


def serial(root: Path) -> str:
    """Returns the board's serial from the device tree, lower-case hex; else empty."""
    found = _device_tree(root, "serial-number").lower()
    return found if found and set(found) <= set("0123456789abcdef") else ""


def interfaces(root: Path) -> tuple[Interface, ...]:
    """Returns the Ethernet and wireless interfaces, the preferred one first."""
    try:
        directories = list((root / "sys/class/net").iterdir())
    except OSError:
        return ()
    return tuple(sorted(filter(None, map(_interface, directories))))


def hardware_addresses(root: Path) -> tuple[str, ...]:
    """Returns the hardware addresses, those that stay first, each once."""
    return tuple(dict.fromkeys(one.mac for one in interfaces(root)))


def leads_inside(directory: Path) -> bool:
    """Whether an interface leads to containers, or through another interface.

    Args:
        directory: Of the interface, in ``/sys/class/net``.
    """
    made = ("bridge", "bonding", "tun_flags")
    return named_inside(directory.name) or any(
        (directory / name).exists() for name in made
    )


def named_inside(name: str) -> bool:
    """Whether an interface has a name that container engines and tunnels give."""
    return _INSIDE.fullmatch(name) is not None


def read_text(path: Path) -> str:
    """Returns a small file's text without padding; empty when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.strip("\0 \n\t")


def _earlier_ids(root: Path) -> set[str]:
    """Returns the ids that a release before may have made of this machine."""
    board = serial(root)
    sources = [mac.replace(":", "") for mac in hardware_addresses(root)]
    return {f"pi-{source[-_ID_DIGITS:]}" for source in (board, *sources) if source}


def linked_to(path: Path) -> str:
    """Returns the last name of what a symbolic link leads to; empty if it is none."""
    try:
        return path.readlink().name
    except OSError:
        return ""


def _device_tree(root: Path, name: str) -> str:
    texts = (read_text(root / base / name) for base in _DEVICE_TREE)
    return next(filter(None, texts), "")


def _interface(directory: Path) -> Interface | None:
    mac = read_text(directory / "address").lower()
    if read_text(directory / "type") != _ETHERNET or mac in {"", _NO_MAC}:
        return None
    kind = read_text(directory / "addr_assign_type") or _PERMANENT
    return Interface(
        inside=leads_inside(directory),
        virtual=not (directory / "device").exists(),
        local=_is_local(mac) or kind == _RANDOM,
        assigned=kind != _PERMANENT,
        wireless=(directory / "wireless").exists() or (directory / "phy80211").exists(),
        usb=linked_to(directory / "device/subsystem") == "usb",
        name=directory.name,
        mac=mac,
    )


def _is_local(mac: str) -> bool:
    try:
        return bool(int(mac[:2], 16) & _LOCAL_BIT)
    except ValueError:
        return True
