"""One more stack: switched on, listened to, its boards placed; pure.

The stacks before it stay on, so a board that asks for the first time now is in this
one. What contradicts that is not placed, but scanned again at the end: see ``rescan``.
"""

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.network import BoardHeard, HeardKind
from provisioning.run import finish, plan, rescan, sightings, texts
from provisioning.run.messages import (
    AddressesProbed,
    ApplyReservations,
    Effect,
    HistoryLine,
    ProbeAddresses,
    ReservationsApplied,
    SearchServers,
    StackSwitched,
    SwitchStack,
)
from provisioning.run.state import InstallFinding, InstallRun
from provisioning.run.transitions import Outcome, enter, found, note, trouble

# --- scan -----------------------------------------------------------------------------


def scan(run: InstallRun, now: float) -> Outcome:
    """Switches the next stack on, and searches again for other DHCP servers."""
    if run.settling:
        run = rescan.forget(run)
    return _scan(run.with_(seen={}, attempt=1), now)


def again(run: InstallRun, now: float) -> Outcome:
    """Goes on with a scan after a restart: boards that asked meanwhile answer."""
    return _scan(run.with_(attempt=2), now)


def _scan(run: InstallRun, now: float) -> Outcome:
    stack = run.stack.number
    wake = now + run.params.pace.switch_s
    lit = (*(one for one in run.lit if one != stack), stack)
    run = enter(run, InstallStep.SCAN, wake, powered_at=None, busy=True, lit=lit)
    search = (SearchServers(),) if run.params.reserves else ()
    return run, (*search, SwitchStack(run.turn, stack, on=True))


def powered(run: InstallRun, message: StackSwitched, now: float) -> Outcome:
    """Begins the stack's window, or leaves the stack out if it has no power."""
    if message.stack != run.stack.number:
        return run, ()
    if message.error or message.level is Power.OFF:
        text = message.error or "its outlet reads back off"
        if finish.tries_left(run):
            wake = now + run.params.pace.retry_s
            return run.with_(tries=run.tries + 1, busy=False, wake=wake), ()
        run = run.with_(lit=tuple(n for n in run.lit if n != run.stack.number))
        run, said = found(run, *_no_power(run, text))
        run, effects = place(run.with_(seen={}), now)
        return run, said + effects
    # A board that was too late once gets twice the time.
    until = now + run.params.pace.window_s * (2 if run.settling else 1)
    run = run.with_(busy=False, tries=0, powered_at=now, until=until, wake=until)
    return (run, ()) if run.attempt == 1 else _look_around(run, now)


def _look_around(run: InstallRun, now: float) -> Outcome:
    """Asks repeatedly who answers: a board that asked in our absence may not again."""
    pause_s = run.params.pace.quiet_s + run.params.pace.probe_s
    run = run.with_(wake=min(now + pause_s, run.until))
    return run, (ProbeAddresses(run.turn, sightings.everywhere(run)),)


def answering(run: InstallRun, message: AddressesProbed, now: float) -> Outcome:
    """Handles the answers after a restart: a board of no other stack is of this one."""
    said: tuple[Effect, ...] = ()
    for answer in message.answers:
        board = BoardHeard(
            mac=answer.mac, kind=HeardKind.REQUEST, address=answer.address
        )
        run, more = heard(run, board, now)
        said += more
    return run, said


def _no_power(run: InstallRun, text: str) -> tuple[InstallFinding, ...]:
    stack = run.stack.number
    why = f"stack {stack} could not be switched on ({text}): no board was looked for"
    return (InstallFinding(verdict=InstallVerdict.MISSING, text=why, stack=stack),)


def heard(run: InstallRun, board: BoardHeard, now: float) -> Outcome:
    """Handles a message of a board while its stack comes on."""
    if run.powered_at is None:
        return run, ()
    after_s = now - run.powered_at
    if board.kind is HeardKind.DECLINE:
        run = run.with_(declined={**run.declined, board.mac: board.address})
    if _stays(run, board):
        return _known(run, board) if _scanned(run, board.mac) else (run, ())
    before = run.seen.get(board.mac)
    if before is None and sightings.doubtful(run, board, after_s):
        return _doubt(run, board)
    if before is None and _flooded(run, board.mac):
        return trouble(run, texts.flood(run.stack, sightings.most(run.stack.slots)))
    sighting = sightings.merge(before, board, after_s)
    run = run.with_(seen={**run.seen, board.mac: sighting})
    if board.client_id:
        run = run.with_(cards={**run.cards, board.mac: board.client_id})
    if before is not None:
        return run, ()
    problems = tuple(text for text in run.problems if text not in run.passing)
    run = run.with_(heard_at=now, problems=problems, **_boots(run, after_s))
    if _full(run):
        run = run.with_(wake=min(now + run.params.pace.quiet_s, run.until))
    said = HistoryLine(
        texts.heard(run.stack.number, sighting), run.stack.number, board.mac
    )
    return run, (said,)


def _full(run: InstallRun) -> bool:
    return sum(not sightings.odd(run, mac) for mac in run.seen) >= run.stack.slots


def _known(run: InstallRun, board: BoardHeard) -> Outcome:
    """Handles a message of a board of an earlier stack: it moves, or has a twin.

    A board that is at its address and asks like one that has just started may be
    another one with the same hardware address, in the stack that came on.
    """
    there = any(
        p.mac == board.mac and p.address == run.heard.get(p.mac) for p in run.places
    )
    if there and board.kind is HeardKind.DISCOVER and not run.settling:
        run = run.with_(again={**run.again, board.mac: run.stack.number})
    return finish.heard(run, board)


def _scanned(run: InstallRun, mac: str) -> bool:
    """Whether a board was found in another stack of this run."""
    number = run.stack.number
    return any(mac in macs for n, macs in run.scanned.items() if n != number)


def _stays(run: InstallRun, board: BoardHeard) -> bool:
    """Whether it is sure that the board stands elsewhere."""
    twin = run.settling and run.again.get(board.mac) == run.settling
    if twin and board.kind is HeardKind.DISCOVER:
        return False
    if not run.settling and board.mac in run.suspects:
        return True
    return sightings.known_elsewhere(run, board) or _scanned(run, board.mac)


def _doubt(run: InstallRun, board: BoardHeard) -> Outcome:
    if board.mac in run.suspects or len(run.suspects) >= sightings.most(run.boards):
        return run, ()
    stack = run.stack.number
    run = run.with_(suspects={**run.suspects, board.mac: stack})
    run = run.with_(heard={**run.heard, board.mac: board.address})
    return note(run, texts.doubted(board.mac, stack))


def _flooded(run: InstallRun, mac: str) -> bool:
    """Whether so many were heard that one more is invented; known boards are not."""
    full = len(run.seen) >= sightings.most(run.stack.slots)
    return full and all(place.mac != mac for place in run.places)


def _boots(run: InstallRun, after_s: float) -> dict[str, object]:
    """Returns the longest and the shortest boot of this run; the first board resets."""
    if run.attempt > 1:
        return {}  # the stack was on before the restart already
    first = not run.scanned and len(run.seen) == 1
    longest = after_s if first else max(run.boot_s, after_s)
    shortest = min(run.fastest_s, after_s) if run.fastest_s else after_s
    return {"boot_s": longest, "fastest_s": shortest}


def window_over(run: InstallRun, now: float) -> Outcome:
    """Places the boards: all were heard and it is quiet, or the time is over."""
    if not run.busy and run.powered_at is not None:
        looks = run.attempt > 1 and now < run.until and not _full(run)
        return _look_around(run, now) if looks else place(run, now)
    if not run.busy:
        run = run.with_(busy=True, wake=now + run.params.pace.switch_s)
        return run, (SwitchStack(run.turn, run.stack.number, on=True),)
    text = f"the outlet of stack {run.stack.number} did not answer: check its driver"
    return powered(
        run, StackSwitched(run.turn, run.stack.number, Power.UNKNOWN, text), now
    )


# --- commit ---------------------------------------------------------------------------


def place(run: InstallRun, now: float) -> Outcome:
    """Gives each board its slot and judges the stack."""
    stack = run.stack
    if not run.settling:
        strangers = {mac: stack.number for mac in run.seen if sightings.odd(run, mac)}
        run = run.with_(
            suspects={**run.suspects, **strangers},
            seen={mac: s for mac, s in run.seen.items() if mac not in strangers},
        )
    settled = plan.settle(run.places, stack, run.seen, run.scanned)
    taken = {a: mac for a, mac in run.taken.items() if mac not in run.seen}
    run = run.with_(
        places=tuple(sightings.in_conflict(p, stack, taken) for p in settled.places),
        scanned={**run.scanned, stack.number: tuple(sorted(run.seen))},
        heard={**run.heard, **{m: s.address for m, s in run.seen.items()}},
    )
    run, said = found(run, *texts.judged(stack, settled, taken))
    told = tuple(HistoryLine(text, stack.number) for text in texts.changes(settled))
    run, effects = commit(run, now)
    return run, told + said + effects


def commit(run: InstallRun, now: float) -> Outcome:
    """Gives the DHCP server all reservations; doing it again is harmless."""
    run = enter(run, InstallStep.COMMIT, now)
    return _apply(run, now)


def _apply(run: InstallRun, now: float) -> Outcome:
    run = run.with_(busy=True, wake=now + run.params.pace.apply_s)
    return run, (ApplyReservations(run.turn, plan.reservations(run.places)),)


def applied(run: InstallRun, message: ReservationsApplied, now: float) -> Outcome:
    """Goes on with the next stack, or verifies."""
    if not message.error:
        run, full = _pool(run, message.pool_used)
        run, effects = _advance(run, now)
        return run, full + effects
    return finish.not_applied(run, message.error, now)


def _pool(run: InstallRun, used: int) -> Outcome:
    size = run.params.pool_size
    if not size or used < size:
        return run, ()
    text = (
        f"all {size} addresses of the pool are lent: boards are found all the same, "
        "but without an address until leases end; give the pool more addresses"
    )
    return trouble(run, text)


def commit_time(run: InstallRun, now: float) -> Outcome:
    """Handles that time passed while the DHCP server is told."""
    if run.busy:
        return applied(
            run, ReservationsApplied(run.turn, "it did not answer in time"), now
        )
    return _apply(run, now)


def _advance(run: InstallRun, now: float) -> Outcome:
    if run.settling:
        return finish.verify(rescan.over(run), now)
    if run.position + 1 < len(run.params.stacks):
        return scan(run.with_(position=run.position + 1), now)
    return finish.verify(run, now)
