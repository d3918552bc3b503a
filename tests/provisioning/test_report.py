"""What a run publishes of itself and of each stack."""

from typing import Any

import msgspec
import pytest

from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    InstallVerdict,
    ScanPhase,
    decode,
    encode,
)
from provisioning.run import plan, report, texts
from provisioning.run.plan import (
    AddressLayout,
    Place,
    Settled,
    Sighting,
    StackPlan,
    prepare,
)
from provisioning.run.report import MAX_PROBLEMS, MAX_SENTENCE, run_state
from provisioning.run.state import InstallFinding, InstallRun, Params

WIDE = AddressLayout(first="10.100.100.10", per_stack=4)


def in_trouble(stacks: int) -> InstallRun:
    """A rack of which everything runs that can, and everything is wrong that can."""
    plans = tuple(StackPlan(n, 4) for n in range(1, stacks + 1))
    places = tuple(
        msgspec.structs.replace(
            place, mac=f"dc:a6:32:00:{place.stack:02x}:0{place.slot}"
        )
        for place in prepare((), WIDE, plans)
    )
    params = Params(
        stacks=plans,
        layout=WIDE,
        network="10.100.0.0/16",
        by="x" * 64,
        running=tuple(place.name.ljust(63, "x") for place in places),
        unplaced=tuple(f"board-of-nobody-{n}".ljust(63, "x") for n in range(99)),
    )
    run = InstallRun(
        id="install-abcdef", params=params, places=places, step=InstallStep.VERIFY
    )
    macs = tuple(place.mac for place in places)
    return run.with_(
        forecast=texts.forecast(run),
        problems=(
            texts.copied(macs),
            *(texts.rival(f"10.0.0.{n}", macs[0]) for n in range(9)),
        ),
        findings=tuple(finding for plan in plans for finding in judged(run, plan)),
    )


def judged(run: InstallRun, plan: StackPlan) -> tuple[InstallFinding, ...]:
    here = [place for place in run.places if place.stack == plan.number]
    taken = {place.address: "00:66:77:88:99:aa" for place in here}
    doubled = {place.mac: 99 for place in here}
    overfull = tuple(f"dc:a6:32:ff:{plan.number:02x}:{n:02x}" for n in range(44))
    settled = Settled(places=run.places, doubled=doubled, overfull=overfull)
    return texts.judged(plan, settled, taken)


@pytest.mark.parametrize("stacks", [12, 64])
def test_the_largest_rack_in_all_trouble_fits_a_message(stacks: int) -> None:
    run = in_trouble(stacks)
    state = run_state(run)
    assert decode(encode(state), InstallState) == state
    assert len(encode(state)) < MAX_PAYLOAD_BYTES * 7 // 8, "for what the master adds"
    *told, last = state.problems
    assert told[0] == run.problems[0]
    every = len(run.problems) + len(run.findings)
    assert last == f"and {every - len(told)} more; all are in the history"
    assert sum(state.verdicts.values()) == len(run.findings)


def test_little_trouble_is_told_in_full() -> None:
    run = in_trouble(12).with_(problems=(), findings=in_trouble(12).findings[:3])
    assert run_state(run).problems == tuple(one.text for one in run.findings)


def test_there_are_no_more_sentences_than_a_person_reads() -> None:
    run = in_trouble(12).with_(problems=tuple(f"{n} is wrong" for n in range(99)))
    assert len(run_state(run).problems) == MAX_PROBLEMS + 1


def test_a_sentence_that_goes_on_for_pages_is_cut_and_hides_no_other() -> None:
    run = in_trouble(12).with_(problems=("x" * 99_999, "y"), findings=())
    first, second = run_state(run).problems
    assert first == "x" * (MAX_SENTENCE - 1) + "…"
    assert second == "y"


def test_who_asked_is_counted_before_there_are_places() -> None:
    macs = ("dc:a6:32:00:01:01", "dc:a6:32:00:01:02")
    seen = {mac: Sighting(mac=mac) for mac in macs}
    assert run_state(in_trouble(1).with_(step=InstallStep.SCAN, seen=seen)).done == len(
        macs
    )


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
