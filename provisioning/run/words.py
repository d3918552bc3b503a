"""Every verdict and every step in words a person can act on; pure."""

from collections.abc import Iterable

from broker.messages import Power
from provisioning.hardware import looks_like_a_pi
from provisioning.plan import Place, Settled, Sighting, StackPlan, Verdict
from provisioning.run.state import Finding, Params, Run

NAMED = 48
"""Boards named in the forecast."""


def listed(numbers: Iterable[int]) -> str:
    """Return numbers as people write them: ``1-3, 7``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][-1] == number - 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def stacks(numbers: Iterable[int]) -> str:
    """Return ``stack 3`` or ``stacks 1-4``."""
    many = list(numbers)
    return f"stack{'s' if len(many) != 1 else ''} {listed(many)}"


def forecast(run: Run) -> tuple[str, ...]:
    """Say what the run will do, before it does anything."""
    params = run.params
    numbers = [stack.number for stack in params.stacks]
    on = [n for n in numbers if run.before.get(n) is not Power.OFF]
    known = [p for p in run.places if p.stack in numbers and p.mac]
    keep = "board is known and keeps its address and name"
    if len(known) != 1:
        keep = "boards are known and keep their addresses and names"
    looked_for = f"{run.boards} slots will be looked for; {len(known)} {keep}"
    lines = [_loses_power(numbers, on), *_running(params), looked_for]
    if params.reserves:
        lines.append(f"addresses are reserved from {params.layout.first} on")
    else:
        lines.append("no address is reserved: the DHCP server is not ours")
    lines.append(f"it takes about {minutes(estimate_s(run, len(numbers)))}")
    if not params.whole:
        lines.append("all other stacks stay on")
    return tuple(lines)


def _running(params: Params) -> Iterable[str]:
    """Name the boards that lose power."""
    if params.running:
        what = "is shut down" if len(params.running) == 1 else "are shut down"
        yield f"before that {_counted(params.running)} {what}: {_few(params.running)}"
    if params.unplaced:
        yield (
            f"{_counted(params.unplaced)} at places nobody told, cut without being "
            f"asked if they are in these stacks: {_few(params.unplaced)}"
        )


def _counted(names: tuple[str, ...]) -> str:
    return "1 board that runs" if len(names) == 1 else f"{len(names)} boards that run"


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _loses_power(numbers: list[int], on: list[int]) -> str:
    if not on:
        return f"{stacks(numbers)} will be switched on one after the other; all are off"
    lose = f"{stacks(on)} {'loses' if len(on) == 1 else 'lose'} power"
    if len(numbers) == 1:
        return f"{lose}: it goes off and comes on again"
    if on == numbers:
        return f"{lose}: all go off, then one after the other comes on alone"
    return f"{stacks(numbers)} come on alone, one after the other; before that {lose}"


def estimate_s(run: Run, stacks_left: int) -> float:
    """Return the seconds that scanning so many stacks and the rest will take."""
    pace = run.params.pace
    each = run.boot_s + pace.quiet_s + pace.settle_s + pace.probe_s + 2.0
    ending = run.boot_s + len(run.params.stacks) * pace.stagger_s
    return pace.baseline_s + stacks_left * each + ending


def minutes(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 90:  # noqa: PLR2004  # a minute and a half
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes"


def heard(stack: int, sighting: Sighting) -> str:
    """Say that a board asked."""
    about = [word for word in (sighting.model, sighting.hostname) if word]
    who = f"{sighting.mac} ({', '.join(about)})" if about else sighting.mac
    return f"stack {stack}: {who} asked after {sighting.after_s:.1f} s"


def flood(stack: int, count: int) -> str:
    """Say that more hardware addresses were heard than a stack can have."""
    return (
        f"stack {stack}: over {count} hardware addresses asked, no stack has so many "
        "boards; the rest is not listened to: find out who invents them"
    )


def crowd(when: str, count: int) -> str:
    """Say that more hardware addresses talk than a rack can have.

    Args:
        when: What is on meanwhile.
        count: How many were listened to.
    """
    return (
        f"over {count} hardware addresses talk {when}, no rack has so many boards and "
        "neighbours; the rest is not listened to: find out who invents them"
    )


def rival(address: str, mac: str) -> str:
    """Say that somebody else lends addresses to boards."""
    return (
        f"another DHCP server, {address} ({mac}), answers on the rack's network: "
        "boards may take its addresses; switch it off there, put the rack on a network "
        "of its own, or use the observe back end"
    )


def unsearched(error: str) -> str:
    """Say that nobody knows whether there is another DHCP server by now."""
    return f"other DHCP servers cannot be looked for during the run: {error}"


def talks_while_off(params: Params, mac: str, places: Iterable[Place]) -> Finding:
    """Judge a board that is heard with every scanned stack off."""
    place = next((p for p in places if p.mac == mac), None)
    if place is not None and place.stack in {s.number for s in params.stacks}:
        text = (
            f"{mac}, the board of {place.name}, talks although its stack is off: does "
            f"the outlet of stack {place.stack} really cut it?"
        )
        return Finding(verdict=Verdict.FOREIGN, text=text, stack=place.stack, mac=mac)
    text = f"{mac} talks although all stacks are off: not a board of the rack, left out"
    return Finding(verdict=Verdict.FOREIGN, text=text, mac=mac)


def foreign(stack: int, sighting: Sighting) -> Finding:
    """Judge a device that still answers with its stack cut."""
    hint = (
        ""
        if looks_like_a_pi(sighting.mac)
        else "; its address is no Raspberry Pi's own"
    )
    name = f" ({sighting.hostname})" if sighting.hostname else ""
    text = (
        f"{sighting.mac}{name} asked while stack {stack} was on and still answers with "
        f"it off: not a board of this stack, left out{hint}"
    )
    return Finding(verdict=Verdict.FOREIGN, text=text, mac=sighting.mac)


def judged(
    stack: StackPlan, settled: Settled, taken: dict[str, str]
) -> tuple[Finding, ...]:
    """Return every verdict about a stack that is not ``ok``.

    Args:
        stack: The stack.
        settled: What became of it.
        taken: Address of a slot to who uses it.
    """
    here = [
        p for p in settled.places if p.stack == stack.number and p.slot <= stack.slots
    ]
    return (
        *(_missing(p) for p in here if p.verdict is Verdict.MISSING),
        *(_conflict(p, taken[p.address]) for p in here if p.address in taken),
        *(_doubled(mac, stack.number, n) for mac, n in settled.doubled.items()),
        *(_overfull(mac, stack) for mac in settled.overfull),
    )


def _missing(place: Place) -> Finding:
    if place.mac:
        text = (
            f"{place.name}: its board {place.mac} was not heard in stack "
            f"{place.stack}; check its card, cable and lamps, then scan "
            "the stack again. It keeps its place"
        )
    else:
        text = (
            f"{place.name}: no board was heard; if there is one, check its card and "
            f"cable, then scan stack {place.stack} again"
        )
    return Finding(verdict=Verdict.MISSING, text=text, stack=place.stack, mac=place.mac)


def _conflict(place: Place, user: str) -> Finding:
    text = (
        f"{place.address}, the address of {place.name}, is used by {user}; give that "
        f"device another address, then scan stack {place.stack} again"
    )
    return Finding(
        verdict=Verdict.CONFLICT, text=text, stack=place.stack, mac=place.mac
    )


def _doubled(mac: str, stack: int, other: int) -> Finding:
    text = (
        f"{mac} was heard in stack {other} and in stack {stack}: two boards with one "
        "hardware address; change one of them, they cannot share a network"
    )
    return Finding(verdict=Verdict.IN_TWO_STACKS, text=text, stack=stack, mac=mac)


def _overfull(mac: str, stack: StackPlan) -> Finding:
    text = (
        f"{mac} is one board more than the {stack.slots} slots of stack "
        f"{stack.number}; raise the stack's slots in the configuration, or "
        "move the board"
    )
    return Finding(verdict=Verdict.OVERFULL, text=text, stack=stack.number, mac=mac)


def changes(settled: Settled) -> tuple[str, ...]:
    """Say who left a slot and who moved to another one."""
    by_name = {place.name: place for place in settled.places}
    by_mac = {place.mac: place for place in settled.places if place.mac}
    return (
        *(
            f"{name}: {by_name[name].mac} takes the place and address of {old}"
            for name, old in settled.replaced.items()
        ),
        *(
            f"{mac} moved from {old} to {by_mac[mac].name}"
            for mac, old in settled.moved.items()
        ),
    )


def silent(place: Place, wait_s: float) -> Finding:
    """Judge a board that was placed and did not come up."""
    text = (
        f"{place.name}: its board {place.mac} did not answer at its address within "
        f"{wait_s:.0f} s; it asked during the scan, so look at its card and supply"
    )
    return Finding(verdict=Verdict.MISSING, text=text, stack=place.stack, mac=place.mac)


def usurped(place: Place, address: str, user: str) -> Finding:
    """Judge an address at which somebody else answers."""
    text = (
        f"{address}, the address of {place.name}, is answered by {user} instead of "
        f"{place.mac}; give that device another address"
    )
    return Finding(
        verdict=Verdict.CONFLICT, text=text, stack=place.stack, mac=place.mac
    )


def twins(place: Place, address: str) -> Finding:
    """Judge an address that two machines with one hardware address answer."""
    text = (
        f"{address}: two boards answer as {place.mac}; find the second one in stack "
        f"{place.stack} and change its hardware address"
    )
    return Finding(
        verdict=Verdict.CONFLICT, text=text, stack=place.stack, mac=place.mac
    )


def copied(macs: tuple[str, ...]) -> str:
    """Say that cards are copies of one."""
    return (
        f"{_few(macs)} have one DHCP client identifier: their cards are copies of one. "
        "Here that costs nobody an address, for they go by hardware address; other "
        "servers would give them all the same one: empty /etc/machine-id on each card"
    )


def late(mac: str) -> Finding:
    """Judge a board that asked only after its stack's scan."""
    text = (
        f"{mac} asked for an address only after the scan of its stack; scan the stacks "
        "with missing boards again, with a longer window if it boots slowly"
    )
    return Finding(verdict=Verdict.MISSING, text=text, mac=mac)
