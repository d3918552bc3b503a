"""A database of another release, or of another life: kept, left alone, or put aside."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import EventKind, Power
from master_service.rack import store as store_module
from master_service.rack.events import EventQuery
from master_service.rack.store import SCHEMA_VERSION, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

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
