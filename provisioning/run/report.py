"""What a run publishes of itself and of each stack, on ``P/install/…``; pure."""

from collections.abc import Iterable

import msgspec

from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    InstallVerdict,
    ScanPhase,
)
from provisioning.run import texts
from provisioning.run.finish import HARMLESS
from provisioning.run.plan import Place, Sighting
from provisioning.run.state import InstallRun

MAX_PROBLEMS = 40
"""Sentences that are published at most."""

PROBLEM_BYTES, FORECAST_BYTES = 8192, 4096
"""Their shares of a message of 16 KiB, with room to spare for the other fields."""

MAX_SENTENCE = 1500
"""Characters of one sentence: the error of a server may fill pages."""

MAX_BOARDS = 72
"""Boards of one stack that fit a message of 16 KiB, without their models if need be."""
MAX_MODEL = 64
"""Characters of what a board says its model and serial number are."""

_BEFORE = frozenset(
    {
        InstallStep.PREFLIGHT,
        InstallStep.CONFIRM,
        InstallStep.ALL_OFF,
        InstallStep.BASELINE,
    }
)
_LISTENING = frozenset({InstallStep.SCAN})
_CURRENT = _LISTENING | {InstallStep.COMMIT}
_AFTER = frozenset({InstallStep.VERIFY, InstallStep.DONE, InstallStep.PROBLEMS})


def run_state(run: InstallRun) -> InstallState:
    """Returns what is published of a run."""
    return InstallState(
        run=run.id,
        step=run.step,
        only=run.params.only,
        dry=run.params.dry,
        by=run.params.by,
        stack=run.settling or (run.stack.number if run.step in _CURRENT else None),
        done=_done(run),
        total=run.boards,
        problems=_capped(_problems(run), PROBLEM_BYTES),
        verdicts=_counts(run),
        forecast=_capped(run.forecast, FORECAST_BYTES),
        eta_s=_eta_s(run),
    )


def _done(run: InstallRun) -> int:
    """Counts the boards found; at the end, those that answer at their addresses."""
    if run.step in _AFTER:
        return len(run.verified)
    placed = sum(
        1
        for place in run.places
        if place.stack in run.scanned
        and place.mac
        and place.verdict is InstallVerdict.OK
    )
    return placed + (len(run.seen) if run.step is InstallStep.SCAN else 0)


def _problems(run: InstallRun) -> tuple[str, ...]:
    return run.problems + tuple(finding.text for finding in run.findings)


def _capped(texts: Iterable[str], size_bytes: int) -> tuple[str, ...]:
    """Returns as many sentences as fit, and how many more there are."""
    texts = [_short(text) for text in texts]
    kept: list[str] = []
    for text in texts[:MAX_PROBLEMS]:
        size_bytes -= len(msgspec.json.encode(text)) + 1
        if size_bytes < 0:
            break
        kept.append(text)
    more = len(texts) - len(kept)
    last = (f"and {more} more; all are in the history",) if more else ()
    return (*kept, *last)


def _short(text: str) -> str:
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 1]}…"


def _counts(run: InstallRun) -> dict[InstallVerdict, int]:
    """Counts the findings by verdict, and the boards that are well."""
    counts = {InstallVerdict.OK: _done(run)}
    for finding in run.findings:
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    return counts


def _eta_s(run: InstallRun) -> float | None:
    """Estimates the seconds left; None once it is over or waits for a person."""
    if run.over or run.step in {InstallStep.CONFIRM, InstallStep.RESTORE}:
        return None
    if run.step in _AFTER or run.settling:
        return round(run.boot_s + texts.MOVE_S)
    left = len(run.params.stacks) - run.position
    return round(texts.estimate_s(run, left))


# --- stacks ---------------------------------------------------------------------------


def stack_states(
    run: InstallRun | None, places: Iterable[Place], numbers: Iterable[int]
) -> tuple[InstallStack, ...]:
    """Returns what is published of each stack; ``run`` is the latest one."""
    by_stack: dict[int, list[Place]] = {}
    for place in places:
        by_stack.setdefault(place.stack, []).append(place)
    return tuple(_stack(run, by_stack.get(one, []), one) for one in numbers)


def _stack(run: InstallRun | None, places: list[Place], number: int) -> InstallStack:
    phase = ScanPhase.UNTOUCHED if run is None else _phase(run, places, number)
    boards = [_slot(run, place, phase) for place in places]
    if run is not None and phase is not ScanPhase.UNTOUCHED:
        boards += _others(run, places, number)
    return _fitting(
        InstallStack(
            stack=number,
            run="" if run is None else run.id,
            phase=phase,
            boards=tuple(boards[:MAX_BOARDS]),
        )
    )


def _fitting(stack: InstallStack) -> InstallStack:
    """Returns a stack that can be published; places and addresses matter most."""
    if len(msgspec.json.encode(stack)) <= MAX_PAYLOAD_BYTES:
        return stack
    short = (
        msgspec.structs.replace(
            board, model=board.model[:MAX_MODEL], serial=board.serial[:MAX_MODEL]
        )
        for board in stack.boards
    )
    stack = msgspec.structs.replace(stack, boards=tuple(short))
    if len(msgspec.json.encode(stack)) <= MAX_PAYLOAD_BYTES:
        return stack
    bare = (msgspec.structs.replace(one, model="", serial="") for one in stack.boards)
    return msgspec.structs.replace(stack, boards=tuple(bare))


def _phase(run: InstallRun, places: list[Place], number: int) -> ScanPhase:
    plan = [stack.number for stack in run.params.stacks]
    if number not in plan or run.params.dry:
        return ScanPhase.UNTOUCHED
    early = run.step in _BEFORE and not run.settling
    ahead = plan.index(number) > run.position and number not in run.scanned
    if not run.over and (early or ahead):
        return ScanPhase.WAITING
    settling = run.settling == number and run.step in _BEFORE
    if settling or (run.step in _CURRENT and run.stack.number == number):
        return ScanPhase.SCANNING
    return _judged_phase(run, places, number)


def _judged_phase(run: InstallRun, places: list[Place], number: int) -> ScanPhase:
    if any(f.stack == number and f.verdict not in HARMLESS for f in run.findings):
        return ScanPhase.PROBLEMS
    if number not in run.scanned:
        return ScanPhase.UNTOUCHED
    boards = [place.mac for place in places if place.mac]
    verified = bool(boards) and all(mac in run.verified for mac in boards)
    return ScanPhase.VERIFIED if verified else ScanPhase.PLACED


def _slot(run: InstallRun | None, place: Place, phase: ScanPhase) -> InstallBoard:
    seen = None
    if run is not None and phase is ScanPhase.SCANNING:
        seen = run.seen.get(place.mac)
    return InstallBoard(
        slot=place.slot,
        name=place.name,
        address=place.address,
        mac=place.mac,
        serial=place.serial or (seen.serial if seen else ""),
        model=place.model or (seen.model if seen else ""),
        verdict=_verdict(run, place, phase, seen),
        verified=run is not None
        and phase is not ScanPhase.UNTOUCHED
        and place.mac in run.verified,
    )


def _verdict(
    run: InstallRun | None, place: Place, phase: ScanPhase, seen: Sighting | None
) -> InstallVerdict:
    """Returns the verdict of this run, or the one left from an earlier run."""
    if phase is ScanPhase.WAITING:
        return InstallVerdict.UNKNOWN
    if phase is ScanPhase.SCANNING and run is not None and run.step in _LISTENING:
        return InstallVerdict.OK if seen else InstallVerdict.UNKNOWN
    judged = run is not None and place.stack in run.scanned
    return place.verdict if place.mac or judged else InstallVerdict.UNKNOWN


def _others(run: InstallRun, places: list[Place], number: int) -> list[InstallBoard]:
    """Returns the boards heard in a stack that have no slot, yet or for good."""
    here = {place.mac for place in places}
    judged = {
        finding.mac: InstallBoard(mac=finding.mac, verdict=finding.verdict)
        for finding in run.findings
        if finding.stack == number and finding.mac and finding.mac not in here
    }
    heard = {}
    if run.step in _LISTENING and run.stack.number == number:
        heard = {
            mac: InstallBoard(
                mac=mac, address=one.address, serial=one.serial, model=one.model
            )
            for mac, one in run.seen.items()
            if mac not in here
        }
    return [*{**heard, **judged}.values()]
