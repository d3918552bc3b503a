"""The rack's network: our address on it, the pool, and where boards are addressed.

Reservations lie outside the pool. ISC dhcpd gives one address to the reserved board and
to the lease's holder at once when they overlap, and the others withhold it; measured.
"""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import msgspec

from provisioning.errors import SubnetError

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
        lease_s: Lease of a reserved address, seconds: so long does the rack stay on
            the network without its DHCP server.
        renew_s: Seconds after which a board with a pool address asks for it again, as
            far as its client lets itself be told; so soon it hears of a fixed address.
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
        number = int(IPv4Address(address))
        first, last = IPv4Address(self.pool_first), IPv4Address(self.pool_last)
        return int(first) <= number <= int(last)


def check(subnet: Subnet, *, boards: int, largest_stack: int) -> None:
    """Refuse a network the rack does not fit in.

    Args:
        subnet: The network.
        boards: How many addresses are planned from ``first`` on.
        largest_stack: Boards in the largest stack.

    Raises:
        SubnetError: The first contradiction found, with what would be right.
    """
    if not _INTERFACE.match(subnet.interface):
        text = (
            f"interface {subnet.interface!r} is no name of one; name the one the rack "
            "hangs on, for example eth1"
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
    pool_first, pool_last = (
        IPv4Address(subnet.pool_first),
        IPv4Address(subnet.pool_last),
    )
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
