"""One stack: switched on, listened to, cut, checked, committed; pure."""

from broker.messages import Power
from provisioning import plan
from provisioning.plan import Verdict
from provisioning.run import finish, rivals, sightings, words
from provisioning.run.messages import (
    Answer,
    Applied,
    Apply,
    Ask,
    AskKind,
    Effect,
    Probe,
    Probed,
    Say,
    Switch,
    Switched,
)
from provisioning.run.state import Finding, Run, Step
from provisioning.run.turns import Outcome, enter, found, trouble

# --- scan -----------------------------------------------------------------------------


def scan(run: Run, now: float, attempt: int = 1) -> Outcome:
    """Switch the stack on whose turn it is, and look again who else serves DHCP.

    Args:
        run: As it was.
        now: Monotonic seconds.
        attempt: Which scan of this stack.
    """
    run = enter(
        run,
        Step.SCAN,
        now + run.params.pace.switch_s,
        attempt=attempt,
        seen={},
        powered_at=None,
        busy=True,
    )
    return run, (*rivals.search(run), Switch(run.turn, run.stack.number, on=True))


def powered(run: Run, message: Switched, now: float) -> Outcome:
    """Begin the stack's window, or leave the stack out if it has no power."""
    if message.error or message.level is Power.OFF:
        text = message.error or "its outlet reads back off"
        run, said = found(run, *_no_power(run, text))
        run, effects = _cut(run, now)
        return run, said + effects
    until = now + run.params.pace.window_s
    run = run.with_(busy=False, powered_at=now, until=until, wake=until)
    return run, ()


def _no_power(run: Run, text: str) -> tuple[Finding, ...]:
    stack = run.stack.number
    words_ = f"stack {stack} could not be switched on ({text}): no board was looked for"
    return (Finding(verdict=Verdict.MISSING, text=words_, stack=stack),)


def heard(run: Run, ask: Ask, now: float) -> Outcome:
    """Take what a board says while its stack is on."""
    if run.powered_at is None or sightings.known_elsewhere(run, ask):
        return run, ()
    before = run.seen.get(ask.mac)
    if before is None and _flooded(run, ask.mac):
        return trouble(run, words.flood(run.stack.number, len(run.seen)))
    sighting = sightings.merge(before, ask, now - run.powered_at)
    run = run.with_(seen={**run.seen, ask.mac: sighting})
    if ask.client_id:
        run = run.with_(cards={**run.cards, ask.mac: ask.client_id})
    if before is not None:
        return run, ()
    run = run.with_(heard_at=now, boot_s=max(_boot(run), sighting.after_s))
    if len(run.seen) >= run.stack.slots:
        run = run.with_(wake=min(now + run.params.pace.quiet_s, run.until))
    said = Say(words.heard(run.stack.number, sighting), run.stack.number, ask.mac)
    return run, (said,)


def _flooded(run: Run, mac: str) -> bool:
    """Whether so many were heard that one more is invented; known boards are not."""
    full = len(run.seen) >= sightings.most(run.stack.slots)
    return full and all(place.mac != mac for place in run.places)


def _boot(run: Run) -> float:
    """Return the boot time learnt so far in this run; the first board resets it."""
    first = not run.scanned and len(run.seen) == 1
    return 0.0 if first else run.boot_s


def window_over(run: Run, now: float) -> Outcome:
    """Cut the stack: all were heard and it is quiet, or its time is over."""
    if not run.busy:
        return _cut(run, now)
    text = f"the outlet of stack {run.stack.number} did not answer: check its driver"
    return powered(run, Switched(run.turn, run.stack.number, Power.UNKNOWN, text), now)


# --- check ----------------------------------------------------------------------------


def _cut(run: Run, now: float) -> Outcome:
    run = enter(
        run,
        Step.CHECK,
        now + run.params.pace.switch_s,
        busy=True,
        cutting=(run.stack.number,),
        cut_at=None,
        still=(),
    )
    return run, (Switch(run.turn, run.stack.number, on=False),)


def cut(run: Run, message: Switched, now: float) -> Outcome:
    """Wait until the boards are surely dead, or end: no isolation, no proof."""
    stack = run.stack.number
    if message.error or message.level is Power.ON:
        why = message.error or "its outlet reads back on"
        text = (
            f"stack {stack} could not be switched off again ({why}): check its outlet"
        )
        return finish.fail(run, now, text)
    dead = now + run.params.pace.settle_s
    return run.with_(busy=False, cutting=(), cut_at=dead, wake=dead), ()


def still_heard(run: Run, ask: Ask, now: float) -> Outcome:
    """Note who of those that were heard talks with the stack off."""
    if run.cut_at is None or now < run.cut_at or ask.kind is AskKind.LEASE:
        return run, ()
    if ask.mac not in run.seen or ask.mac in run.still:
        return run, ()
    return run.with_(still=(*run.still, ask.mac)), ()


def check_time(run: Run, now: float) -> Outcome:
    """Time passed while the stack is being checked."""
    if run.cut_at is None:
        text = "the outlet did not answer"
        return cut(run, Switched(run.turn, run.stack.number, Power.UNKNOWN, text), now)
    if run.busy:
        return probed(run, Probed(run.turn, (), error="the probe was lost"), now)
    run = run.with_(busy=True, wake=now + run.params.pace.probe_s + finish.ANSWER_S)
    return run, (Probe(run.turn, sightings.suspects(run)),)


def probed(run: Run, message: Probed, now: float) -> Outcome:
    """Judge the stack by who still answers."""
    if message.error:
        return _again(run, message.error, now)
    run, full = _pool(run, message.pool_used)
    run, said, left_out = _leave_out(run, message.answers)
    if left_out and _too_early(run):
        run, effects = scan(run, now, attempt=run.attempt + 1)
    else:
        run, effects = _settle(run, message.answers, now)
    return run, full + said + effects


def _again(run: Run, error: str, now: float) -> Outcome:
    if finish.tries_left(run):
        wake = now + run.params.pace.retry_s
        return run.with_(tries=run.tries + 1, busy=False, wake=wake), ()
    return finish.fail(run, now, f"nobody can be asked on the network: {error}")


def _pool(run: Run, used: int) -> Outcome:
    size = run.params.pool_size
    if not size or used < size:
        return run, ()
    text = (
        f"all {size} addresses of the pool are lent: boards are found all the same, "
        "but without an address until leases end; give the pool more addresses"
    )
    return trouble(run, text)


def _leave_out(
    run: Run, answers: tuple[Answer, ...]
) -> tuple[Run, tuple[Effect, ...], bool]:
    """Take out of the sightings who answers although the stack is off."""
    alive = ({answer.mac for answer in answers} | set(run.still)) & run.seen.keys()
    scanned = {stack.number for stack in run.params.stacks}
    at_home = {p.mac for p in run.places if p.stack not in scanned and p.mac in alive}
    strangers = sorted(alive - at_home)
    judged = [words.foreign(run.stack.number, run.seen[mac]) for mac in strangers]
    run, said = found(run, *judged)
    run = run.with_(
        seen={mac: s for mac, s in run.seen.items() if mac not in alive},
        foreign=run.foreign + tuple(strangers),
        elsewhere=run.elsewhere + tuple(sorted(at_home)),
    )
    return run, said, bool(alive)


def _too_early(run: Run) -> bool:
    """Whether a stranger was counted as a board, so that the window closed too soon."""
    return run.attempt == 1 and len(run.seen) < run.stack.slots


# --- commit ---------------------------------------------------------------------------


def _settle(run: Run, answers: tuple[Answer, ...], now: float) -> Outcome:
    """Give each board its slot and judge the stack."""
    stack = run.stack
    settled = plan.settle(run.places, stack, run.seen, run.scanned)
    taken = sightings.taken_addresses(settled.places, stack, answers)
    run = run.with_(
        places=tuple(sightings.in_conflict(p, stack, taken) for p in settled.places),
        scanned={**run.scanned, stack.number: tuple(sorted(run.seen))},
        heard={**run.heard, **{m: s.address for m, s in run.seen.items()}},
    )
    run, said = found(run, *words.judged(stack, settled, taken))
    told = tuple(Say(text, stack.number) for text in words.changes(settled))
    run, effects = commit(run, now)
    return run, told + said + effects


def commit(run: Run, now: float) -> Outcome:
    """Give the DHCP server all reservations; doing it again is harmless."""
    run = enter(run, Step.COMMIT, now)
    return _apply(run, now)


def _apply(run: Run, now: float) -> Outcome:
    run = run.with_(busy=True, wake=now + run.params.pace.apply_s)
    return run, (Apply(run.turn, sightings.reservations(run.places)),)


def applied(run: Run, message: Applied, now: float) -> Outcome:
    """Go on with the next stack, or with all of them."""
    if not message.error:
        return _advance(run, now)
    if finish.tries_left(run):
        wake = now + run.params.pace.retry_s
        return run.with_(tries=run.tries + 1, busy=False, wake=wake), ()
    text = f"the DHCP server does not take the reservations: {message.error}"
    return finish.fail(run, now, text)


def commit_time(run: Run, now: float) -> Outcome:
    """Time passed while the DHCP server is being told."""
    if run.busy:
        return applied(run, Applied(run.turn, "it did not answer in time"), now)
    return _apply(run, now)


def _advance(run: Run, now: float) -> Outcome:
    if run.position + 1 < len(run.params.stacks):
        return scan(run.with_(position=run.position + 1), now)
    return finish.all_on(run, now)
