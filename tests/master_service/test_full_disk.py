"""A card that is full: said once, refused in words, and no memory without end."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from broker.contract.messages import Event, EventKind
from master_service.rack import store as store_module
from master_service.rack.records import CommandBegun
from master_service.rack.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.master_service.bench import Bench


async def test_it_is_logged_when_it_begins_and_when_it_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = bench.master._store  # noqa: SLF001  # the disk is what fails here
    real = store._write  # noqa: SLF001  # as above

    def full(_statements: object) -> None:
        text = "database or disk is full"
        raise sqlite3.OperationalError(text)

    monkeypatch.setattr(store, "_write", full)
    for number in range(600):
        bench.master.rack.outbox.note(EventKind.SERVICE, f"line {number}")
    await bench.pass_time(100)
    said = [one for one in caplog.records if "cannot be written" in one.message]
    assert len(said) == 1
    monkeypatch.setattr(store, "_write", real)
    await bench.pass_time(31)
    assert "is written again" in caplog.text
    assert store.waiting == 0


async def test_history_that_nobody_can_write_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "WAITING_AT_MOST", 10)
    store = Store(tmp_path / "master.db")
    await store.open()
    for seq in range(1, 100):
        line = Event(seq=seq, ts=1.0, kind=EventKind.SERVICE, text="a line")
        store.keep_event(line)
    assert store.waiting <= 11
    store.put(CommandBegun("reboot-1"))
    assert store.waiting <= 13, "what a command needs is queued all the same"
    await store.close()
    saved = await (again := Store(tmp_path / "master.db")).open()
    await again.close()
    assert saved.seq == 100, "no number is given twice"
    assert saved.done == ("reboot-1",)
