"""The rack's network: our address on it, the pool, and the addresses reserved on it.

Reservations lie outside the pool. ISC dhcpd gives one address to the reserved board and
to the lease's holder at once when they overlap, and the others withhold it; measured.
"""

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import msgspec

from broker.contract.topics import check_name
from provisioning.common.errors import ConfigurationRefusedError, SubnetError
from provisioning.common.hardware import normal_mac

_INTERFACE = re.compile(r"^[A-Za-z0-9_.-]{1,15}$")

POOL_PER_BOARD = 2
"""A pool holds the largest stack this many times: the leases of the stack before it
have not ended when the next one is switched on."""


class Subnet(msgspec.Struct, frozen=True, kw_only=True):
    """One interface and the addresses on it.

    Args:
        interface: Name of the only interface that is served and listened on.
        address: The master's own address with its prefix: ``192.168.23.1/24``.
        first: Address of the first slot of stack 1; the others follow it.
        pool_first: First address for boards that have no reservation yet.
        pool_last: Last such address.
        gateway: Router told to boards; empty: none is told.
        dns: Name servers told to boards.
        pool_lease_s: Lease of a pool address, seconds; dnsmasq allows no less than 120.
        lease_s: Lease of a reserved address, seconds: the rack stays on the network
            for that long without its DHCP server.
        renew_s: Seconds after which a board with a pool address asks for it again, as
            far as its client lets itself be told; it hears of a fixed address then.
    """

    interface: str
    address: str
    first: str
    pool_first: str
    pool_last: str
    gateway: str = ""
    dns: tuple[str, ...] = ()
    pool_lease_s: int = 120
    lease_s: int = 43_200
    renew_s: int = 20

    @property
    def rebind_s(self) -> int:
        """Seconds after which such a board asks every server for it."""
        return self.renew_s * 3 // 2

    @property
    def own(self) -> IPv4Address:
        """The master's own address."""
        return IPv4Interface(self.address).ip

    @property
    def network(self) -> IPv4Network:
        """The network the master's address is in."""
        return IPv4Interface(self.address).network

    @property
    def pool_size(self) -> int:
        """How many addresses the pool has."""
        return int(IPv4Address(self.pool_last)) - int(IPv4Address(self.pool_first)) + 1

    def in_pool(self, address: str) -> bool:
        """Whether an address is one of the pool's."""
        first, last = IPv4Address(self.pool_first), IPv4Address(self.pool_last)
        return first <= IPv4Address(address) <= last


def check_subnet(subnet: Subnet, *, boards: int, largest_stack: int) -> None:
    """Refuses a network the rack does not fit in.

    Args:
        boards: Number of addresses planned from ``first`` on.

    Raises:
        SubnetError: The first contradiction found, with what would be right.
    """
    if not _INTERFACE.match(subnet.interface):
        text = (
            f"{subnet.interface!r} is not the name of an interface; name the one of "
            "the rack's network, for example eth1"
        )
        raise SubnetError(text)
    for name in ("first", "pool_first", "pool_last"):
        _inside(subnet, name, getattr(subnet, name))
    if subnet.pool_size < 1:
        text = f"pool_last {subnet.pool_last} comes before pool_first"
        raise SubnetError(text)
    _check_span(subnet, boards)
    wanted = POOL_PER_BOARD * largest_stack
    if subnet.pool_size < wanted:
        text = (
            f"the pool {subnet.pool_first} to {subnet.pool_last} has "
            f"{subnet.pool_size} addresses; stacks of {largest_stack} boards "
            f"need at least {wanted}"
        )
        raise SubnetError(text)


def _check_span(subnet: Subnet, boards: int) -> None:
    first = IPv4Address(subnet.first)
    last = first + max(boards - 1, 0)
    if last not in subnet.network or last == subnet.network.broadcast_address:
        text = f"{boards} boards from {first} on do not fit into {subnet.network}"
        raise SubnetError(text)
    pool_first = IPv4Address(subnet.pool_first)
    pool_last = IPv4Address(subnet.pool_last)
    if first <= pool_last and pool_first <= last:
        text = (
            f"the boards' addresses {first} to {last} overlap the pool {pool_first} to "
            f"{pool_last}; a reserved address must lie outside the pool"
        )
        raise SubnetError(text)
    for name, span in (("boards", (first, last)), ("pool", (pool_first, pool_last))):
        if span[0] <= subnet.own <= span[1]:
            text = (
                f"the master's own address {subnet.own} lies among those of the {name}"
            )
            raise SubnetError(text)


def _inside(subnet: Subnet, name: str, value: str) -> None:
    try:
        address = IPv4Address(value)
        network = subnet.network
    except ValueError as error:
        text = f"{name} or address: {error}"
        raise SubnetError(text) from error
    if address not in network:
        text = f"{name} {value} is not in {network}, the network of {subnet.address}"
        raise SubnetError(text)
    if address in (network.network_address, network.broadcast_address):
        text = f"{name} {value} is the network's own or broadcast address"
        raise SubnetError(text)


class Reservation(msgspec.Struct, frozen=True, order=True):
    """One board's address and name.

    Args:
        mac: Hardware address, the only identity: client identifiers are cloned with
            the card, and all three servers then lend one address to several boards.
        address: Outside the pool.
        name: Told to the board as its host name.
    """

    mac: str
    address: str
    name: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The difference between two sets of reservations.

    Args:
        changed: Boards with another address or name.
    """

    added: tuple[Reservation, ...] = ()
    changed: tuple[Reservation, ...] = ()
    removed: tuple[Reservation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def __str__(self) -> str:
        rows = [("+", self.added), ("~", self.changed), ("-", self.removed)]
        return "\n".join(
            f"{sign} {one.mac} {one.address} {one.name}"
            for sign, many in rows
            for one in many
        )


def difference(old: Iterable[Reservation], new: Iterable[Reservation]) -> Change:
    """Returns what has to change to come from one set to the other."""
    before = {one.mac: one for one in old}
    after = {one.mac: one for one in new}
    return Change(
        added=tuple(after[mac] for mac in sorted(after.keys() - before.keys())),
        changed=tuple(
            after[mac]
            for mac in sorted(after.keys() & before.keys())
            if after[mac] != before[mac]
        ),
        removed=tuple(before[mac] for mac in sorted(before.keys() - after.keys())),
    )


def validate(want: Collection[Reservation], subnet: Subnet) -> tuple[Reservation, ...]:
    """Returns the set in its one order, or refuses it before anything is written.

    No server can be left to check it: dnsmasq drops one of two boards with one address,
    dhcpd lends it to both, and Kea 2.2 stops serving at all; measured.

    Raises:
        ConfigurationRefusedError: A row that cannot be, or two that cannot be together.
    """
    rows = tuple(sorted(want))
    for row in rows:
        _check_row(row, subnet)
    for field in ("mac", "address", "name"):
        _check_unique(field, [getattr(row, field) for row in rows])
    return rows


def _check_row(row: Reservation, subnet: Subnet) -> None:
    try:
        check_name(row.name, "host name")
        address = IPv4Address(row.address)
        proper = normal_mac(row.mac) == row.mac
    except ValueError as error:
        text = f"reservation of {row.mac}: {error}"
        raise ConfigurationRefusedError(text) from error
    if not proper:
        text = f"{row.mac!r} is not in lower case with colons; write it so"
        raise ConfigurationRefusedError(text)
    if address not in subnet.network:
        text = f"{row.address} for {row.name} is not in {subnet.network}"
        raise ConfigurationRefusedError(text)
    if subnet.in_pool(row.address):
        text = (
            f"{row.address} for {row.name} lies in the pool {subnet.pool_first} to "
            f"{subnet.pool_last}; reserve an address outside it"
        )
        raise ConfigurationRefusedError(text)
    if address == subnet.own:
        text = f"{row.address} for {row.name} is the master's own address"
        raise ConfigurationRefusedError(text)


def _check_unique(field: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            text = f"{field} {value} is reserved for two boards; it must be unique"
            raise ConfigurationRefusedError(text)
