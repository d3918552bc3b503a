"""What a run shows of each stack: where it stands, and board by board."""

from typing import Any

import msgspec
import pytest

from broker.contract.messages import (
    InstallBoard,
    InstallStack,
    InstallStep,
    InstallVerdict,
    ScanPhase,
    encode,
)
from provisioning.run import plan, report
from provisioning.run.plan import AddressLayout, Place, Sighting, StackPlan
from provisioning.run.state import InstallFinding, InstallRun, Params

STACKS = tuple(StackPlan(n, 2) for n in (1, 2, 3))
LAYOUT = AddressLayout(first="10.0.0.10", per_stack=2)
EMPTY = plan.prepare((), LAYOUT, STACKS)
A, B = "dc:a6:32:00:00:0a", "dc:a6:32:00:00:0b"


def running(step: InstallStep, **changes: Any) -> InstallRun:  # noqa: ANN401  # fields of InstallRun
    params = Params(stacks=STACKS, layout=LAYOUT, network="10.0.0.0/24")
    return InstallRun(id="r", params=params, places=EMPTY, step=step).with_(**changes)


def shown(
    run: InstallRun | None, stack: int, places: tuple[Place, ...] = EMPTY
) -> InstallStack:
    return report.stack_states(run, places if run is None else run.places, (1, 2, 3))[
        stack - 1
    ]


def with_boards(*macs: str) -> tuple[Place, ...]:
    """Return the places with boards in the first slots, which are well."""
    found = zip(EMPTY, macs, strict=False)
    placed = (
        msgspec.structs.replace(place, mac=mac, verdict=InstallVerdict.OK)
        for place, mac in found
    )
    return (*placed, *EMPTY[len(macs) :])


DONE = {"scanned": {1: (A, B)}, "places": with_boards(A, B), "position": 1}
MISSING = InstallFinding(verdict=InstallVerdict.MISSING, text="s01n2 …", stack=1)


@pytest.mark.parametrize(
    ("run", "phases"),
    [
        (None, "untouched untouched untouched"),
        (running(InstallStep.CONFIRM), "waiting waiting waiting"),
        (running(InstallStep.SCAN), "scanning waiting waiting"),
        (running(InstallStep.COMMIT, scanned={1: ()}), "scanning waiting waiting"),
        (running(InstallStep.SCAN, **DONE), "placed scanning waiting"),
        (
            running(InstallStep.SCAN, **{**DONE, "findings": (MISSING,)}),
            "problems scanning waiting",
        ),
        (
            running(InstallStep.VERIFY, **{**DONE, "position": 2, "verified": (A,)}),
            "placed untouched untouched",
        ),
        (
            running(InstallStep.DONE, **{**DONE, "position": 2, "verified": (A, B)}),
            "verified untouched untouched",
        ),
        (running(InstallStep.CANCELLED, **DONE), "placed untouched untouched"),
    ],
)
def test_a_stack_tells_where_it_stands(run: InstallRun | None, phases: str) -> None:
    assert [shown(run, n).phase for n in (1, 2, 3)] == [
        ScanPhase(word) for word in phases.split()
    ]


def test_a_run_over_one_stack_leaves_the_others_untouched() -> None:
    run = running(InstallStep.SCAN)
    one = Params(stacks=STACKS[1:2], layout=LAYOUT, network="10.0.0.0/24", whole=False)
    found = [shown(run.with_(params=one), n).phase for n in (1, 2, 3)]
    assert found == [ScanPhase.UNTOUCHED, ScanPhase.SCANNING, ScanPhase.UNTOUCHED]


def test_boards_appear_as_they_ask_and_get_their_slot_when_all_are_known() -> None:
    seen = {A: Sighting(mac=A, address="10.0.0.99", model="Pi 5", serial="1234abcd")}
    scanning = shown(running(InstallStep.SCAN, seen=seen), 1)
    assert [board.verdict for board in scanning.boards] == ["", "", ""]
    assert scanning.boards[2] == InstallBoard(
        mac=A, address="10.0.0.99", model="Pi 5", serial="1234abcd"
    )
    known = shown(running(InstallStep.SCAN, seen=seen, places=with_boards(A)), 1)
    assert [(b.slot, b.mac, b.verdict) for b in known.boards] == [
        (1, A, "ok"),
        (2, "", ""),
    ]


def test_who_has_no_slot_for_good_stands_below_with_why() -> None:
    overfull = InstallFinding(verdict=InstallVerdict.OVERFULL, text="…", stack=1, mac=B)
    run = running(
        InstallStep.SCAN, **{**DONE, "places": with_boards(A), "findings": (overfull,)}
    )
    last = shown(run, 1).boards[-1]
    assert (last.slot, last.mac, last.verdict) == (None, B, "overfull")


def test_before_any_run_known_boards_show_what_was_found_and_empty_slots_nothing() -> (
    None
):
    stack = shown(None, 1, with_boards(A))
    assert (stack.run, stack.phase) == ("", ScanPhase.UNTOUCHED)
    assert [board.verdict for board in stack.boards] == ["ok", ""]


def test_a_board_that_only_a_person_placed_is_not_called_missing() -> None:
    pinned = plan.pin(EMPTY, {A: (1, 1)})
    for run in (None, running(InstallStep.DONE, places=pinned)):
        first = shown(run, 1, pinned).boards[0]
        assert (first.mac, first.verdict) == (A, "")


def test_the_largest_stack_fits_a_message() -> None:
    places = plan.prepare((), LAYOUT, [StackPlan(1, 64)])
    macs = [f"dc:a6:32:00:00:{n:02x}" for n in range(64)]
    model = "Raspberry Pi 3 Model B Plus Rev 1.3"
    seen = {
        mac: Sighting(mac=mac, address="192.168.100.100", serial="f" * 8, model=model)
        for mac in macs
    }
    run = running(InstallStep.SCAN, places=places, seen=seen)
    encode(shown(run, 1))
