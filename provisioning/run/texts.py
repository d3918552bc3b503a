"""The texts of findings, problems and steps, for a person to act on; pure."""

from collections.abc import Iterable

from broker.contract.messages import InstallVerdict, Power
from provisioning.common.hardware import looks_like_a_pi
from provisioning.run.plan import Place, Settled, Sighting, StackPlan
from provisioning.run.state import InstallFinding, InstallRun, Params

MOVE_S = 45.0
"""Seconds until a board with an address of the pool has moved to its own; measured: 18
to 64, by client."""

OUTDATED = (
    "this run was begun by an older PiRack, whose runs cut each stack after its scan; "
    "it cannot go on. Boards that were found keep their places; begin another run"
)

NAMED = 48
"""Boards named in the forecast."""


def listed(numbers: Iterable[int]) -> str:
    """Returns numbers as people write them: ``1-3, 7``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][-1] == number - 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def stacks(numbers: Iterable[int]) -> str:
    """Returns ``stack 3`` or ``stacks 1-4``."""
    many = list(numbers)
    return f"stack{'s' if len(many) != 1 else ''} {listed(many)}"


def forecast(run: InstallRun) -> tuple[str, ...]:
    """Returns what the run will do, before it does anything."""
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
    """Names the boards that lose power."""
    if params.running:
        what = "is shut down" if len(params.running) == 1 else "are shut down"
        yield f"before that {_counted(params.running)} {what}: {_few(params.running)}"
    if params.unplaced:
        yield (
            f"{_counted(params.unplaced)} at unknown places, cut without being "
            f"asked if they are in these stacks: {_listed(params.unplaced)}"
        )
    if params.mute:
        yield (
            f"cut without being asked, for nothing shows that they are down: "
            f"{_listed(params.mute)}; confirm it only if that is meant"
        )


def _counted(names: tuple[str, ...]) -> str:
    return "1 board that runs" if len(names) == 1 else f"{len(names)} boards that run"


def _listed(names: tuple[str, ...]) -> str:
    """Returns all names: a consent is only for the boards that it names."""
    return ", ".join(names)


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _loses_power(numbers: list[int], on: list[int]) -> str:
    if not on and len(numbers) == 1:
        return f"{stacks(numbers)} will be switched on; it is off"
    if not on:
        return f"{stacks(numbers)} will be switched on one after the other; all are off"
    lose = f"{stacks(on)} {'loses' if len(on) == 1 else 'lose'} power"
    if len(numbers) == 1:
        return f"{lose}: it goes off and comes on again"
    if on == numbers:
        return f"{lose}: all go off, then one after the other comes on and stays on"
    return f"{stacks(numbers)} come on, one after the other; before that {lose}"


def estimate_s(run: InstallRun, stacks_left: int) -> float:
    """Returns the seconds that scanning so many stacks and the rest will take."""
    pace = run.params.pace
    each = run.boot_s + pace.quiet_s + 1.0
    return pace.baseline_s + stacks_left * each + MOVE_S


def minutes(seconds: float) -> str:
    """Returns a duration as people say it."""
    if seconds < 90:  # noqa: PLR2004  # a minute and a half
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes"


def heard(stack: int, sighting: Sighting) -> str:
    """A board asked."""
    about = [word for word in (sighting.model, sighting.hostname) if word]
    who = f"{sighting.mac} ({', '.join(about)})" if about else sighting.mac
    return f"stack {stack}: {who} asked after {sighting.after_s:.1f} s"


def flood(stack: StackPlan, most_heard: int) -> str:
    """More hardware addresses were heard than a stack can have."""
    return (
        f"stack {stack.number}: over {most_heard} hardware addresses asked, no stack "
        "has so many boards; the rest is ignored: find out which device invents them"
    )


def crowd(when: str, count: int) -> str:
    """More hardware addresses talk than a rack can have; ``when``: what is on."""
    return (
        f"over {count} hardware addresses talk {when}, no rack has so many boards and "
        "neighbours; the rest is ignored: find out which device invents them"
    )


def rival(address: str, mac: str) -> str:
    """Another server lends addresses to boards."""
    return (
        f"another DHCP server, {address} ({mac}), answers on the rack's network: "
        "boards may take its addresses; switch it off there, put the rack on a network "
        "of its own, or use the observe back end"
    )


def unsearched(error: str) -> str:
    """It is not known whether there is another DHCP server by now."""
    return f"other DHCP servers cannot be looked for during the run: {error}"


def neighbours(count: int) -> str:
    """Other devices than the rack's boards are on the network."""
    many = "1 other device answers" if count == 1 else f"{count} other devices answer"
    return f"{many} with the stacks off: not a board of them, left out"


def talks_while_off(run: InstallRun, mac: str) -> InstallFinding:
    """A device is heard while every stack is off that is to be scanned."""
    place = next((p for p in run.places if p.mac == mac), None)
    if place is not None and place.stack in run.cut:
        text = (
            f"{mac}, the board of {place.name}, talks although its stack is off: does "
            f"the outlet of stack {place.stack} really cut it?"
        )
        return InstallFinding(
            verdict=InstallVerdict.FOREIGN, text=text, stack=place.stack, mac=mac
        )
    off = f"stack {run.cut[0]} is" if len(run.cut) == 1 else "all stacks are"
    text = f"{mac} talks although {off} off: not a board of the rack, left out"
    return InstallFinding(verdict=InstallVerdict.FOREIGN, text=text, mac=mac)


def doubted(mac: str, stack: int) -> str:
    """A board is not placed yet."""
    return (
        f"{mac} asked while stack {stack} came on, and may not be of it: it gets its "
        "place later"
    )


def latecomer(mac: str) -> str:
    """A board asked while no stack came on."""
    return f"{mac} asked for an address only after the scan of its stack"


def settling(stack: int) -> str:
    """A stack is scanned once more."""
    return (
        f"stack {stack} is scanned once more, for not all about it is clear: its "
        "boards are shut down first"
    )


def unsettled(stack: int, why: str) -> str:
    """A stack could not be scanned once more."""
    return (
        f"stack {stack} was not scanned once more, and is on: {why}. Give its boards "
        f"agents (pirack deploy --stack {stack}), or name who may be cut by confirming "
        f"a run over it alone: pirack install start --stack {stack}"
    )


def declined(mac: str, address: str) -> str:
    """A board gave an address back."""
    return (
        f"{mac} declined {address}, because another device answered there or asked for "
        "it at the same time"
    )


def judged(
    stack: StackPlan, settled: Settled, taken: dict[str, str]
) -> tuple[InstallFinding, ...]:
    """Returns the findings about a stack; ``taken``: address to its other user."""
    here = [
        p for p in settled.places if p.stack == stack.number and p.slot <= stack.slots
    ]
    return (
        *(_missing(p) for p in here if p.verdict is InstallVerdict.MISSING),
        *(_conflict(p, taken[p.address]) for p in here if p.address in taken),
        *(_doubled(mac, stack.number, n) for mac, n in settled.doubled.items()),
        *(_overfull(mac, stack) for mac in settled.overfull),
    )


def _finding(place: Place, verdict: InstallVerdict, text: str) -> InstallFinding:
    return InstallFinding(verdict=verdict, text=text, stack=place.stack, mac=place.mac)


def _missing(place: Place) -> InstallFinding:
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
    return _finding(place, InstallVerdict.MISSING, text)


def _conflict(place: Place, user: str) -> InstallFinding:
    text = (
        f"{place.address}, the address of {place.name}, is used by {user}; give that "
        f"device another address, then scan stack {place.stack} again"
    )
    return _finding(place, InstallVerdict.CONFLICT, text)


def _doubled(mac: str, stack: int, other: int) -> InstallFinding:
    text = (
        f"{mac} was heard in stack {other} and in stack {stack}: two boards with one "
        "hardware address; change one of them, they cannot share a network"
    )
    return InstallFinding(
        verdict=InstallVerdict.IN_TWO_STACKS, text=text, stack=stack, mac=mac
    )


def _overfull(mac: str, stack: StackPlan) -> InstallFinding:
    text = (
        f"{mac} is one board more than the {stack.slots} slots of stack "
        f"{stack.number}; raise the stack's slots in the configuration, or "
        "move the board"
    )
    return InstallFinding(
        verdict=InstallVerdict.OVERFULL, text=text, stack=stack.number, mac=mac
    )


def changes(settled: Settled) -> tuple[str, ...]:
    """Returns which boards left a slot or moved to another one."""
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


def silent(place: Place, wait_s: float, declined_: str | None = None) -> InstallFinding:
    """A board was placed and did not come up.

    Args:
        wait_s: How long it was waited for, seconds.
        declined_: The address it gave back; None: none.
    """
    why = (
        f"{declined(place.mac, declined_)}; find that device, then scan stack "
        f"{place.stack} again"
        if declined_
        else "it asked during the scan, so look at its card and supply"
    )
    text = (
        f"{place.name}: its board {place.mac} did not answer at its address within "
        f"{wait_s:.0f} s; {why}"
    )
    return _finding(place, InstallVerdict.MISSING, text)


def usurped(place: Place, address: str, user: str) -> InstallFinding:
    """Another device answers at an address."""
    text = (
        f"{address}, the address of {place.name}, is answered by {user} instead of "
        f"{place.mac}; give that device another address"
    )
    return _finding(place, InstallVerdict.CONFLICT, text)


def twins(place: Place, address: str) -> InstallFinding:
    """Two machines with one hardware address answer at an address."""
    text = (
        f"{address}: two boards answer as {place.mac}; find the second one in stack "
        f"{place.stack} and change its hardware address"
    )
    return _finding(place, InstallVerdict.CONFLICT, text)


def one_board(place: Place, first: Place) -> InstallFinding:
    """A slot was given to the second interface of a board."""
    text = (
        f"{place.mac}, found for {place.name}, is a second interface of the board of "
        f"{first.name} ({first.mac}): each answers for both addresses. {place.name} is "
        "free again; unplug one of the two, or put it into another network"
    )
    return _finding(place, InstallVerdict.CONFLICT, text)


def copied(macs: tuple[str, ...]) -> str:
    """Cards are copies of one."""
    return (
        f"{_few(macs)} have one DHCP client identifier: their cards are copies of one. "
        "Here each still gets its address, for they go by hardware address; other "
        "servers would give them all the same one: empty /etc/machine-id on each card"
    )


def late(mac: str, asked: int, *, certain: bool) -> InstallFinding:
    """A board asked at a moment that does not show its stack.

    Args:
        asked: The stack that had just come on then; 0: none had.
        certain: Every stack it may be in was scanned once more, without it.
    """
    when = f"while stack {asked} was on" if asked else "after the scan of all stacks"
    if certain and looks_like_a_pi(mac):
        text = (
            f"{mac} asked {when}, and no stack has a slot for it: raise the slots of "
            "its stack in the configuration, or move the board"
        )
        return InstallFinding(verdict=InstallVerdict.OVERFULL, text=text, mac=mac)
    if certain:
        text = (
            f"{mac} asked {when} and is in no stack that has room for it: left out; "
            "its address is not one of a Raspberry Pi"
        )
        return InstallFinding(verdict=InstallVerdict.FOREIGN, text=text, mac=mac)
    text = (
        f"{mac} asked {when}, and which stack it is in is not clear: scan the stacks "
        "with missing boards again, with a longer window if it boots slowly"
    )
    return InstallFinding(verdict=InstallVerdict.MISSING, text=text, mac=mac)
