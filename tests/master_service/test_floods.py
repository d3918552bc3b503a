"""One board or one asker cannot erase the history of others, nor drown the answers."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Event, EventKind, Phase
from broker.contract.topics import NodeLeaf
from master_service.rack.events import (
    ALL_COMMAND_LINES_AT_ONCE,
    Draft,
    EventQuery,
    HistoryLimit,
    Retention,
)
from master_service.rack.rate_limit import (
    COMMANDS_AT_ONCE,
    KEYS_AT_MOST,
    REFUSALS_AT_ONCE,
    RateLimit,
)
from master_service.rack.store import PRUNE_EVERY, Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.master_service.bench import Bench

HOUR_S = 3600.0
OUTAGE = (
    "s02n2 is late: its connection broke; asking the board itself",
    "s02n2 is lost: its connection broke, and no answer to ping",
    "s02n2 is online",
)


async def of_boards(bench: Bench) -> Counter[str]:
    return Counter(event.node for event in bench.events if event.node)


@pytest.mark.timeout(120)
async def test_an_hour_of_a_flapping_and_a_flooding_board_costs_20_lines_each(
    bench: Bench,
) -> None:
    await bench.all_come()
    before = len(bench.events)
    flapping, flooding = bench.boards["pi-11"], bench.boards["pi-12"]
    steps = 360
    for step in range(steps):
        bench.now += HOUR_S / steps
        if step % 2:
            flapping.come()
        else:
            flapping.die()
        for change in range(3):
            word = b"online" if change % 2 else b"offline"
            flooding.say(NodeLeaf.STATUS, word, retain=True)
            flooding.details(hostname=f"h{step}-{change}", boot_id=f"b{step}-{change}")
        quiet, dying = bench.boards["pi-21"], bench.boards["pi-22"]
        quiet.beat()
        match step % 180:
            case 20:
                dying.die()
            case 40:
                dying.come()
            case phase if not 20 < phase < 40:
                dying.beat()
        await bench.calm()
        bench.master.tick()
        await bench.calm()
        if step % 60 == 10:
            await bench.ask("node/pi-21 name", f"attic-{step // 60}")
    lines = Counter(event.node for event in bench.events[before:] if event.node)
    assert lines["pi-11"] <= 20
    assert lines["pi-12"] <= 20
    texts = [event.text for event in bench.events]
    assert any("were held back; the last: " in text for text in texts)
    others = [e for e in bench.events[before:] if e.node in {"pi-21", "pi-22"}]
    # Of the others every line is there, in its order, published and on disk.
    named = ["name node/pi-21: done, 1 of 1 done"]
    hour = [*named, *OUTAGE, *named, *named]
    assert [event.text for event in others] == [*hour, *hour]
    kept = [
        event
        for board in ("pi-21", "pi-22")
        for reply in await bench.ask(f"node/{board} events", "limit=500")
        for event in reply.events
    ]
    assert [one for one in sorted(kept, key=_seq) if one.seq >= others[0].seq] == others


def _seq(event: Event) -> int:
    return event.seq


def line(seq: int, node: str) -> Event:
    return Event(seq=seq, ts=1.7e9, kind=EventKind.VERDICT, text="x", node=node)


async def test_the_oldest_lines_of_the_loudest_board_go_first(tmp_path: Path) -> None:
    store = Store(
        tmp_path / "master.db", retention=Retention(rows=1_000), wall=lambda: 1.7e9
    )
    await store.open()
    for seq in range(1, 101):
        store.keep_event(line(seq, "quiet"))
    for seq in range(101, 101 + 20 * PRUNE_EVERY):
        store.keep_event(line(seq, "loud"))
    await store.commit()
    kept = Counter(one.node for one in await store.events(EventQuery(limit=5_000)))
    await store.close()
    assert kept["quiet"] == 100
    assert kept["loud"] <= 900 + PRUNE_EVERY


async def test_a_storm_of_commands_is_refused_early_and_others_are_answered(
    bench: Bench,
) -> None:
    await bench.all_come()
    before = len(bench.events)
    storm = '{{"id": "s{}", "by": "bob"}}'
    replies = 0
    for count in range(3_000):
        payload = storm.format(count).encode()
        bench.broker.publish("pirack/v1/lab/node/s01n1/cmd/ping", payload, qos=1)
    await bench.calm()
    found = bench.replies("node/s01n1 ping")
    replies = len([reply for reply in found if reply.phase is Phase.REFUSED])
    assert 0 < replies <= REFUSALS_AT_ONCE
    assert len(bench.boards["pi-11"].orders) == COMMANDS_AT_ONCE
    refused = [r for r in found if "more than 20 commands a second" in r.error]
    assert refused
    (first,) = (await bench.ask("node/s01n2 ping", '{"id": "mine", "by": "ann"}'))[:1]
    assert first.phase is Phase.ACCEPTED
    assert len(bench.events) - before < 400


def test_who_asks_seldom_is_never_held_back() -> None:
    limit = RateLimit(2, 0.5)
    assert all(limit.take("a", now) for now in range(0, 200, 2))
    assert [limit.take("b", 0) for _ in range(3)] == [True, True, False]


def test_a_million_names_take_no_more_memory_than_ten_thousand() -> None:
    limit = RateLimit(1, 1)
    for count in range(2 * KEYS_AT_MOST):
        limit.take(str(count), 0)
    assert len(limit._buckets) == KEYS_AT_MOST  # noqa: SLF001  # what must be bounded


async def test_a_question_about_the_history_stands_before_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "master.db", wall=lambda: 1.7e9)
    await store.open()
    store.keep_event(line(1, "pi-11"))
    await store.commit()
    go_on = threading.Event()

    def waits(_: EventQuery, __: Event) -> bool:
        return go_on.wait(20)

    monkeypatch.setattr(EventQuery, "means", waits)
    question = asyncio.ensure_future(store.events(EventQuery()))
    await asyncio.sleep(0)
    store.keep_event(line(2, "pi-11"))
    await asyncio.wait_for(store.commit(), 5)
    assert not question.done()
    go_on.set()
    assert len(await question) in {1, 2}
    await store.close()


def test_an_asker_that_changes_its_name_each_time_is_held_back_too() -> None:
    limit = HistoryLimit()
    lines: list[Draft] = []
    for number in range(10_000):
        draft = Draft(
            kind=EventKind.COMMAND, text=f"ping {number}", by=f"asker-{number}"
        )
        lines += limit.passed([draft], now=number / 1_000)
    assert len(lines) <= ALL_COMMAND_LINES_AT_ONCE + 20
    said = [line.text for line in lines]
    assert any("commands of all askers: too many lines" in text for text in said)
    later = limit.passed([], now=10_000.0)
    assert "held back" in later[0].text


async def test_a_damaged_line_costs_that_line_of_an_answer(tmp_path: Path) -> None:
    store = Store(
        tmp_path / "master.db", retention=Retention(100, 30), wall=lambda: 9.0
    )
    await store.open()
    for seq in (1, 2):
        store.keep_event(
            Event(seq=seq, ts=1.0, kind=EventKind.SERVICE, text=f"line {seq}")
        )
    await store.commit()
    with contextlib.closing(sqlite3.connect(tmp_path / "master.db")) as database:
        database.execute("UPDATE event SET record = '{' WHERE seq = 1")
        database.commit()
    found = await store.events(EventQuery(limit=10))
    await store.close()
    assert [event.seq for event in found] == [2]
