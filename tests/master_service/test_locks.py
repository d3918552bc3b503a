"""A node or stack reserved by somebody: others wait, and are told for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import EventKind, Lock, Phase
from master_service.rack.locks import Locks, held
from master_service.rack.times import SpanError, moment, seconds, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

HOUR_S = 3600.0


async def lock(bench: Bench, where: str, text: str = "2h fan by=ann") -> None:
    (reply,) = await bench.ask(f"{where} lock", text)
    assert reply.ok is True, reply.error


async def test_a_lock_is_answered_shown_and_noted(bench: Bench) -> None:
    (reply,) = await bench.ask("node/s01n1 lock", "2h swapping the fan by=ann")
    assert (reply.phase, reply.ok, reply.verified) == (Phase.DONE, True, True)
    assert "s01n1 is locked by ann until 2023-11-15" in reply.targets[0].stdout
    shown = bench.node("pi-11").lock
    assert shown == Lock(
        scope="node/pi-11",
        by="ann",
        until=bench.wall + 2 * HOUR_S,
        reason="swapping the fan",
    )
    assert bench.node("pi-12").lock is None
    event = bench.events[-1]
    assert (event.kind, event.node, event.by) == (EventKind.COMMAND, "pi-11", "ann")
    assert event.text.startswith("lock node/s01n1 by ann: s01n1 is locked")


async def test_a_lock_on_a_stack_holds_every_board_in_it(bench: Bench) -> None:
    await lock(bench, "stack/1")
    assert {bench.node(i).lock for i in ("pi-11", "pi-12")} == {bench.stack(1).lock}
    assert bench.stack(1).lock is not None
    assert bench.node("pi-21").lock is None
    (final,) = (await bench.ask("node/s01n2 reboot", "by=bob"))[-1:]
    assert "stack 1 is locked by ann until" in final.targets[0].error


async def test_a_locked_stack_is_refused_at_once_and_named_once(bench: Bench) -> None:
    await lock(bench, "stack/1")
    (reply,) = await bench.ask("stack/1 reboot", "by=bob confirm=stack/1")
    assert reply.phase is Phase.REFUSED
    assert reply.error.startswith(
        "2 of 2 not done: s01n1, s01n2: stack 1 is locked by ann until "
    )


@pytest.mark.parametrize("verb", ["reboot", "shutdown", "update"])
async def test_what_others_would_interrupt_is_refused_with_owner_and_expiry(
    bench: Bench, verb: str
) -> None:
    await lock(bench, "node/s01n1")
    final = (await bench.ask(f"node/s01n1 {verb}", "by=bob"))[-1]
    assert final.ok is False
    (row,) = final.targets
    assert row.phase is Phase.REFUSED
    assert row.error.startswith("s01n1 is locked by ann until 2023-11-15 00:")
    assert row.error.endswith("(fan)")
    assert not bench.boards["pi-11"].orders


async def test_who_says_no_name_is_another(bench: Bench) -> None:
    await lock(bench, "node/s01n1")
    final = (await bench.ask("node/s01n1 reboot"))[-1]
    assert "is locked by ann" in final.targets[0].error


async def test_its_owner_goes_on_as_before(bench: Bench) -> None:
    await lock(bench, "node/s01n1")
    (first,) = await bench.ask("node/s01n1 reboot", "by=ann")
    assert first.phase is Phase.ACCEPTED
    assert bench.boards["pi-11"].orders[-1].verb == "reboot"


async def test_a_rack_wide_reboot_leaves_out_what_is_locked(bench: Bench) -> None:
    await lock(bench, "node/s01n1")
    await bench.ask("rack reboot", "confirm=rack by=bob")
    assert [len(board.orders) for board in bench.boards.values()] == [0, 1, 1, 1]


@pytest.mark.parametrize("verb", ["ping", "temperature"])
async def test_what_interrupts_nothing_is_free_to_all(bench: Bench, verb: str) -> None:
    await lock(bench, "stack/1")
    await bench.ask(f"node/s01n1 {verb}", "by=bob")
    assert bench.boards["pi-11"].orders


@pytest.mark.parametrize("action", ["off", "cycle", "on", "off force"])
async def test_a_relay_is_shared_so_one_lock_holds_the_stack(
    bench: Bench, action: str
) -> None:
    await lock(bench, "node/s01n2")
    (reply,) = await bench.ask("stack/1 power", f"{action} confirm=stack/1 by=bob")
    assert reply.phase is Phase.REFUSED
    assert reply.error.startswith("s01n2 is locked by ann until")
    assert "`unlock force`" in reply.error
    assert not any(board.orders for board in bench.boards.values())


async def test_a_locked_stack_without_boards_is_not_switched_on(bench: Bench) -> None:
    for node_id in ("pi-11", "pi-12"):
        bench.master.rack.registry.move(
            bench.master.rack.registry.nodes[node_id], None, None
        )
    await lock(bench, "stack/1")
    assert bench.stack(1).lock is not None
    (reply,) = await bench.ask("stack/1 power", "on by=bob")
    assert "stack 1 is locked by ann until" in reply.error


async def test_forget_is_refused_too(bench: Bench) -> None:
    await lock(bench, "node/s01n1")
    final = (await bench.ask("node/s01n1 forget", "by=bob"))[-1]
    assert "is locked by ann" in final.targets[0].error
    assert "pi-11" in bench.master.rack.registry.nodes


async def test_a_lock_ends_by_the_masters_clock(bench: Bench) -> None:
    await lock(bench, "node/s01n1", "90s by=ann")
    await bench.pass_time(89)
    assert bench.node("pi-11").lock is not None
    await bench.pass_time(2)
    assert bench.node("pi-11").lock is None
    texts = [event.text for event in bench.events]
    assert "the lock of ann on s01n1 is over" in texts
    await bench.ask("node/s01n1 reboot", "by=bob")
    assert bench.boards["pi-11"].orders


async def test_a_lock_outlives_the_master(bench: Bench) -> None:
    await lock(bench, "stack/1")
    await bench.restart(away_s=60)
    shown = bench.stack(1).lock
    assert shown is not None
    assert shown.by == "ann"
    (reply,) = await bench.ask("stack/1 unlock", "by=ann")
    assert reply.ok is True
    await bench.restart()
    assert bench.stack(1).lock is None


async def test_locking_again_moves_ones_own_expiry(bench: Bench) -> None:
    await lock(bench, "node/s01n1", "1h by=ann")
    await lock(bench, "node/s01n1", "3h by=ann")
    shown = bench.node("pi-11").lock
    assert shown is not None
    assert shown.until == bench.wall + 3 * HOUR_S


async def test_force_takes_a_lock_away_and_says_whose_it_was(bench: Bench) -> None:
    await lock(bench, "node/s01n1")
    (refused,) = await bench.ask("node/s01n1 unlock", "by=bob")
    assert "is locked by ann" in refused.error
    assert "`unlock force` takes it away" in refused.error
    (taken,) = await bench.ask("node/s01n1 unlock", "force by=bob")
    assert taken.ok is True
    assert "was locked by ann" in bench.events[-1].text
    assert bench.events[-1].by == "bob"
    assert bench.node("pi-11").lock is None


@pytest.mark.parametrize(
    ("where", "payload", "words"),
    [
        ("node/s01n1 lock", "2h", "a lock needs a name: add by=<who>"),
        ("node/s01n1 lock", "by=ann", "'' is not a span of time; write 90s"),
        ("node/s01n1 lock", "soon by=ann", "'soon' is not a span of time"),
        ("node/s01n1 lock", "0s by=ann", "between 1s and 30d"),
        ("node/s01n1 lock", "31d by=ann", "between 1s and 30d"),
        ("rack lock", "2h by=ann", "lock is for a node or a stack, not for rack"),
        ("tag/web lock", "2h by=ann", "lock is for a node or a stack"),
        ("stack/9 lock", "2h by=ann", "stack 9 is not in the rack"),
        ("node/s09n9 lock", "2h by=ann", "is not known"),
        ("node/s01n1 unlock", "by=ann", "s01n1 is not locked"),
        ("node/s01n1 unlock", "now by=ann", "write nothing, or `force`"),
    ],
)
async def test_a_lock_that_makes_no_sense_is_refused_with_what_would(
    bench: Bench, where: str, payload: str, words: str
) -> None:
    (reply,) = await bench.ask(where, payload)
    assert reply.phase is Phase.REFUSED
    assert words in reply.error


async def test_what_another_holds_cannot_be_locked_in_part_or_as_a_whole(
    bench: Bench,
) -> None:
    await lock(bench, "node/s01n1")
    for where in ("node/s01n1", "stack/1"):
        (reply,) = await bench.ask(f"{where} lock", "1h by=bob")
        assert "s01n1 is locked by ann" in reply.error
    await lock(bench, "stack/2")
    (reply,) = await bench.ask("node/s02n1 lock", "1h by=bob")
    assert "s02n1, in stack 2, is locked by ann" in reply.error
    (reply,) = await bench.ask("node/s02n1 unlock", "by=ann")
    assert reply.error == "s02n1 is not locked; stack/2 is"


async def test_locks_are_the_same_over_mqtt_3(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(mqtt5=False)
    await bench.master.start()
    await bench.all_come()
    await lock(bench, "node/s01n1")
    assert bench.node("pi-11").lock is not None


def test_a_lock_without_a_reason_says_just_who_and_until_when() -> None:
    one = Lock(scope="stack/3", by="ann", until=0.0)
    assert held(one, "stack 3") == (
        "stack 3 is locked by ann until 1970-01-01 00:00:00 UTC"
    )
    locks = Locks([one])
    assert locks.over(0.0) == [one]
    assert locks.at("stack/3") is None


@pytest.mark.parametrize(
    ("text", "span_s"), [("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800)]
)
def test_spans_are_read_as_people_write_them(text: str, span_s: float) -> None:
    assert seconds(text) == span_s


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-1h", "1y", "1h;rm"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(SpanError, match="is not a span of time; write"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "ts"),
    [
        ("1h", 6_400.0),
        ("1970-01-01T01:00", 3_600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-02", 86_400.0),
        ("1234.5", 1234.5),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, ts: float) -> None:
    assert moment(text, 10_000.0) == ts


def test_a_span_is_said_in_its_two_largest_units() -> None:
    assert [words(s) for s in (0, 59, 90, 3_700, 90_061)] == [
        "0 s",
        "59 s",
        "1 min 30 s",
        "1 h 1 min",
        "1 d 1 h",
    ]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("place", "none"),
        ("place", "2 1"),
        ("name", "mine"),
        ("tag", "mine"),
        ("forget", ""),
    ],
)
@pytest.mark.parametrize("held_by", ["stack/1", "node/s01n1"])
async def test_nobody_takes_a_board_out_of_the_lock_of_another(
    bench: Bench, verb: str, words: str, held_by: str
) -> None:
    await lock(bench, held_by)
    before = bench.node("pi-11")
    bench.boards["pi-21"].die()  # and its slot is free
    await bench.ask("node/s02n1 place", "none by=bob")
    final = (await bench.ask(f"node/s01n1 {verb}", f"{words} by=bob"))[-1]
    assert final.phase is Phase.REFUSED
    assert "is locked by ann" in final.targets[0].error, final
    assert "unlock force" in final.targets[0].error
    after = bench.node("pi-11")
    assert (after.name, after.stack, after.slot, after.tags) == (
        before.name,
        before.stack,
        before.slot,
        before.tags,
    )
    mine = (await bench.ask(f"node/s01n1 {verb}", f"{words} by=ann"))[-1]
    assert mine.ok is True, mine


async def test_nobody_puts_a_board_into_the_locked_stack_of_another(
    bench: Bench,
) -> None:
    await lock(bench, "stack/1")
    await bench.ask("node/s01n1 place", "none by=ann")
    final = (await bench.ask("node/s02n1 place", "1 1 by=bob"))[-1]
    assert "stack 1 is locked by ann" in final.targets[0].error
