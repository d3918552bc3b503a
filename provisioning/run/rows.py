"""What a run shows of each stack, on ``P/install/stack/<n>``; pure."""

from collections.abc import Iterable

import msgspec

from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    InstallBoard,
    InstallStack,
    InstallStep,
    InstallVerdict,
    ScanPhase,
)
from provisioning.plan import Place, Sighting
from provisioning.run.finish import HARMLESS
from provisioning.run.state import Run

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


def stacks(
    run: Run | None, places: Iterable[Place], numbers: Iterable[int]
) -> tuple[InstallStack, ...]:
    """Return what anybody may see of each stack.

    Args:
        run: The latest run; None: there was none.
        places: Every place of the rack.
        numbers: The stacks of the rack.
    """
    by_stack: dict[int, list[Place]] = {}
    for place in places:
        by_stack.setdefault(place.stack, []).append(place)
    return tuple(_stack(run, by_stack.get(one, []), one) for one in numbers)


def _stack(run: Run | None, places: list[Place], number: int) -> InstallStack:
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
    """Return a stack that can be published; places and addresses matter most."""
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


def _phase(run: Run, places: list[Place], number: int) -> ScanPhase:
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


def _judged_phase(run: Run, places: list[Place], number: int) -> ScanPhase:
    if any(f.stack == number and f.verdict not in HARMLESS for f in run.findings):
        return ScanPhase.PROBLEMS
    if number not in run.scanned:
        return ScanPhase.UNTOUCHED
    boards = [place.mac for place in places if place.mac]
    verified = bool(boards) and all(mac in run.verified for mac in boards)
    return ScanPhase.VERIFIED if verified else ScanPhase.PLACED


def _slot(run: Run | None, place: Place, phase: ScanPhase) -> InstallBoard:
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
    run: Run | None, place: Place, phase: ScanPhase, seen: Sighting | None
) -> InstallVerdict:
    """Return the verdict, as far as it is of this run, or left from an earlier one."""
    if phase is ScanPhase.WAITING:
        return InstallVerdict.UNKNOWN
    if phase is ScanPhase.SCANNING and run is not None and run.step in _LISTENING:
        return InstallVerdict.OK if seen else InstallVerdict.UNKNOWN
    judged = run is not None and place.stack in run.scanned
    return place.verdict if place.mac or judged else InstallVerdict.UNKNOWN


def _others(run: Run, places: list[Place], number: int) -> list[InstallBoard]:
    """Return who else was heard in a stack: without a slot yet, or for good."""
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
