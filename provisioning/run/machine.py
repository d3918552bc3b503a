"""The install run: ``state, message, now -> state, effects``; pure.

The shell (``provisioning.run_loop``) writes the new state to disk, then performs the
effects; after a crash it calls ``resume``. So an effect may happen twice, but never
without being on disk, and each of them bears being done twice.
"""

from collections.abc import Callable

from broker.contract.messages import InstallStep
from provisioning.common.network import BoardHeard, ForeignServer
from provisioning.run import begin, finish, scan, texts
from provisioning.run.messages import (
    ActionAnswer,
    AddressesProbed,
    Effect,
    HistoryLine,
    Message,
    ReadinessChecked,
    ReservationsApplied,
    RunCancelled,
    RunConfirmed,
    ServerSeen,
    ServersSearched,
    StackSwitched,
    SwitchStack,
    Tick,
)
from provisioning.run.plan import Place
from provisioning.run.state import VERSION, InstallRun, Params
from provisioning.run.transitions import Outcome, note, trouble


def start(
    run_id: str, params: Params, places: tuple[Place, ...], now: float
) -> Outcome:
    """Begins a run; earlier runs found ``places``; ``now`` is monotonic seconds."""
    run = InstallRun(id=run_id, params=params, places=places, version=VERSION)
    run, effects = begin.preflight(run, now)
    by = f" by {params.by}" if params.by else ""
    numbers = texts.stacks(stack.number for stack in params.stacks)
    dry = ", only to say what it would do" if params.dry else ""
    return run, (HistoryLine(f"install run over {numbers} asked{by}{dry}"), *effects)


def resume(run: InstallRun, now: float) -> Outcome:
    """Goes on with a run whose process died; no stack that is on is cut for that."""
    if run.over:
        return run, ()
    run = run.with_(outage_at=None)
    if run.version < VERSION and run.step not in _ANY_VERSION:
        return finish.fail(run, now, texts.OUTDATED)
    run = run.with_(version=VERSION)
    again, effects = _RESUME[run.step](run, now)
    said = HistoryLine(f"install run goes on after a restart, at {run.step}")
    return again, (said, *effects, *_relight(again))


def _relight(run: InstallRun) -> tuple[SwitchStack, ...]:
    """Switches on again what was on: the mains may have been away, too."""
    if run.over or run.step is InstallStep.RESTORE:
        return ()
    busy = {run.stack.number} if run.step is InstallStep.SCAN else set(run.waiting)
    return tuple(SwitchStack(run.turn, n, on=True) for n in run.lit if n not in busy)


def _restore(run: InstallRun, now: float) -> Outcome:
    return finish.restore(run, now, run.ending, run.leave)


_ANY_VERSION = frozenset(
    {InstallStep.PREFLIGHT, InstallStep.CONFIRM, InstallStep.RESTORE}
)
"""Steps at which a run of an older version does what one of this version does."""

_RESUME: dict[InstallStep, Callable[[InstallRun, float], Outcome]] = {
    InstallStep.PREFLIGHT: begin.preflight,
    InstallStep.CONFIRM: begin.confirm,
    InstallStep.ALL_OFF: begin.all_off,
    InstallStep.BASELINE: begin.all_off,
    InstallStep.SCAN: scan.again,
    InstallStep.COMMIT: scan.commit,
    InstallStep.VERIFY: finish.verify,
    InstallStep.RESTORE: _restore,
}

_TIME: dict[InstallStep, Callable[[InstallRun, float], Outcome]] = {
    InstallStep.PREFLIGHT: begin.preflight_time,
    InstallStep.CONFIRM: begin.confirm_time,
    InstallStep.ALL_OFF: begin.off_time,
    InstallStep.BASELINE: begin.baseline_time,
    InstallStep.SCAN: scan.window_over,
    InstallStep.COMMIT: scan.commit_time,
    InstallStep.VERIFY: finish.verify_time,
    InstallStep.RESTORE: finish.switch_time,
}

_SWITCHED: dict[InstallStep, Callable[[InstallRun, StackSwitched, float], Outcome]] = {
    InstallStep.ALL_OFF: begin.switched_off,
    InstallStep.SCAN: scan.powered,
    InstallStep.RESTORE: finish.switched,
}


_PROBED: dict[InstallStep, Callable[[InstallRun, AddressesProbed, float], Outcome]] = {
    InstallStep.BASELINE: begin.swept,
    InstallStep.SCAN: scan.answering,
    InstallStep.VERIFY: finish.probed,
}

_APPLIED: dict[
    InstallStep, Callable[[InstallRun, ReservationsApplied, float], Outcome]
] = {
    InstallStep.BASELINE: begin.baseline_applied,
    InstallStep.COMMIT: scan.applied,
}


def step(run: InstallRun, message: Message, now: float) -> Outcome:
    """Handles a message; ``now`` is monotonic seconds."""
    if run.over or _stale(run, message):
        return run, ()
    match message:
        case Tick() if now >= run.wake:
            outcome = _TIME[run.step](run, now)
        case BoardHeard():
            outcome = _heard(run, message, now)
        case RunCancelled():
            outcome = _cancelled(run, message, now)
        case ServerSeen():
            outcome = _server(run, message, now)
        case ForeignServer():
            outcome = _rival(run, message, now)
        case ServersSearched():
            outcome = _searched(run, message, now)
        case RunConfirmed() if run.step is InstallStep.CONFIRM:
            outcome = begin.confirmed(run, message, now)
        case _:
            outcome = _answered(run, message, now)
    return outcome


def _answered(run: InstallRun, message: Message, now: float) -> Outcome:
    match message:
        case ReadinessChecked() if run.step is InstallStep.PREFLIGHT:
            return begin.checked(run, message, now)
        case StackSwitched() if run.step in _SWITCHED:
            return _SWITCHED[run.step](run, message, now)
        case AddressesProbed() if run.step in _PROBED:
            return _PROBED[run.step](run, message, now)
        case ReservationsApplied() if run.step in _APPLIED:
            return _APPLIED[run.step](run, message, now)
    return run, ()


def _stale(run: InstallRun, message: Message) -> bool:
    """Whether it answers an action of an earlier turn, or one that was given up."""
    if isinstance(message, AddressesProbed) and run.step is InstallStep.SCAN:
        return message.turn != run.turn
    if isinstance(message, ActionAnswer):
        return message.turn != run.turn or not run.busy
    return False


def _heard(run: InstallRun, board: BoardHeard, now: float) -> Outcome:
    match run.step:
        case InstallStep.BASELINE:
            return begin.overheard(run, board)
        case InstallStep.SCAN:
            return scan.heard(run, board, now)
        case InstallStep.COMMIT | InstallStep.VERIFY:
            return finish.heard(run, board)
    return run, ()


def _cancelled(run: InstallRun, message: RunCancelled, now: float) -> Outcome:
    if run.step is InstallStep.RESTORE:
        return run, ()
    by = f" by {message.by}" if message.by else ""
    run, said = note(run, f"install run cancelled{by} at {run.step}")
    run, effects = finish.restore(run, now, InstallStep.CANCELLED, message.leave)
    return run, said + effects


def _server(run: InstallRun, message: ServerSeen, now: float) -> Outcome:
    """Gives a stack back the time the DHCP server was away."""
    if not message.alive:
        if run.outage_at is not None:
            return run, ()
        run = run.with_(outage_at=now)
        return note(run, "the DHCP server is away: no board gets an address")
    if run.outage_at is None:
        return run, ()
    away_s = now - run.outage_at
    run = run.with_(outage_at=None)
    if run.step is InstallStep.SCAN and not run.busy:
        run = run.with_(until=run.until + away_s, wake=run.wake + away_s)
    if run.step is InstallStep.VERIFY:
        run = run.with_(until=run.until + away_s)
    return note(run, f"the DHCP server is back after {away_s:.1f} s")


# --- another DHCP server --------------------------------------------------------------

_STOPS = frozenset(
    {
        InstallStep.CONFIRM,
        InstallStep.ALL_OFF,
        InstallStep.BASELINE,
        InstallStep.SCAN,
        InstallStep.COMMIT,
    }
)
"""A server that speaks then may have lent the addresses by which boards are judged."""

_TOLD = frozenset({InstallStep.VERIFY, InstallStep.RESTORE})
"""Every board has its place: a rival can no longer put one into a wrong place."""


def _searched(run: InstallRun, message: ServersSearched, now: float) -> Outcome:
    """Handles the result of a search; a failed one is a problem, not the end."""
    if message.error and run.step in _STOPS | _TOLD:
        return trouble(run, texts.unsearched(message.error))
    said: tuple[Effect, ...] = ()
    for server in message.servers:
        run, effects = _rival(run, server, now)
        said += effects
    return run, said


def _rival(run: InstallRun, server: ForeignServer, now: float) -> Outcome:
    """Ends the run for a server that is not ours, unless it is forced or observes.

    Nothing is done during the checks before a run, which search by themselves.
    """
    if not run.params.reserves or run.step not in _STOPS | _TOLD:
        return run, ()
    text = texts.rival(server.address, server.mac)
    if run.params.force or run.step in _TOLD:
        return trouble(run, text)
    return finish.fail(run, now, text)
