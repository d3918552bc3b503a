"""What was committed is there again, whatever happened in between."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Event, EventKind, Power
from master_service.rack import store as store_module
from master_service.rack.events import DAY_S, EventQuery, Retention
from master_service.rack.records import (
    CommandBegun,
    NodeRecord,
    OutletRecord,
    Saved,
    Tombstone,
)
from master_service.rack.store import PRUNE_EVERY, SCHEMA_VERSION, Store, StoreError
from tests.master_service.bench import Bench

NODE = NodeRecord("pi-00000001", "s01n1", 1, 1, ("web",), known=True, boot_s=20.5)
OUTLET = OutletRecord("stack-1", Power.OFF, Power.ON, 1_700_000_000.0)


def event(seq: int) -> Event:
    return Event(seq=seq, ts=time.time(), kind=EventKind.SERVICE, text=f"line {seq}")


async def numbers(store: Store, query: EventQuery = EventQuery()) -> list[int]:  # noqa: B008  # frozen
    return [one.seq for one in await store.events(query)]


async def reopened(path: Path) -> Saved:
    store = Store(path)
    saved = await store.open()
    await store.close()
    return saved


async def test_everything_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "master.db")
    assert await store.open() == Saved()
    store.put(NODE)
    store.put(OUTLET)
    store.put(Tombstone("pi-dead0000"))
    store.put(CommandBegun("reboot-1"))
    store.keep_event(event(1))
    await store.close()
    saved = await reopened(tmp_path / "new" / "master.db")
    assert saved.nodes == (NODE,)
    assert saved.outlets == (OUTLET,)
    assert saved.tombstones == ("pi-dead0000",)
    assert saved.done == ("reboot-1",)
    assert saved.seq == 2


async def test_a_forgotten_node_goes_from_disk_when_its_history_does(
    tmp_path: Path,
) -> None:
    wall = time.time() - 30 * DAY_S
    store = Store(tmp_path / "master.db", wall=lambda: wall)
    await store.open()
    store.put(NODE)
    store.put(Tombstone(NODE.id))
    await store.close()
    assert (await reopened(tmp_path / "master.db")).nodes == (NODE,)
    store = Store(tmp_path / "master.db", retention=Retention(days=29))
    saved = await store.open()
    assert saved.nodes == (NODE,)  # a clock that is wrong at the start drops nothing
    for seq in range(saved.seq, saved.seq + PRUNE_EVERY):
        store.keep_event(Event(seq=seq, ts=0.0, kind=EventKind.SERVICE, text="x"))
    await store.close()
    assert (await reopened(tmp_path / "master.db")).nodes == ()
    assert (await reopened(tmp_path / "master.db")).tombstones == (NODE.id,)


async def test_what_is_not_committed_is_not_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "master.db")
    await store.open()
    store.put(NODE)
    assert store.waiting == 1
    await store.commit()
    assert store.waiting == 0
    await store.close()
    await store.close()


async def test_events_are_read_newest_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "master.db")
    await store.open()
    for seq in range(1, 6):
        store.keep_event(event(seq))
    await store.commit()
    assert await numbers(store, EventQuery(limit=2)) == [5, 4]
    assert await numbers(store, EventQuery(before=4, limit=9)) == [3, 2, 1]
    await store.close()


async def test_only_so_many_events_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "master.db", retention=Retention(rows=3))
    await store.open()
    for seq in range(1, 11):
        store.keep_event(event(seq))
    await store.close()
    store = Store(tmp_path / "master.db", retention=Retention(rows=3))
    await store.open()
    assert await numbers(store) == [10, 9, 8]
    await store.close()


async def test_a_broken_file_is_kept_aside_and_named(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    path.write_bytes(b"this is no database, it is a shopping list\n" * 100)
    store = Store(path)
    saved = await store.open()
    assert "is broken" in saved.problem
    store.put(NODE)
    await store.close()
    (aside,) = tmp_path.glob("master.db.broken-*")  # noqa: ASYNC240  # a test waits for nobody
    assert aside.read_bytes().startswith(b"this is no database")
    assert (await reopened(path)).nodes == (NODE,)


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "master.db")
    with pytest.raises(ConfigError, match="cannot be written"):
        await store.open()


async def test_a_failed_commit_keeps_what_it_could_not_write(tmp_path: Path) -> None:
    store = Store(tmp_path / "master.db")
    await store.open()
    other = sqlite3.connect(tmp_path / "master.db", isolation_level=None, timeout=0)
    other.execute("DROP TABLE node")
    store.put(NODE)
    with pytest.raises(sqlite3.OperationalError):
        await store.commit()
    assert store.waiting == 1
    other.execute("CREATE TABLE node (id TEXT PRIMARY KEY, record BLOB NOT NULL)")
    other.close()
    await store.close()
    assert (await reopened(tmp_path / "master.db")).nodes == (NODE,)


_WRITER = """
import asyncio, sys
from pathlib import Path
from broker.contract.messages import Event, EventKind
from master_service.rack.records import NodeRecord
from master_service.rack.events import EventQuery, Retention
from master_service.rack.store import Store

async def main():
    store = Store(Path(sys.argv[1]))
    saved = await store.open()
    seq = saved.seq
    while True:
        store.put(NodeRecord("pi-1", f"n{seq}"))
        store.put(NodeRecord("pi-2", f"n{seq}"))
        store.keep_event(Event(seq=seq, ts=1.0, kind=EventKind.SERVICE, text="x"))
        await store.commit()
        print(seq, flush=True)
        seq += 1

asyncio.run(main())
"""


@pytest.mark.system
async def test_kill_at_any_moment_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "master.db"
    last_seq = 0
    for lines in (1, 7, 23):
        writer = subprocess.Popen(  # noqa: ASYNC220  # a few lines are read from it, then it is killed
            [sys.executable, "-c", _WRITER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        assert writer.stdout is not None
        seen = [int(writer.stdout.readline()) for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=10)
        writer.stdout.close()
        assert seen[0] > last_seq, "an event number was given twice"
        saved = await reopened(path)
        assert not saved.problem
        names = {node.name for node in saved.nodes}
        assert len(names) == 1, "half a transaction is on disk"
        assert int(names.pop()[1:]) >= seen[-1]
        last_seq = seen[-1]


OLD = Path(__file__).parent / "stored" / "master-bb7333b.sql"


def make_old(path: Path) -> None:
    database = sqlite3.connect(path)
    database.executescript(OLD.read_text())
    database.close()


def version(path: Path) -> int:
    database = sqlite3.connect(path)
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    database.close()
    return found


async def test_a_database_of_bb7333b_is_opened_and_kept(
    tmp_path: Path, make_bench: Callable[..., Bench]
) -> None:
    make_old(tmp_path / "master.db")
    bench = make_bench()
    bench.now += 60
    assert bench.folder == tmp_path
    await bench.master.start()
    await bench.calm()
    assert version(tmp_path / "master.db") == SCHEMA_VERSION
    registry = bench.master.rack.registry
    assert registry.nodes["pi-11"].name == "attic"
    assert registry.nodes["pi-21"].tags == ("db", "web")
    assert registry.tombstones == {"pi-22"}
    lock = bench.node("pi-12").lock
    assert lock is not None
    assert lock.by == "ann"
    assert bench.master.rack.panel.outlets["stack-2"].seen is Power.ON
    (reply,) = await bench.ask("node/attic reboot", '{"id": "boot-1"}')
    assert "was used before" in reply.error
    kept = await bench.master._store.events(EventQuery(limit=500))  # noqa: SLF001  # what is on disk
    assert {event.seq for event in kept} >= set(range(1, 10))
    assert not [e for e in bench.events if e.kind is EventKind.FAULT]
    await bench.pass_time(400)
    assert bench.final("stack/2 power").id == "cut-1", "it was under way"
    await bench.master.stop()


async def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    make_old(path)
    database = sqlite3.connect(path)
    database.executescript("CREATE TABLE novelty (x); PRAGMA user_version=99;")
    database.close()
    before = path.read_bytes()  # a test waits for nobody
    with pytest.raises(ConfigError, match=r"newer release.*schema 99"):
        await Store(path).open()
    assert path.read_bytes() == before  # likewise
    assert [one.name for one in tmp_path.iterdir()] == ["master.db"]  # noqa: ASYNC240  # likewise


async def test_a_step_of_a_migration_is_done_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "master.db"
    make_old(path)
    good = "CREATE TABLE half (x);"
    steps = (*store_module.MIGRATIONS, (2, f"{good} DROP TABLE nowhere;"))
    monkeypatch.setattr(store_module, "MIGRATIONS", steps)
    monkeypatch.setattr(store_module, "SCHEMA_VERSION", 2)
    with pytest.raises(ConfigError, match="nowhere"):
        await Store(path).open()
    assert version(path) == 1
    monkeypatch.setattr(
        store_module, "MIGRATIONS", (*store_module.MIGRATIONS[:1], (2, good))
    )
    store = Store(path)
    saved = await store.open()
    await store.close()
    assert version(path) == 2
    assert len(saved.nodes) == 4


async def test_an_empty_file_is_put_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    path.touch()
    store = Store(path)
    saved = await store.open()
    await store.close()
    assert "is broken (it is empty); kept as" in saved.problem
    assert len(list(tmp_path.glob("master.db.broken-*"))) == 1  # noqa: ASYNC240  # a test waits for nobody


async def test_a_first_start_says_nothing_of_the_kind(tmp_path: Path) -> None:
    store = Store(tmp_path / "master.db")
    assert (await store.open()).problem == ""
    await store.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
async def test_a_disk_without_room_is_no_mistake_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match="cannot be written: no room"):
        await Store(tmp_path / "x" / "master.db").open()


class Slow:
    """Holds up the writing of a store until it is told to go on."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = asyncio.Event()
        self.errors: list[str] = []
        self._go_on = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._write = store._write  # noqa: SLF001  # the card is what is slow here
        monkeypatch.setattr(store, "_write", self.write)

    def write(self, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._go_on.wait(30), "nobody let the card go on"
        if self.errors:
            raise sqlite3.OperationalError(self.errors.pop())
        self._write(statements)

    def go_on(self) -> None:
        self._go_on.set()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "master.db")
    await store.open()
    yield store
    await store.close()


def wants(level: Power) -> OutletRecord:
    return OutletRecord("stack-1", level)


async def test_who_comes_second_waits_for_rows_that_the_first_is_writing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Slow(store, monkeypatch)
    store.put(CommandBegun("reboot-1"))
    first = asyncio.create_task(store.commit())
    await card.begun.wait()
    second = asyncio.create_task(store.commit())
    await asyncio.sleep(0)
    assert not second.done(), "its row is not on disk yet"
    card.go_on()
    await asyncio.gather(first, second)


async def test_a_failed_commit_does_not_bring_an_older_row_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Slow(store, monkeypatch)
    card.errors.append("disk is full")
    store.put(wants(Power.ON))
    first = asyncio.create_task(store.commit())
    await card.begun.wait()
    store.put(wants(Power.OFF))
    second = asyncio.create_task(store.commit())
    await asyncio.sleep(0)
    card.go_on()
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        await first
    await second
    await store.close()
    reopened = Store(tmp_path / "master.db")
    saved = await reopened.open()
    await reopened.close()
    assert saved.outlets == (wants(Power.OFF),)


async def test_a_commit_that_is_cancelled_loses_no_row(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Slow(store, monkeypatch)
    card.errors.append("disk is full")
    store.put(CommandBegun("reboot-1"))
    commit = asyncio.create_task(store.commit())
    await card.begun.wait()
    commit.cancel()
    await asyncio.gather(commit, return_exceptions=True)
    card.go_on()
    await store.close()
    reopened = Store(tmp_path / "master.db")
    saved = await reopened.open()
    await reopened.close()
    assert saved.done == ("reboot-1",)
