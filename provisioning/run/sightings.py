"""Who was heard, where to look for him, and whose address is taken; pure."""

from ipaddress import IPv4Address, IPv4Network

import msgspec

from provisioning.plan import Place, Sighting, StackPlan, Verdict
from provisioning.reservation import Reservation
from provisioning.run.messages import Answer, Ask, AskKind
from provisioning.run.state import Run

SEEN_PER_SLOT, SEEN_BESIDES = 4, 32
"""Hardware addresses that are listened to for each slot, and besides."""


def most(slots: int) -> int:
    """Return how many hardware addresses may be heard; more than that are invented."""
    return SEEN_PER_SLOT * slots + SEEN_BESIDES


def merge(before: Sighting | None, ask: Ask, after_s: float) -> Sighting:
    """Return what is known about a board with something it said added.

    Args:
        before: What was known; None: nothing.
        ask: What it said.
        after_s: Seconds since its stack came on.
    """
    old = before or Sighting(mac=ask.mac, after_s=after_s)
    # An address somebody else uses is not the one to look for the board at.
    address = "" if ask.kind is AskKind.DECLINE else ask.address
    return Sighting(
        mac=ask.mac,
        after_s=old.after_s,
        address=address or old.address,
        hostname=ask.hostname or old.hostname,
        serial=ask.serial or old.serial,
        model=ask.model or old.model,
    )


def known_elsewhere(run: Run, ask: Ask) -> bool:
    """Whether it is sure that the board stands elsewhere."""
    if ask.mac in run.foreign or ask.mac in run.elsewhere:
        return True
    if ask.kind is not AskKind.LEASE:
        return False
    # A lease is read some time after it was written, maybe when its board is off again:
    # it tells of new boards, but not that one has moved.
    placed = any(p.mac == ask.mac and p.stack != run.stack.number for p in run.places)
    return placed or any(
        ask.mac in macs for n, macs in run.scanned.items() if n != run.stack.number
    )


def suspects(run: Run) -> tuple[str, ...]:
    """Return the addresses at which somebody may answer who should not."""
    network = IPv4Network(run.params.network)
    numbers = {run.stack.number}
    addresses = {s.address for s in run.seen.values() if s.address}
    addresses |= {
        p.address for p in run.places if p.stack in numbers or p.mac in run.seen
    }
    inside = (a for a in addresses if IPv4Address(a) in network)
    return tuple(sorted(inside, key=lambda a: int(IPv4Address(a))))


def taken_addresses(
    places: tuple[Place, ...], stack: StackPlan, answers: tuple[Answer, ...]
) -> dict[str, str]:
    """Return the stack's addresses that a stranger uses, and by whom."""
    here = {p.address: p.mac for p in places if p.stack == stack.number}
    return {
        answer.address: answer.mac
        for answer in answers
        if answer.address in here and here[answer.address] != answer.mac
    }


def in_conflict(place: Place, stack: StackPlan, taken: dict[str, str]) -> Place:
    """Return a place as it is while somebody else uses its address."""
    if place.stack != stack.number or place.address not in taken:
        return place
    verdict = Verdict.CONFLICT if place.mac else place.verdict
    return msgspec.structs.replace(place, verdict=verdict, reserved=False)


def reservations(places: tuple[Place, ...]) -> tuple[Reservation, ...]:
    """Return what the DHCP server must know: every board with a place."""
    return tuple(
        Reservation(place.mac, place.address, place.name)
        for place in places
        if place.mac and place.reserved
    )
