"""What a run says of itself fits a message, however large the rack and the trouble."""

import msgspec
import pytest

from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    InstallState,
    InstallStep,
    decode,
    encode,
)
from provisioning.run import texts
from provisioning.run.plan import AddressLayout, Settled, Sighting, StackPlan, prepare
from provisioning.run.report import MAX_PROBLEMS, MAX_SENTENCE, run_state
from provisioning.run.state import InstallFinding, InstallRun, Params

LAYOUT = AddressLayout(first="10.100.100.10", per_stack=4)


def in_trouble(stacks: int) -> InstallRun:
    """A rack of which everything runs that can, and everything is wrong that can."""
    plans = tuple(StackPlan(n, 4) for n in range(1, stacks + 1))
    places = tuple(
        msgspec.structs.replace(
            place, mac=f"dc:a6:32:00:{place.stack:02x}:0{place.slot}"
        )
        for place in prepare((), LAYOUT, plans)
    )
    params = Params(
        stacks=plans,
        layout=LAYOUT,
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
