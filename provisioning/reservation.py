"""What a DHCP server is told about a board, and what makes a set of it acceptable."""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address

import msgspec

from broker.contract.topics import check_name
from provisioning.errors import RefusedError
from provisioning.hardware import normal_mac
from provisioning.subnet import Subnet


class Reservation(msgspec.Struct, frozen=True, order=True):
    """One board's address and name.

    Args:
        mac: Its hardware address, the only identity: client identifiers are cloned
            with the card, and all three servers then lend one address to several
            boards.
        address: Outside the pool.
        name: Told to the board as its host name.
    """

    mac: str
    address: str
    name: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one set of reservations has that another has not.

    Args:
        added: New boards.
        changed: Boards with another address or name.
        removed: Boards that are gone, as they were.
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
    """Return what has to change to come from one set to the other."""
    before = _by_mac(old)
    after = _by_mac(new)
    return Change(
        added=tuple(after[mac] for mac in sorted(after.keys() - before.keys())),
        changed=tuple(
            after[mac]
            for mac in sorted(after.keys() & before.keys())
            if after[mac] != before[mac]
        ),
        removed=tuple(before[mac] for mac in sorted(before.keys() - after.keys())),
    )


def _by_mac(many: Iterable[Reservation]) -> Mapping[str, Reservation]:
    return {one.mac: one for one in many}


def validate(want: Collection[Reservation], subnet: Subnet) -> tuple[Reservation, ...]:
    """Return the set in its one order, or refuse it before anything is written.

    No server can be left to check it: dnsmasq drops one of two boards with one address,
    dhcpd lends it to both, and Kea 2.2 stops serving at all; measured.

    Raises:
        RefusedError: A row that cannot be, or two that cannot be together.
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
        raise RefusedError(text) from error
    if not proper:
        text = f"{row.mac!r} is not in lower case with colons; write it so"
        raise RefusedError(text)
    if address not in subnet.network:
        text = f"{row.address} for {row.name} is not in {subnet.network}"
        raise RefusedError(text)
    if subnet.in_pool(row.address):
        text = (
            f"{row.address} for {row.name} lies in the pool {subnet.pool_first} to "
            f"{subnet.pool_last}; reserve an address outside it"
        )
        raise RefusedError(text)
    if address == subnet.own:
        text = f"{row.address} for {row.name} is the master's own address"
        raise RefusedError(text)


def _check_unique(field: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            text = f"{field} {value} is reserved for two boards; each may stand once"
            raise RefusedError(text)
