"""Commits that overlap: nobody is told "on disk" too early, and nothing turns round."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.contract.messages import Power
from master_service.rack.records import CommandBegun, OutletRecord
from master_service.rack.store import Store


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
