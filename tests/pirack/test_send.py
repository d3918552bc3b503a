"""``pirack send``: a receipt grows from replies, and is told in words."""

import pytest

from broker.contract.messages import Event, EventKind, Phase, Reply, TargetRow
from broker.contract.topics import Scope
from pirack.rack_client import question
from pirack.receipt import Receipt, row_lines, tells, took
from pirack.send import needs_confirm


def row(name: str, phase: Phase = Phase.DONE, **rest: object) -> TargetRow:
    return TargetRow(node=f"pi-{name}", name=name, phase=phase, **rest)  # type: ignore[arg-type]  # fields by name


def reply(phase: Phase, *rows: TargetRow, **rest: object) -> Reply:
    fields = {"id": "a", "verb": "ping", "scope": "rack", "phase": phase} | rest
    return Reply(targets=rows, **fields)  # type: ignore[arg-type]  # fields by name


def test_a_reply_to_somebody_else_changes_nothing() -> None:
    receipt = Receipt("a")
    assert receipt.add(reply(Phase.DONE, row("s01n1"), id="b", ok=True)) == ()
    assert not receipt.answered
    assert receipt.summary() == "no answer"


def test_progress_gives_only_the_rows_that_changed() -> None:
    receipt = Receipt("a")
    running = row("s01n1", Phase.RUNNING)
    assert receipt.add(reply(Phase.RUNNING, running)) == (running,)
    assert receipt.add(reply(Phase.RUNNING, running, row("s01n2"))) == (row("s01n2"),)
    assert not receipt.complete


def test_it_is_complete_only_when_all_numbered_parts_are_there() -> None:
    receipt = Receipt("a")
    for part, name, complete in ((2, "s01n2", False), (1, "s01n1", True)):
        event = Event(seq=part, ts=0, kind=EventKind.COMMAND, text="")
        fields = {"ok": True, "part": part, "parts": 2, "events": (event,)}
        receipt.add(reply(Phase.DONE, row(name), **fields))
        assert (receipt.complete, receipt.ok) == (complete, complete)
    assert [one.name for one in receipt.rows] == ["s01n1", "s01n2"]
    assert [one.seq for one in receipt.events] == [1, 2]


def test_a_part_that_comes_twice_counts_once() -> None:
    receipt = Receipt("a")
    part = reply(Phase.DONE, row("s01n2"), ok=True, part=2, parts=2)
    receipt.add(part)
    receipt.add(part)
    assert not receipt.complete


def test_it_is_not_ok_when_the_master_says_so() -> None:
    receipt = Receipt("a")
    receipt.add(reply(Phase.FAILED, row("s01n1", Phase.FAILED), ok=False))
    assert receipt.complete
    assert not receipt.ok


def test_below_its_rows_the_summary_does_not_say_again_what_they_say() -> None:
    receipt = Receipt("a")
    lost = row("s01n1", Phase.NOT_DELIVERED, error="never heard")
    error = "1 of 1 not done: s01n1: never heard"
    receipt.add(reply(Phase.NOT_DELIVERED, lost, ok=False, error=error))
    assert receipt.summary().endswith(f"(0 of 1 done, < 1 ms, {error})")
    below = receipt.summary(below_rows=True)
    assert below == "rack ping: not-delivered (0 of 1 done, < 1 ms)"


def test_the_whole_receipt_is_one_reply_with_every_row() -> None:
    receipt = Receipt("a")
    receipt.add(reply(Phase.RUNNING, row("s01n1")))
    receipt.add(reply(Phase.DONE, row("s01n2"), ok=True))
    whole = receipt.whole()
    assert whole is not None
    assert [one.name for one in whole.targets] == ["s01n1", "s01n2"]
    assert (whole.part, whole.parts, whole.ok) == (1, 1, True)


def test_the_summary_counts_and_says_why_it_was_refused() -> None:
    receipt = Receipt("a")
    receipt.add(reply(Phase.REFUSED, ok=False, error="needs confirm=rack"))
    assert receipt.summary() == "rack ping: refused (< 1 ms, needs confirm=rack)"


def test_a_row_shows_one_line_of_output_beside_the_name() -> None:
    (line,) = row_lines(row("s01n1", stdout="51.2\n", duration_s=0.0123))
    assert line.split() == ["✓", "s01n1", "done", "12", "ms", "51.2"]


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "< 1 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (2.44, "2.4 s"),
        (9.97, "10 s"),
        (13.37, "13 s"),
        (59.7, "1 min"),
        (75.2, "1 min 15 s"),
        (3725, "1 h 2 min"),
    ],
)
def test_a_longer_duration_is_told_with_fewer_digits(
    duration_s: float, text: str
) -> None:
    assert took(duration_s) == text


@pytest.mark.parametrize(
    ("phase", "duration_s"), [(Phase.RUNNING, 0.067), (Phase.NOT_DELIVERED, 0.0)]
)
def test_a_row_tells_how_long_it_took_only_once_it_has_ended(
    phase: Phase, duration_s: float
) -> None:
    (line,) = row_lines(row("s01n1", phase, error="why", duration_s=duration_s))
    assert line.split()[2:] == [phase, "why"]


def test_what_has_only_begun_tells_no_duration() -> None:
    receipt = Receipt("a")
    receipt.add(reply(Phase.ACCEPTED))
    assert receipt.summary() == "rack ping: accepted"


def test_a_row_that_was_refused_with_all_others_tells_nothing() -> None:
    assert not tells(row("s01n1", Phase.REFUSED))
    assert tells(row("s01n1", Phase.REFUSED, error="it cannot 'pingg'"))
    assert tells(row("s01n1"))


def test_a_row_shows_more_output_below_and_the_reason_beside() -> None:
    failed = row(
        "s01n1", Phase.FAILED, stderr="one\ntwo\n", exit_code=3, error="no such unit"
    )
    first, *more = row_lines(failed)
    assert first.endswith("no such unit  exit code 3")
    assert [line.strip() for line in more] == ["one", "two"]


@pytest.mark.parametrize(
    ("error", "hinted"),
    [
        ("reboot interrupts 4 boards; repeat it with confirm=stack/3", True),
        ("it cannot 'reboot'; it can: ping", False),
    ],
)
def test_the_hint_to_confirm_is_given_only_for_a_missing_confirm(
    *, error: str, hinted: bool
) -> None:
    receipt = Receipt("a")
    receipt.add(reply(Phase.REFUSED, verb="reboot", ok=False, error=error))
    asked = question(Scope.parse("stack/3"), "reboot")
    assert needs_confirm(asked, receipt) is hinted
