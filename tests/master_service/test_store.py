"""What was committed is there again, whatever happened in between."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Event, EventKind, Power
from master_service.rack.events import DAY_S, EventQuery, Retention
from master_service.rack.records import (
    CommandBegun,
    NodeRecord,
    OutletRecord,
    Saved,
    Tombstone,
)
from master_service.rack.store import PRUNE_EVERY, Store

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
