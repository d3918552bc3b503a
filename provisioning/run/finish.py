"""The end of a run: verification, and every way to stop; pure."""

import msgspec

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.network import ArpAnswer, BoardHeard, HeardKind
from provisioning.run import plan, rescan, sightings, texts
from provisioning.run.messages import (
    AddressesProbed,
    ApplyReservations,
    Effect,
    HistoryLine,
    LengthenLeases,
    ProbeAddresses,
    StackSwitched,
    SwitchStack,
)
from provisioning.run.plan import Place
from provisioning.run.state import InstallFinding, InstallRun, Leave
from provisioning.run.transitions import MAX_TRIES, Outcome, enter, found, note, trouble

ANSWER_S = 10.0
"""Seconds beyond its own listening time after which a probe counts as lost."""

HARMLESS = frozenset({InstallVerdict.OK, InstallVerdict.FOREIGN})
"""Verdicts that do not keep a run from being done: a laptop on the network is not
a fault of the rack."""


# --- leaving the outlets --------------------------------------------------------------


def restore(run: InstallRun, now: float, ending: InstallStep, leave: Leave) -> Outcome:
    """Brings the outlets to the level at which they are left, then ends."""
    untouched = run.step in {InstallStep.PREFLIGHT, InstallStep.CONFIRM}
    run = run.with_(ending=ending, leave=leave)
    if untouched or leave is Leave.LEAVE:
        return _ended(run, ending)
    waiting = tuple(stack.number for stack in run.params.stacks)
    if ending is InstallStep.FAILED:
        # Boards that have just come on may still boot: a failure must not cut them.
        kept = set(run.lit) - set(run.cutting)
        waiting = tuple(n for n in waiting if n not in kept)
    run = enter(run, InstallStep.RESTORE, now, waiting=waiting)
    return _next(run, now) if waiting else _ended(run, ending)


def fail(run: InstallRun, now: float, text: str) -> Outcome:
    """Ends the run because of something it cannot work around."""
    run, said = trouble(run, text)
    run, effects = restore(run, now, InstallStep.FAILED, Leave.RESTORE)
    return run, said + effects


def _next(run: InstallRun, now: float) -> Outcome:
    """Switches the first outlet that waits."""
    stack = run.waiting[0]
    run = run.with_(busy=True, wake=now + run.params.pace.switch_s)
    on = _target(run, stack)
    # The person who began the run agreed to the cut at its beginning, and to no other.
    agreed = run.params.force or (stack in run.cutting and not run.settling)
    return run, (SwitchStack(run.turn, stack, on=on, consent=agreed and not on),)


def _target(run: InstallRun, stack: int) -> bool:
    """Returns the level an outlet goes to next."""
    # Boards that were told to shut down come back by a cut only.
    return stack not in run.cutting and _stays(run, stack)


def _stays(run: InstallRun, stack: int) -> bool:
    """Returns the level an outlet is left at."""
    if run.leave is Leave.OFF:
        return False
    # An outlet that cannot be read was most likely on, as a rack is.
    return run.before.get(stack) is not Power.OFF


def switched(run: InstallRun, message: StackSwitched, now: float) -> Outcome:
    """Handles the answer of an outlet and goes on with the next one."""
    if not run.waiting or message.stack != run.waiting[0]:
        return run, ()
    wanted = Power.ON if _target(run, message.stack) else Power.OFF
    error = message.error or _not_there(message, wanted)
    if error and run.tries + 1 < MAX_TRIES:
        wake = now + run.params.pace.retry_s
        return run.with_(tries=run.tries + 1, busy=False, wake=wake), ()
    run, said = trouble(run, error) if error else (run, ())
    if message.stack in run.cutting:
        cutting = tuple(stack for stack in run.cutting if stack != message.stack)
        run = run.with_(cutting=cutting, busy=False, tries=0)
        if _stays(run, message.stack):
            run, effects = _next(run, now)
            return run, said + effects
    run = run.with_(waiting=run.waiting[1:], busy=False, tries=0)
    if run.waiting:
        return run.with_(wake=now + run.params.pace.stagger_s), said
    run, effects = _ended(run, run.ending)
    return run, said + effects


def _not_there(message: StackSwitched, wanted: Power) -> str:
    if message.level in {wanted, Power.UNKNOWN}:
        return ""
    return (
        f"stack {message.stack} was switched {wanted} and reads back {message.level}: "
        "check its outlet"
    )


def switch_time(run: InstallRun, now: float) -> Outcome:
    """Handles that time passed while outlets are switched."""
    if not run.busy:
        return _next(run, now)
    stack = run.waiting[0]
    text = f"the outlet of stack {stack} did not answer: check its driver"
    return switched(run, StackSwitched(run.turn, stack, Power.UNKNOWN, text), now)


# --- verify ---------------------------------------------------------------------------


def verify(run: InstallRun, now: float) -> Outcome:
    """Asks who answers at each board's address."""
    until = now + run.params.pace.verify_s
    run = enter(run, InstallStep.VERIFY, until, until=until, verified=())
    return _probe(run, now)


def expected(run: InstallRun) -> dict[str, Place]:
    """Returns the boards that must come up, by the address they must have."""
    numbers = {stack.number for stack in run.params.stacks}
    return {
        address: place
        for place in run.places
        if place.stack in numbers and place.mac and place.verdict is InstallVerdict.OK
        for address in [_address(run, place)]
        if address
    }


def _address(run: InstallRun, place: Place) -> str:
    return place.address if run.params.reserves else run.heard.get(place.mac, "")


def _probe(run: InstallRun, now: float) -> Outcome:
    # All of them each time: a twin of a board that is up may boot later than it.
    run = run.with_(busy=True, wake=now + run.params.pace.probe_s + ANSWER_S)
    return run, (ProbeAddresses(run.turn, tuple(expected(run))),)


def probed(run: InstallRun, message: AddressesProbed, now: float) -> Outcome:
    """Handles the answers; asks again until all boards answered or the time is over."""
    run, joined = _join(run, message.answers)
    run, effects = _compared(run, message, now)
    return run, joined + effects


def _join(run: InstallRun, answers: tuple[ArpAnswer, ...]) -> Outcome:
    """Frees the slots that second interfaces of boards were given."""
    places = expected(run)
    second = sightings.legs(places, answers)
    if not second:
        return run, ()
    findings = [
        texts.one_board(place, second[place.mac])
        for place in places.values()
        if place.mac in second
    ]
    run = run.with_(
        places=sightings.without(run.places, second),
        elsewhere=(*run.elsewhere, *second),
    )
    run, said = found(run, *findings)
    return run, (*said, ApplyReservations(run.turn, plan.reservations(run.places)))


def _compared(run: InstallRun, message: AddressesProbed, now: float) -> Outcome:
    places = expected(run)
    right, wrong = _compare(places, _of_boards(run, message.answers))
    new = tuple(mac for mac in right if mac not in run.verified)
    kept = tuple(mac for mac in run.verified if mac not in wrong)
    run = run.with_(verified=kept + new, busy=False)
    said: tuple[Effect, ...] = tuple(
        HistoryLine(
            f"{place.name} answers at {address}: {place.mac}", place.stack, place.mac
        )
        for address, place in places.items()
        if place.mac in new
    )
    if now < run.until and (_unverified(run) or _twin_may_come(run, now)):
        run = run.with_(wake=min(now + run.params.pace.retry_s, run.until))
        return run, said
    unverified = {place.stack for place in _unverified(run)}
    stack = rescan.pending(run, tuple(unverified))
    if stack and not message.error and run.outage_at is None:
        run, effects = rescan.begin(run, stack, now)
    else:
        run, effects = _conclude(run, wrong, message.error)
    return run, said + effects


def _of_boards(
    run: InstallRun, answers: tuple[ArpAnswer, ...]
) -> tuple[ArpAnswer, ...]:
    """Returns the answers without those of second interfaces of boards."""
    second = {f.mac for f in run.findings if f.verdict is InstallVerdict.CONFLICT}
    placed = {place.mac for place in run.places}
    return tuple(a for a in answers if a.mac in placed or a.mac not in second)


def _twin_may_come(run: InstallRun, now: float) -> bool:
    """Whether an empty slot may hold the twin of a board, which is still booting."""
    numbers = {stack.number for stack in run.params.stacks}
    gaps = any(
        place.stack in numbers and place.verdict is InstallVerdict.MISSING
        for place in run.places
    )
    booted = (run.powered_at or 0.0) + run.boot_s + run.params.pace.quiet_s
    return gaps and now < booted


def _unverified(run: InstallRun) -> list[Place]:
    return [
        place
        for place in run.places
        if place.stack in {stack.number for stack in run.params.stacks}
        and place.mac
        and place.verdict is InstallVerdict.OK
        and place.mac not in run.verified
    ]


def _compare(
    places: dict[str, Place], answers: tuple[ArpAnswer, ...]
) -> tuple[list[str], dict[str, InstallFinding]]:
    """Returns the boards at their addresses, and findings about the others."""
    right: list[str] = []
    wrong: dict[str, InstallFinding] = {}
    for answer in answers:
        place = places.get(answer.address)
        if place is None:
            continue
        if answer.mac != place.mac:
            wrong[place.mac] = texts.usurped(place, answer.address, answer.mac)
        elif answer.replies > 1:
            wrong[place.mac] = texts.twins(place, answer.address)
        else:
            right.append(place.mac)
    return [mac for mac in right if mac not in wrong], wrong


def _conclude(run: InstallRun, wrong: dict[str, InstallFinding], error: str) -> Outcome:
    """Judges the boards that did not come up, and ends."""
    silent = {
        place.mac: wrong.get(place.mac)
        or texts.silent(place, run.params.pace.verify_s, run.declined.get(place.mac))
        for place in _unverified(run)
    }
    run = run.with_(places=tuple(_verdict(p, silent) for p in run.places))
    run, why = _blockers(run, error) if silent else (run, ())
    run, said = found(run, *silent.values())
    run, late = rescan.leftover(run)
    run, copied = _copied(run)
    bad = any(finding.verdict not in HARMLESS for finding in run.findings)
    run, effects = _ended(run, InstallStep.PROBLEMS if bad else InstallStep.DONE)
    return run, why + said + late + copied + effects


def _blockers(run: InstallRun, error: str) -> Outcome:
    """Adds what keeps boards from answering and is not their fault.

    Args:
        run: The run, at the end of its patience.
        error: Why the network could not be asked at last; empty: it was.
    """
    said: tuple[Effect, ...] = ()
    if error:
        text = (
            f"nothing could be asked on the network at last: {error}; boards that are "
            "reported as missing may be up"
        )
        run, said = trouble(run, text)
    if run.outage_at is not None:
        text = (
            "the DHCP server is away: boards that are reported as missing may only "
            "lack an address; `pirack doctor` finds the reason"
        )
        run, more = trouble(run, text)
        said += more
    return run, said


def _copied(run: InstallRun) -> Outcome:
    """Names the boards whose cards are copies of one; here they all get addresses."""
    owners: dict[str, list[str]] = {}
    for mac, card in sorted(run.cards.items()):
        owners.setdefault(card, []).append(mac)
    said: tuple[Effect, ...] = ()
    for macs in owners.values():
        if len(macs) > 1:
            run, more = trouble(run, texts.copied(tuple(macs)))
            said += more
    return run, said


def _verdict(place: Place, silent: dict[str, InstallFinding]) -> Place:
    finding = silent.get(place.mac)
    if finding is None:
        return place
    return msgspec.structs.replace(place, verdict=finding.verdict)


def verify_time(run: InstallRun, now: float) -> Outcome:
    """Handles that time passed while boards come up."""
    if not run.busy:
        return _probe(run, now)
    return probed(run, AddressesProbed(run.turn, (), error="the probe was lost"), now)


def heard(run: InstallRun, board: BoardHeard) -> Outcome:
    """Notes the address a board asks for while no more stack comes on."""
    if board.mac not in run.heard and len(run.heard) >= sightings.most(run.boards):
        return trouble(run, texts.crowd("with all stacks on", len(run.heard)))
    heard = {**run.heard, board.mac: board.address or run.heard.get(board.mac, "")}
    run = run.with_(heard=heard)
    if board.kind is HeardKind.DECLINE:
        run = run.with_(declined={**run.declined, board.mac: board.address})
        return note(run, texts.declined(board.mac, board.address))
    known = {*run.foreign, *run.elsewhere, *run.suspects}
    if board.mac in known or any(place.mac == board.mac for place in run.places):
        return run, ()
    if board.kind is HeardKind.LEASE or any(f.mac == board.mac for f in run.findings):
        return run, ()
    return note(
        run.with_(suspects={**run.suspects, board.mac: 0}),
        texts.latecomer(board.mac),
    )


def _ended(run: InstallRun, step: InstallStep) -> Outcome:
    lengthen: tuple[Effect, ...] = (LengthenLeases(),) if run.brief else ()
    run = enter(run, step, float("inf"), brief=False)
    here = {stack.number for stack in run.params.stacks}
    theirs = (p for p in run.places if p.stack in here and p.mac)
    placed = sum(place.verdict is InstallVerdict.OK for place in theirs)
    done = f"install run done: {placed} of {run.boards} boards placed"
    many = len(run.findings)
    text = {
        InstallStep.DONE: done,
        InstallStep.PROBLEMS: f"{done}, {many} problem{'' if many == 1 else 's'}",
        InstallStep.FAILED: "install run failed: " + "; ".join(run.problems[-1:]),
        InstallStep.CANCELLED: f"install run cancelled; outlets: {run.leave}",
    }[step]
    return run, (*lengthen, HistoryLine(text))


def not_applied(run: InstallRun, error: str, now: float) -> Outcome:
    """Tells the DHCP server once more, or ends the run.

    A server that is away is waited for as long as boards are.
    """
    away = run.outage_at is not None and now - run.outage_at < run.params.pace.verify_s
    if away or tries_left(run):
        wake = now + run.params.pace.retry_s
        return run.with_(tries=run.tries + (not away), busy=False, wake=wake), ()
    return fail(run, now, f"the DHCP server does not take the reservations: {error}")


def tries_left(run: InstallRun) -> bool:
    """Whether the present effect may be tried once more."""
    return run.tries + 1 < MAX_TRIES
