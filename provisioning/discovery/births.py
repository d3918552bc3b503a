"""The third source: agents that say who they are, over MQTT.

For racks whose DHCP is somebody else's and out of hearing: an agent dials out, so its
first words after power on tell hardware address, serial and address at once.
"""

from broker.contract.messages import Details
from provisioning.hardware import ipv4_text, normal_mac, shown
from provisioning.run.messages import Ask, AskKind
from provisioning.seams import Ear

SERIAL_DIGITS = 8
"""What a node id is made of, and all that option 97 tells."""


class BirthSource:
    """A source that is told by whoever holds the link to the broker."""

    def __init__(self) -> None:
        self._ear: Ear | None = None
        self._boots: dict[str, str] = {}

    async def start(self, ear: Ear) -> None:
        """Begin to pass on."""
        self._ear = ear

    async def stop(self) -> None:
        """Stop; calling it twice is fine."""
        self._ear = None

    def said(self, node_id: str, details: Details, *, retained: bool) -> None:
        """Take the details of a node.

        Args:
            node_id: Of the node: its first hardware address may change while it runs,
                when an adapter is plugged in or a bridge takes another one.
            details: As they arrived.
            retained: They came out of the broker's store: they may be of any time.
        """
        ask = born(details)
        if ask is None:
            return
        # A new session of the same boot is no power that came: the broker was away.
        again = self._boots.get(node_id) == details.boot_id
        self._boots[node_id] = details.boot_id
        if self._ear and not (retained or again or details.reason):
            self._ear.heard(ask)


def born(details: Details) -> Ask | None:
    """Return what details say about a board; None without a hardware address."""
    try:
        mac = normal_mac(details.macs[0])
    except (IndexError, ValueError):
        return None
    ipv4 = filter(None, map(ipv4_text, details.addresses))
    return Ask(
        mac=mac,
        kind=AskKind.BIRTH,
        address=next(ipv4, ""),
        hostname=shown(details.hostname),
        model=shown(details.model),
        serial=shown(details.serial)[-SERIAL_DIGITS:],
    )
