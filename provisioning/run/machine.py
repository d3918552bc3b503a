"""The install run: ``state, message, now -> state, effects``; pure.

The shell (``provisioning.run_loop``) writes the new state to disk, then performs the
effects; after a crash it calls ``resume``. So an effect may happen twice, but never
without being on disk, and each of them bears being done twice.
"""

from collections.abc import Callable

from broker.contract.messages import InstallStep
from provisioning.common.network import BoardHeard, ForeignServer
from provisioning.plan import Place
from provisioning.run import begin, finish, rivals, scan, words
from provisioning.run.messages import (
    Applied,
    Cancelled,
    Checked,
    Confirmed,
    Message,
    Probed,
    Say,
    Searched,
    ServerSeen,
    Switch,
    Switched,
    Tick,
)
from provisioning.run.state import VERSION, Params, Run
from provisioning.run.turns import Outcome, note


def start(
    run_id: str, params: Params, places: tuple[Place, ...], now: float
) -> Outcome:
    """Begin a run.

    Args:
        run_id: Names it.
        params: What it is asked to do.
        places: What earlier runs found.
        now: Monotonic seconds.
    """
    run = Run(id=run_id, params=params, places=places, version=VERSION)
    run, effects = begin.preflight(run, now)
    by = f" by {params.by}" if params.by else ""
    numbers = words.stacks(stack.number for stack in params.stacks)
    dry = ", only to say what it would do" if params.dry else ""
    return run, (Say(f"install run over {numbers} asked{by}{dry}"), *effects)


def resume(run: Run, now: float) -> Outcome:
    """Go on with a run whose process died; no stack that is on is cut for that."""
    if run.over:
        return run, ()
    run = run.with_(outage_at=None)
    if run.version < VERSION and run.step not in _ANY_VERSION:
        return finish.fail(run, now, words.OUTDATED)
    run = run.with_(version=VERSION)
    again, effects = _RESUME[run.step](run, now)
    said = Say(f"install run goes on after a restart, at {run.step}")
    return again, (said, *effects, *_relight(again))


def _relight(run: Run) -> tuple[Switch, ...]:
    """Switch on again what was on: the mains may have been away, too."""
    if run.over or run.step is InstallStep.RESTORE:
        return ()
    busy = {run.stack.number} if run.step is InstallStep.SCAN else set(run.waiting)
    return tuple(Switch(run.turn, n, on=True) for n in run.lit if n not in busy)


def _restore(run: Run, now: float) -> Outcome:
    return finish.restore(run, now, run.ending, run.leave)


_ANY_VERSION = frozenset(
    {InstallStep.PREFLIGHT, InstallStep.CONFIRM, InstallStep.RESTORE}
)
"""Steps at which a run of an older version does what one of this version does."""

_RESUME: dict[InstallStep, Callable[[Run, float], Outcome]] = {
    InstallStep.PREFLIGHT: begin.preflight,
    InstallStep.CONFIRM: begin.confirm,
    InstallStep.ALL_OFF: begin.all_off,
    InstallStep.BASELINE: begin.all_off,
    InstallStep.SCAN: scan.again,
    InstallStep.COMMIT: scan.commit,
    InstallStep.VERIFY: finish.verify,
    InstallStep.RESTORE: _restore,
}

_TIME: dict[InstallStep, Callable[[Run, float], Outcome]] = {
    InstallStep.PREFLIGHT: begin.preflight_time,
    InstallStep.CONFIRM: begin.confirm_time,
    InstallStep.ALL_OFF: begin.off_time,
    InstallStep.BASELINE: begin.baseline_time,
    InstallStep.SCAN: scan.window_over,
    InstallStep.COMMIT: scan.commit_time,
    InstallStep.VERIFY: finish.verify_time,
    InstallStep.RESTORE: finish.switch_time,
}

_SWITCHED: dict[InstallStep, Callable[[Run, Switched, float], Outcome]] = {
    InstallStep.ALL_OFF: begin.switched_off,
    InstallStep.SCAN: scan.powered,
    InstallStep.RESTORE: finish.switched,
}


_PROBED: dict[InstallStep, Callable[[Run, Probed, float], Outcome]] = {
    InstallStep.BASELINE: begin.swept,
    InstallStep.SCAN: scan.answering,
    InstallStep.VERIFY: finish.probed,
}

_APPLIED: dict[InstallStep, Callable[[Run, Applied, float], Outcome]] = {
    InstallStep.BASELINE: begin.baseline_applied,
    InstallStep.COMMIT: scan.applied,
}


def step(run: Run, message: Message, now: float) -> Outcome:
    """Tell the run something.

    Args:
        run: As it is.
        message: What it is told.
        now: Monotonic seconds.
    """
    if run.over or _stale(run, message):
        return run, ()
    match message:
        case Tick() if now >= run.wake:
            outcome = _TIME[run.step](run, now)
        case BoardHeard():
            outcome = _asked(run, message, now)
        case Cancelled():
            outcome = _cancelled(run, message, now)
        case ServerSeen():
            outcome = _server(run, message, now)
        case ForeignServer():
            outcome = rivals.heard(run, message, now)
        case Searched():
            outcome = rivals.searched(run, message, now)
        case Confirmed() if run.step is InstallStep.CONFIRM:
            outcome = begin.confirmed(run, message, now)
        case Checked() | Switched() | Probed() | Applied():
            outcome = _answered(run, message, now)
        case _:
            outcome = run, ()
    return outcome


def _answered(
    run: Run, message: Checked | Switched | Probed | Applied, now: float
) -> Outcome:
    match message:
        case Checked() if run.step is InstallStep.PREFLIGHT:
            return begin.checked(run, message, now)
        case Switched() if run.step in _SWITCHED:
            return _SWITCHED[run.step](run, message, now)
        case Probed() if run.step in _PROBED:
            return _PROBED[run.step](run, message, now)
        case Applied() if run.step in _APPLIED:
            return _APPLIED[run.step](run, message, now)
    return run, ()


def _stale(run: Run, message: Message) -> bool:
    """Whether it answers a question of an earlier step, or nobody waits for it."""
    if isinstance(message, Probed) and run.step is InstallStep.SCAN:
        return message.turn != run.turn
    if isinstance(message, Checked | Switched | Probed | Applied):
        return message.turn != run.turn or not run.busy
    return False


def _asked(run: Run, board: BoardHeard, now: float) -> Outcome:
    match run.step:
        case InstallStep.BASELINE:
            return begin.overheard(run, board)
        case InstallStep.SCAN:
            return scan.heard(run, board, now)
        case InstallStep.COMMIT | InstallStep.VERIFY:
            return finish.asked(run, board)
    return run, ()


def _cancelled(run: Run, message: Cancelled, now: float) -> Outcome:
    if run.step is InstallStep.RESTORE:
        return run, ()
    by = f" by {message.by}" if message.by else ""
    run, said = note(run, f"install run cancelled{by} at {run.step}")
    run, effects = finish.restore(run, now, InstallStep.CANCELLED, message.leave)
    return run, said + effects


def _server(run: Run, message: ServerSeen, now: float) -> Outcome:
    """Give a stack back the time the DHCP server was away."""
    if not message.alive:
        if run.outage_at is not None:
            return run, ()
        run = run.with_(outage_at=now)
        return note(run, "the DHCP server is away: nobody gets an address")
    if run.outage_at is None:
        return run, ()
    away_s = now - run.outage_at
    run = run.with_(outage_at=None)
    if run.step is InstallStep.SCAN and not run.busy:
        run = run.with_(until=run.until + away_s, wake=run.wake + away_s)
    if run.step is InstallStep.VERIFY:
        run = run.with_(until=run.until + away_s)
    return note(run, f"the DHCP server is back after {away_s:.1f} s")
