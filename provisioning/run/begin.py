"""The beginning of a run: preflight, confirmation, all off, baseline; pure."""

from broker.contract.messages import InstallStep, Power
from provisioning.common.network import ArpAnswer, BoardHeard, HeardKind
from provisioning.run import finish, plan, rescan, scan, sightings, texts
from provisioning.run.messages import (
    AddressesProbed,
    ApplyReservations,
    CheckReadiness,
    HistoryLine,
    ProbeAddresses,
    ReadinessChecked,
    ReservationsApplied,
    RunConfirmed,
    StackSwitched,
    SwitchStack,
)
from provisioning.run.state import InstallRun, Leave
from provisioning.run.transitions import Outcome, enter, found, note, trouble


def preflight(run: InstallRun, now: float) -> Outcome:
    """Checks whether the run may begin."""
    params = run.params
    places = plan.prepare(run.places, params.layout, params.stacks)
    wake = now + params.pace.preflight_s
    run = enter(run, InstallStep.PREFLIGHT, wake, places=places, busy=True)
    return run, (CheckReadiness(run.turn, plan.reservations(places)),)


def checked(run: InstallRun, message: ReadinessChecked, now: float) -> Outcome:
    """Goes on, or ends: with problems, or because the run is dry."""
    run = run.with_(
        before=dict(message.levels),
        problems=tuple(problem.text for problem in message.problems),
        passing=tuple(one.text for one in message.problems if one.passing),
    )
    run = run.with_(forecast=texts.forecast(run))
    fatal = [problem.text for problem in message.problems if problem.fatal]
    stops = bool(fatal) and not run.params.force
    if run.params.dry:
        said = tuple(HistoryLine(f"would: {line}") for line in run.forecast)
        ending = InstallStep.FAILED if stops else InstallStep.DONE
        return enter(run, ending, float("inf")), said + _warnings(run)
    if stops:
        # Added again as the last problem: that is the one which ends the run.
        others = tuple(text for text in run.problems if text != fatal[0])
        run = run.with_(problems=others)
        ended, effects = finish.fail(run, now, fatal[0])
    else:
        ended, effects = confirm(run, now)
    return ended, _warnings(run) + effects


def _warnings(run: InstallRun) -> tuple[HistoryLine, ...]:
    return tuple(HistoryLine(f"problem: {text}") for text in run.problems)


def preflight_time(run: InstallRun, now: float) -> Outcome:
    """Ends the run: the checks take too long."""
    return finish.fail(run, now, "the checks before the run did not end in time")


def confirm(run: InstallRun, now: float) -> Outcome:
    """Waits for a person who has read the forecast."""
    if run.params.confirmed:
        return all_off(run, now)
    run = enter(run, InstallStep.CONFIRM, now + run.params.pace.confirm_s)
    return run, tuple(
        HistoryLine(f"waiting for confirmation: {line}") for line in run.forecast
    )


def confirmed(run: InstallRun, message: RunConfirmed, now: float) -> Outcome:
    """Begins to switch."""
    by = f" by {message.by}" if message.by else ""
    run, said = note(run, f"install run confirmed{by}")
    run, effects = all_off(run, now)
    return run, said + effects


def confirm_time(run: InstallRun, now: float) -> Outcome:
    """Cancels the run, which no person confirmed in time."""
    wait = texts.minutes(run.params.pace.confirm_s)
    run, said = trouble(run, f"not confirmed within {wait}: nothing was switched")
    run, effects = finish.restore(run, now, InstallStep.CANCELLED, Leave.LEAVE)
    return run, said + effects


def all_off(run: InstallRun, now: float) -> Outcome:
    """Cuts the stacks that are to be scanned."""
    run = run.with_(elsewhere=(), swept=False, taken={}, outage_at=None)
    return _switch_off(enter(run, InstallStep.ALL_OFF, now, waiting=run.cut), now)


def _switch_off(run: InstallRun, now: float) -> Outcome:
    wake = now + run.params.pace.switch_s
    run = run.with_(busy=True, wake=wake, cutting=run.waiting)
    consent = not run.settling or run.params.force
    return run, tuple(
        SwitchStack(run.turn, stack, on=False, consent=consent) for stack in run.waiting
    )


def switched_off(run: InstallRun, message: StackSwitched, now: float) -> Outcome:
    """Notes an outlet that is off; one that stays on ends the run."""
    if message.stack not in run.waiting:
        return run, ()
    if message.error or message.level is Power.ON:
        why = message.error or "its outlet reads back on"
        if run.settling:
            return rescan.refused(run, why, now)
        text = f"stack {message.stack} could not be switched off ({why})"
        return finish.fail(run, now, f"{text}: without that no board can be placed")
    waiting = tuple(stack for stack in run.waiting if stack != message.stack)
    lit = tuple(stack for stack in run.lit if stack != message.stack)
    run = run.with_(waiting=waiting, cutting=waiting, lit=lit)
    if waiting:
        return run, ()
    return run.with_(busy=False, wake=now + run.params.pace.settle_s), ()


def off_time(run: InstallRun, now: float) -> Outcome:
    """Handles that time passed while stacks are cut, or their boards die."""
    if run.waiting and not run.busy:
        return _switch_off(run, now)
    if run.busy:
        why = f"{texts.stacks(run.waiting)} did not go off in time: check the outlets"
        if run.settling:
            return rescan.refused(run, why, now)
        return finish.fail(run, now, why)
    return enter(run, InstallStep.BASELINE, now + run.params.pace.baseline_s), ()


# --- baseline -------------------------------------------------------------------------


def overheard(run: InstallRun, board: BoardHeard) -> Outcome:
    """Notes a device that talks with all scanned stacks off as foreign."""
    at_home = any(p.mac == board.mac and p.stack not in run.cut for p in run.places)
    lease = board.kind is HeardKind.LEASE
    if board.mac in run.foreign or board.mac in run.suspects or at_home or lease:
        return run, ()
    if len(run.foreign) >= sightings.most(0):
        return trouble(run, texts.crowd("with all stacks off", len(run.foreign)))
    run = run.with_(foreign=(*run.foreign, board.mac))
    return found(run, texts.talks_while_off(run, board.mac))


def baseline_time(run: InstallRun, now: float) -> Outcome:
    """Asks who answers, then shortens the leases."""
    if run.busy:
        if run.swept:
            return baseline_applied(
                run, ReservationsApplied(run.turn, "it did not answer"), now
            )
        return swept(
            run, AddressesProbed(run.turn, (), error="the question was lost"), now
        )
    if run.swept:
        run = run.with_(busy=True, brief=True, wake=now + run.params.pace.apply_s)
        return run, (ApplyReservations(run.turn, plan.reservations(run.places)),)
    run = run.with_(busy=True, wake=now + run.params.pace.probe_s + finish.ANSWER_S)
    return run, (ProbeAddresses(run.turn, sightings.everywhere(run)),)


def swept(run: InstallRun, message: AddressesProbed, now: float) -> Outcome:
    """Handles the devices that answer although the stacks are off."""
    if message.error:
        if finish.tries_left(run):
            wake = now + run.params.pace.retry_s
            return run.with_(tries=run.tries + 1, busy=False, wake=wake), ()
        text = f"nothing can be asked on the network: {message.error}"
        return finish.fail(run, now, text)
    run, said = _answering(run.with_(tries=0, swept=True), message.answers)
    run, effects = baseline_time(run.with_(busy=False), now)
    return run, said + effects


def _answering(run: InstallRun, answers: tuple[ArpAnswer, ...]) -> Outcome:
    places = {place.mac: place for place in run.places if place.mac}
    owners = {p.address: p for p in run.places if p.stack in run.cut}
    macs = sorted({answer.mac for answer in answers})
    unclear = {*run.suspects, *run.again}
    away = [m for m in macs if m in unclear or m in places]
    away = [m for m in away if m in unclear or places[m].stack not in run.cut]
    stuck = [m for m in macs if m in places and m not in away]
    strange = [m for m in macs if m not in places and m not in run.suspects]
    new = tuple(m for m in strange + stuck if m not in run.foreign)
    run = run.with_(
        elsewhere=tuple(away),
        foreign=run.foreign + new[: sightings.MOST_NEIGHBOURS],
        taken={
            answer.address: answer.mac
            for answer in answers
            if answer.address in owners and owners[answer.address].mac != answer.mac
        },
    )
    run, said = found(run, *(texts.talks_while_off(run, mac) for mac in stuck))
    if strange:
        run, more = note(run, texts.neighbours(len(strange)))
        said += more
    return run, said


def baseline_applied(
    run: InstallRun, message: ReservationsApplied, now: float
) -> Outcome:
    """Begins with the first stack: all foreign devices are known."""
    if not message.error:
        return scan.scan(run, now)
    return finish.not_applied(run, message.error, now)
