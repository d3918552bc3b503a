"""What is heard and asked on the rack's network, and by whom."""

import enum
from collections.abc import Collection
from typing import Protocol

import msgspec


class HeardKind(enum.StrEnum):
    """How a board was heard."""

    DISCOVER = "discover"
    REQUEST = "request"
    DECLINE = "decline"
    """It found its address in use and gave it back."""
    LEASE = "lease"
    """The DHCP server wrote a lease for it."""
    BIRTH = "birth"
    """Its agent said over MQTT who it is."""


class BoardHeard(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a board.

    Args:
        kind: How it was heard.
        address: The address it wants, has, or declines; empty if it named none.
        hostname: What it calls itself.
        client_id: DHCP client identifier, hex; not an identity: cloned cards share it.
        vendor: DHCP vendor class.
        model: Board model, where it said one.
        serial: Board serial, 8 hex digits, where it said one.
    """

    mac: str
    kind: HeardKind
    address: str = ""
    hostname: str = ""
    client_id: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""


class ForeignServer(msgspec.Struct, frozen=True):
    """A DHCP server that is not ours and spoke on the network."""

    address: str
    mac: str


class ArpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A device that answers at an address.

    Args:
        address: The address asked for.
        mac: Hardware address of the device.
        replies: Most answers it gave to one question; more than one: two machines
            with one hardware address.
    """

    address: str
    mac: str
    replies: int = 1


class SightingHandler(Protocol):
    """Receives what is heard on the network; called on the loop."""

    def heard(self, board: BoardHeard) -> None:
        """Handles a message of a board."""

    def server(self, server: ForeignServer) -> None:
        """Handles a message of a DHCP server that is not ours."""


class SightingSource(Protocol):
    """Hears boards: the packet sniffer, the leases of a server, agents."""

    async def start(self, handler: SightingHandler) -> None:
        """Begins to listen.

        Raises:
            NetworkError: It cannot.
        """

    async def stop(self) -> None:
        """Stops listening; calling it twice is fine."""


class RackNetwork(Protocol):
    """Asks questions on the rack's network; ``within_s`` is how long it listens.

    Both raise NetworkError where the interface cannot be used.
    """

    async def probe(
        self, addresses: Collection[str], *, within_s: float
    ) -> tuple[ArpAnswer, ...]:
        """Returns the devices that answer at these IPv4 addresses."""

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Returns the DHCP servers that answer and are not ours."""
