"""Judges what was heard: new, doubtful, of another stack, or in conflict; pure."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

import msgspec

from broker.contract.messages import InstallVerdict
from provisioning.common.hardware import looks_like_a_pi
from provisioning.common.network import ArpAnswer, BoardHeard, HeardKind
from provisioning.run.plan import Place, Sighting, StackPlan
from provisioning.run.state import InstallRun

SEEN_PER_SLOT, SEEN_BESIDES = 4, 32
"""Hardware addresses that are accepted for each slot, and beside that."""


MOST_NEIGHBOURS = 1024
"""Addresses of a network that are asked one by one."""

TOO_EARLY_S = 2.0
"""A board that asks so much sooner than all others did, and in less than half the time,
was on before: boots of one board differ by less."""


def most(slots: int) -> int:
    """Returns how many hardware addresses may be heard; more than that are invented."""
    return SEEN_PER_SLOT * slots + SEEN_BESIDES


def merge(before: Sighting | None, board: BoardHeard, after_s: float) -> Sighting:
    """Returns what is known about a board with a message added.

    Args:
        before: What was known; None: nothing.
        after_s: Seconds since its stack came on.
    """
    old = before or Sighting(mac=board.mac, after_s=after_s)
    # The board will not be at an address that another device uses.
    address = "" if board.kind is HeardKind.DECLINE else board.address
    return Sighting(
        mac=board.mac,
        after_s=old.after_s,
        address=address or old.address,
        hostname=board.hostname or old.hostname,
        serial=board.serial or old.serial,
        model=board.model or old.model,
    )


def known_elsewhere(run: InstallRun, board: BoardHeard) -> bool:
    """Whether it is sure that the board stands elsewhere."""
    if board.mac in run.foreign or board.mac in run.elsewhere:
        return True
    if board.kind is not HeardKind.LEASE:
        return False
    # A lease is read some time after it was written, maybe when its board is off again:
    # it tells of new boards, but not that one has moved.
    placed = any(p.mac == board.mac and p.stack != run.stack.number for p in run.places)
    return placed or any(
        board.mac in macs for n, macs in run.scanned.items() if n != run.stack.number
    )


def everywhere(run: InstallRun) -> tuple[str, ...]:
    """Returns the addresses at which a device may answer with the stacks off.

    All of the network, or, of a large one, those of the boards.
    """
    network = IPv4Network(run.params.network)
    if network.num_addresses <= MOST_NEIGHBOURS:
        return tuple(str(address) for address in network.hosts())
    addresses = {place.address for place in run.places}
    addresses |= {address for address in run.heard.values() if address}
    inside = (a for a in addresses if IPv4Address(a) in network)
    return tuple(sorted(inside, key=lambda a: int(IPv4Address(a))))


def incomplete(run: InstallRun) -> tuple[int, ...]:
    """Returns the stacks that were scanned and in which not every slot was heard."""
    return tuple(
        stack.number
        for stack in run.params.stacks
        if len(run.scanned.get(stack.number, ())) < stack.slots
        and stack.number in run.scanned
    )


def doubtful(run: InstallRun, board: BoardHeard, after_s: float) -> bool:
    """Whether a board that asks may not be of the stack that is scanned.

    A board of a stack before it that comes late asks at any moment, as does a device
    that hangs on no outlet at all. What a second scan of the same stack shows again
    is not doubted.

    Args:
        run: With a stack that has just come on.
        after_s: Seconds since then.
    """
    home = next((place.stack for place in run.places if place.mac == board.mac), None)
    if run.settling or home == run.stack.number:
        return False
    sooner_s = run.fastest_s - after_s
    early = run.attempt == 1 and sooner_s > max(TOO_EARLY_S, run.fastest_s / 2)
    late = bool(incomplete(run)) and (early or home in run.scanned)
    return late or odd(run, board.mac)


def odd(run: InstallRun, mac: str) -> bool:
    """Whether the address of a board is not a Raspberry Pi's, as others are."""
    if looks_like_a_pi(mac) or any(place.mac == mac for place in run.places):
        return False
    others = [*run.seen, *(m for macs in run.scanned.values() for m in macs)]
    return any(map(looks_like_a_pi, others))


def in_conflict(place: Place, stack: StackPlan, taken: dict[str, str]) -> Place:
    """Returns a place as it is while another device uses its address."""
    if place.stack != stack.number or place.address not in taken:
        return place
    verdict = InstallVerdict.CONFLICT if place.mac else place.verdict
    return msgspec.structs.replace(place, verdict=verdict, reserved=False)


def legs(places: dict[str, Place], answers: tuple[ArpAnswer, ...]) -> dict[str, Place]:
    """Returns hardware addresses of second interfaces, with the place of the first.

    A machine with two interfaces in one network answers for both of its addresses on
    both of them, as Linux does by default.

    Args:
        places: Those with a board, by address.
    """
    said = {(answer.address, answer.mac) for answer in answers}
    homes = {place.mac: address for address, place in places.items()}
    pairs = [
        (places[address], places[homes[mac]])
        for address, mac in said
        if address in places and mac in homes and homes[mac] != address
        if (homes[mac], places[address].mac) in said
    ]
    return {
        second.mac: first
        for first, second in pairs
        if (first.stack, first.slot) < (second.stack, second.slot)
    }


def without(places: tuple[Place, ...], macs: Collection[str]) -> tuple[Place, ...]:
    """Returns the places with some boards taken out of their slots."""
    return tuple(
        msgspec.structs.replace(
            place, mac="", serial="", model="", verdict=InstallVerdict.MISSING
        )
        if place.mac in macs
        else place
        for place in places
    )
