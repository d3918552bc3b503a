"""Which board stands in which slot, with its address and name; pure.

An address and a name belong to a slot, not to a board: a board that replaces another
takes over both, and a second install changes nothing. DHCP cannot tell a slot of a
stack from its neighbour, so new boards fill free slots in the order of their hardware
address; a person confirms the order by the LEDs and swaps two places where it is wrong.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Address

import msgspec

from broker.contract.messages import InstallVerdict
from provisioning.common.errors import SubnetError
from provisioning.common.subnet import Reservation


class StackPlan(msgspec.Struct, frozen=True):
    """A stack and how many boards it holds."""

    number: int
    slots: int


class AddressLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that gives a slot its first address and name.

    Args:
        first: Address of slot 1 of stack 1.
        per_stack: Addresses set aside for each stack; at least its slots.
    """

    first: str
    per_stack: int

    def address(self, stack: int, slot: int) -> str:
        """Returns the address a slot has unless it already got another one."""
        offset = (stack - 1) * self.per_stack + slot - 1
        return str(IPv4Address(self.first) + offset)

    @staticmethod
    def name(stack: int, slot: int) -> str:
        """Returns the name a slot has unless it already got another one."""
        return f"s{stack:02}n{slot}"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A slot of a stack, its address and name for good, and its board.

    Args:
        stack: Number of the stack.
        slot: From 1, top first.
        address: Its address, for as long as the rack lives.
        name: Its name, for as long as the rack lives.
        mac: Wired hardware address of its board; empty: it never had one.
        serial: Of that board, as it said itself; empty if it did not.
        model: Of that board, as it said itself; empty if it did not.
        verdict: What the last run that looked found out.
        reserved: Whether the DHCP server is told: not while another device uses the
            address.
    """

    stack: int
    slot: int
    address: str
    name: str
    mac: str = ""
    serial: str = ""
    model: str = ""
    verdict: InstallVerdict = InstallVerdict.UNKNOWN
    reserved: bool = True


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A board that asked for an address, once per board and scan.

    Args:
        after_s: Seconds from power on to its first message.
        address: The address it asked for or was given; empty if not known.
        hostname: What it calls itself.
        serial: Board serial, where it said one.
        model: Board model, where it said one.
    """

    mac: str
    after_s: float = 0.0
    address: str = ""
    hostname: str = ""
    serial: str = ""
    model: str = ""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the scan of one stack.

    Args:
        places: Every place of the rack, as it is now.
        replaced: Name of a slot to the hardware address that had to leave it.
        moved: Hardware address to the name of the slot it came from.
        doubled: Hardware address to the other stack it was heard in.
        overfull: Hardware addresses the stack has no slot for.
    """

    places: tuple[Place, ...]
    replaced: dict[str, str] = msgspec.field(default_factory=dict)
    moved: dict[str, str] = msgspec.field(default_factory=dict)
    doubled: dict[str, int] = msgspec.field(default_factory=dict)
    overfull: tuple[str, ...] = ()


def prepare(
    places: Iterable[Place], layout: AddressLayout, stacks: Sequence[StackPlan]
) -> tuple[Place, ...]:
    """Returns the places with every slot of every stack among them.

    Args:
        layout: The rule for slots that are new.
    """
    kept = {(place.stack, place.slot): place for place in places}
    taken = {place.address for place in kept.values()}
    for stack in stacks:
        for slot in range(1, stack.slots + 1):
            if (stack.number, slot) in kept:
                continue
            address = _free(layout.address(stack.number, slot), taken)
            taken.add(address)
            kept[stack.number, slot] = Place(
                stack=stack.number,
                slot=slot,
                address=address,
                name=layout.name(stack.number, slot),
            )
    return tuple(kept[key] for key in sorted(kept))


def pin(
    places: Sequence[Place], pins: Mapping[str, tuple[int, int]]
) -> tuple[Place, ...]:
    """Puts boards into the slots a person gave them, where no board was found yet.

    Args:
        pins: Hardware address to stack and slot.
    """
    placed = {place.mac for place in places}
    free = {at: mac for mac, at in pins.items() if mac not in placed}
    return tuple(
        msgspec.structs.replace(place, mac=mac)
        if not place.mac and (mac := free.get((place.stack, place.slot)))
        else place
        for place in places
    )


def _free(address: str, taken: Collection[str]) -> str:
    """Returns the first free address from ``address`` on."""
    candidate = IPv4Address(address)
    while str(candidate) in taken:
        candidate += 1
    return str(candidate)


def settle(
    places: Sequence[Place],
    stack: StackPlan,
    seen: Mapping[str, Sighting],
    scanned: Mapping[int, Collection[str]],
) -> Settled:
    """Gives every board heard in a stack its slot.

    Args:
        places: Every place of the rack, those of the stack among them.
        seen: The boards heard in it and in nothing else, by hardware address.
        scanned: Boards heard in other stacks in this run, by stack.
    """
    here = [p for p in places if p.stack == stack.number and p.slot <= stack.slots]
    doubled = _doubled(seen, scanned, stack.number)
    stay = {p.mac for p in here if p.mac in seen and p.mac not in doubled}
    free = sorted(
        (p for p in here if p.mac not in stay),
        key=lambda place: (not place.mac, place.slot),
    )
    # The boards that asked first get slots, in the order of hardware addresses.
    came = sorted(
        seen.keys() - stay - doubled.keys(), key=lambda mac: (seen[mac].after_s, mac)
    )
    fresh = sorted(came[: len(free)])
    come = {place.slot: mac for place, mac in zip(free, fresh, strict=False)}
    arrived = set(come.values())
    sighted = {
        (p.stack, p.slot): seen.get(come.get(p.slot, p.mac))
        for p in here
        if come.get(p.slot, p.mac) not in doubled
    }
    by_mac = {p.mac: p for p in places if p.mac}
    return Settled(
        places=tuple(
            _elsewhere(p, arrived, doubled)
            if p not in here
            else _here(p, sighted.get((p.stack, p.slot)), doubled)
            for p in places
        ),
        replaced={p.name: p.mac for p in here if p.slot in come and p.mac},
        moved={mac: by_mac[mac].name for mac in arrived if mac in by_mac},
        doubled=doubled,
        overfull=tuple(came[len(free) :]),
    )


def _doubled(
    seen: Mapping[str, Sighting], scanned: Mapping[int, Collection[str]], stack: int
) -> dict[str, int]:
    return {
        mac: other
        for other, macs in scanned.items()
        for mac in macs
        if other != stack and mac in seen
    }


def _elsewhere(
    place: Place, arrived: Collection[str], doubled: Mapping[str, int]
) -> Place:
    """Returns a place of another stack after one was scanned."""
    if place.mac and doubled.get(place.mac) == place.stack:
        return msgspec.structs.replace(place, verdict=InstallVerdict.IN_TWO_STACKS)
    return _vacated(place) if place.mac in arrived else place


def _here(place: Place, sighting: Sighting | None, doubled: Mapping[str, int]) -> Place:
    """Returns a place of the scanned stack, with the board that now stands there."""
    if sighting is None:
        gone = _vacated(place) if place.mac in doubled else place
        return msgspec.structs.replace(
            gone, verdict=InstallVerdict.MISSING, reserved=True
        )
    same = sighting.mac == place.mac
    return msgspec.structs.replace(
        place,
        mac=sighting.mac,
        serial=sighting.serial or (place.serial if same else ""),
        model=sighting.model or (place.model if same else ""),
        verdict=InstallVerdict.OK,
        reserved=True,
    )


def _vacated(place: Place) -> Place:
    return msgspec.structs.replace(
        place, mac="", serial="", model="", verdict=InstallVerdict.MISSING
    )


def swap(places: Sequence[Place], first: str, second: str) -> tuple[Place, ...]:
    """Exchanges the boards of two slots, as a person asks after a look at the LEDs.

    Raises:
        SubnetError: There is no slot of one of the names.
    """
    by_name = {place.name: place for place in places}
    for name in (first, second):
        if name not in by_name:
            text = f"there is no slot {name!r}; slots are called like s03n2"
            raise SubnetError(text)
    other = {first: by_name[second], second: by_name[first]}
    return tuple(
        msgspec.structs.replace(
            place,
            mac=other[place.name].mac,
            serial=other[place.name].serial,
            model=other[place.name].model,
            verdict=other[place.name].verdict,
        )
        if place.name in other
        else place
        for place in places
    )


def reservations(places: tuple[Place, ...]) -> tuple[Reservation, ...]:
    """Returns what the DHCP server must know: every board with a place."""
    return tuple(
        Reservation(place.mac, place.address, place.name)
        for place in places
        if place.mac and place.reserved
    )
