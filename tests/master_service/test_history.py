"""The event log: every line is kept, found again, and dropped when it is old."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Command,
    Event,
    EventKind,
    Phase,
    encode,
)
from broker.contract.topics import Topics
from master_service.rack.events import DAY_S, EventQuery, Retention
from master_service.rack.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.master_service.bench import Bench

T = Topics("lab")
NOW = 1_700_000_000.0


def line(**said: Any) -> Event:  # noqa: ANN401  # any field of Event
    fields: dict[str, Any] = {"seq": 1, "ts": NOW, "kind": EventKind.POWER, "text": "x"}
    return Event(**{**fields, **said})


async def texts(bench: Bench, where: str, words: str = "") -> list[str]:
    """Ask for events and return their texts, oldest first."""
    replies = await bench.ask(f"{where} events", words)
    assert replies[-1].ok is True, replies[-1].error
    return [event.text for reply in replies for event in reply.events]


async def test_everything_that_happened_is_there_oldest_first(bench: Bench) -> None:
    said = await texts(bench, "rack")
    assert said[0].startswith("master ")
    assert said[-4:] == [event.text for event in bench.events][-4:]
    assert "s01n1 was heard for the first time" in said


async def test_the_answer_holds_what_happened_a_moment_ago(bench: Bench) -> None:
    await bench.ask("node/s01n1 tag", "new by=ann")
    said = await texts(bench, "rack", "limit=1")
    assert said == ["tag node/s01n1 by ann: done, 1 of 1 done"]


async def test_asking_is_no_event(bench: Bench) -> None:
    before = await texts(bench, "rack")
    assert await texts(bench, "rack") == before


async def test_a_node_has_its_own_lines_and_those_of_its_stack(bench: Bench) -> None:
    await bench.ask("stack/1 lock", "1h by=ann")
    await bench.ask("node/s01n2 name", "other")
    said = await texts(bench, "node/s01n1")
    assert any(text.startswith("lock stack/1") for text in said)
    assert any(text.startswith("s01n1 was heard") for text in said)
    assert not any("s01n2" in text for text in said)


async def test_a_stack_has_the_lines_of_its_boards(bench: Bench) -> None:
    said = await texts(bench, "stack/2", "kind=registry,verdict")
    assert said == [
        f"{name} was heard for the first time" for name in ("s02n1", "s02n2")
    ]


async def test_a_board_that_was_forgotten_still_has_a_history(bench: Bench) -> None:
    await bench.ask("node/s01n1 forget")
    said = await texts(bench, "node/pi-11")
    assert "s01n1 was heard for the first time" in said


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("since=10s", ["late"]),
        ("since=1h until=10s", ["early"]),
        ("kind=power", ["early"]),
        ("kind=power,fault", ["early", "late"]),
        ("incident=i-7", ["late"]),
        ("correlation=c0ffee", ["early"]),
        ("limit=1", ["late"]),
    ],
)
async def test_lines_are_chosen_by_time_kind_incident_and_command(
    bench: Bench, words: str, found: list[str]
) -> None:
    store = bench.master._store  # noqa: SLF001  # lines with any time and cause
    early = line(seq=10_000, ts=bench.wall - 60, text="early", correlation="c0ffee")
    late = line(
        seq=10_001, ts=bench.wall, text="late", incident="i-7", kind=EventKind.FAULT
    )
    store.keep_event(early)
    store.keep_event(late)
    said = await texts(bench, "rack", words)
    assert [text for text in said if text in {"early", "late"}] == found


async def test_pages_turn_back_by_number(bench: Bench) -> None:
    (newest,) = (await bench.ask("rack events", "limit=1"))[-1].events
    before = (await bench.ask("rack events", f"before={newest.seq} limit=2"))[-1]
    assert [event.seq for event in before.events] == [newest.seq - 2, newest.seq - 1]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("yesterday", "events 'yesterday' is not understood; write <name>=<value>"),
        ("since=yesterday", "is not a moment; write how long ago (2h)"),
        ("kind=gossip", "is not known; known: verdict, command"),
        ("limit=many", "limit='many'"),
        ("since=", "is not understood"),
        ("since=2h until=3h", "since is later than until"),
    ],
)
async def test_a_question_that_is_none_is_refused_with_what_would_be(
    bench: Bench, words: str, error: str
) -> None:
    (reply,) = await bench.ask("rack events", words)
    assert reply.phase is Phase.REFUSED
    assert error in reply.error


@pytest.mark.parametrize("words", ["before=" + "9" * 60, "limit=-1", "since=nan"])
async def test_numbers_beyond_reason_are_answered_all_the_same(
    bench: Bench, words: str
) -> None:
    replies = await bench.ask("rack events", words)
    assert replies[-1].ok is True


async def test_a_long_answer_comes_in_parts_that_fit_the_contract(
    bench: Bench,
) -> None:
    store = bench.master._store  # noqa: SLF001  # more lines than a test could cause
    for seq in range(10_000, 10_500):
        store.keep_event(line(seq=seq, ts=bench.wall, text="ü" * 200))
    payload = encode(Command(id="q", args=("limit=500", "kind=power"), by="ann"))
    replies = await bench.ask("rack events", payload)
    assert [reply.part for reply in replies] == list(range(1, len(replies) + 1))
    assert {reply.parts for reply in replies} == {len(replies)}
    assert len(replies) > 10
    assert all(len(encode(reply)) <= MAX_PAYLOAD_BYTES for reply in replies)
    numbers = [event.seq for reply in replies for event in reply.events]
    assert numbers == list(range(10_000, 10_500))
    assert {(reply.id, reply.by) for reply in replies} == {("q", "ann")}


async def test_history_that_cannot_be_read_is_answered_so(bench: Bench) -> None:
    store = bench.master._store  # noqa: SLF001  # a card that fails
    store._queue.append(("INSERT INTO nowhere VALUES (1)", ()))  # noqa: SLF001  # likewise
    (reply,) = await bench.ask("rack events")
    assert reply.phase is Phase.FAILED
    assert "no such table: nowhere" in reply.error
    store._queue.clear()  # noqa: SLF001  # likewise


async def test_old_lines_go_by_age_and_by_number(tmp_path: Path) -> None:
    wall = time.time()
    store = Store(tmp_path / "master.db", retention=Retention(rows=100, days=2.0))
    await store.open()
    for seq in range(1, 400):
        age_s = 3 * DAY_S if seq <= 350 else 0.0
        store.keep_event(line(seq=seq, ts=wall - age_s))
    await store.commit()
    kept = await store.events(EventQuery(limit=1_000))
    assert len(kept) < 300, "nothing is cut while it runs"
    await store.close()
    store = Store(tmp_path / "master.db", retention=Retention(rows=100, days=2.0))
    await store.open()
    kept = await store.events(EventQuery(limit=1_000))
    # Not by age: a clock may be wrong at a start.
    assert [event.seq for event in kept] == list(range(399, 299, -1))
    await store.close()


@pytest.mark.parametrize(
    ("asked", "said", "meant"),
    [
        ({}, {}, True),
        ({"nodes": {"a"}}, {"node": "a"}, True),
        ({"nodes": {"a"}}, {"node": "b"}, False),
        ({"nodes": {"a"}}, {}, False),
        ({"nodes": {"a"}, "stacks": {3}}, {"stack": 3}, True),
        ({"nodes": {"a"}, "stacks": {3}}, {"stack": 4}, False),
        ({"nodes": {"a"}, "stacks": {3}}, {"stack": 3, "node": "b"}, False),
        ({"kinds": {EventKind.POWER}}, {}, True),
        ({"kinds": {EventKind.FAULT}}, {}, False),
        ({"incident": "i-1"}, {"incident": "i-1"}, True),
        ({"incident": "i-1"}, {}, False),
        ({"correlation": "c"}, {"correlation": "c"}, True),
        ({"correlation": "c"}, {"correlation": "d"}, False),
    ],
)
def test_a_query_means_a_line(
    asked: dict[str, Any], said: dict[str, Any], *, meant: bool
) -> None:
    frozen: Any = {
        k: frozenset(v) if isinstance(v, set) else v for k, v in asked.items()
    }
    assert EventQuery(**frozen).means(line(**said)) is meant
