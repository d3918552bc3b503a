"""The wall clock is set by years under a running master, or is wrong at its start."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Event, EventKind, Phase
from master_service.rack.command_run import asked_before
from master_service.rack.events import DAY_S, EventQuery, Retention
from master_service.rack.records import PartRecord
from master_service.rack.store import PRUNE_EVERY, Store
from master_service.rack.times import Moment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.master_service.bench import Bench

YEAR_S = 365 * DAY_S
JUMPS = [23 * DAY_S, -23 * DAY_S, 70 * YEAR_S, -50 * YEAR_S]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_lock_lasts_its_span_across_a_jump_of_the_clock(
    bench: Bench, jump_s: float
) -> None:
    await bench.ask("node/s01n1 lock", "1h fan by=ann")
    await bench.pass_time(30)
    bench.clock_jump_s += jump_s
    await bench.pass_time(30)
    lock = bench.node("pi-11").lock
    assert lock is not None
    assert lock.until - bench.wall == pytest.approx(3540, abs=2)
    (said,) = [e.text for e in bench.events if "clock was set" in e.text]
    assert said.startswith(f"the clock was set by {'+' if jump_s > 0 else '-'}")
    bench.now += 3541
    await bench.pass_time(2)
    assert bench.node("pi-11").lock is None


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_lock_keeps_its_rest_when_the_clock_is_wrong_at_the_start(
    bench: Bench, jump_s: float
) -> None:
    await bench.ask("node/s01n1 lock", "1h fan by=ann")
    await bench.pass_time(5)
    bench.clock_synced = False

    def jump() -> None:
        bench.clock_jump_s += jump_s

    await bench.restart(jump)
    lock = bench.node("pi-11").lock
    assert lock is not None
    assert 0 < lock.until - bench.wall <= 3600
    bench.clock_jump_s, bench.clock_synced = 0.0, True
    await bench.pass_time(5)
    lock = bench.node("pi-11").lock
    assert lock is not None
    assert 3000 < lock.until - bench.wall <= 3600


async def test_a_small_step_is_no_event(bench: Bench) -> None:
    bench.clock_jump_s += 20
    await bench.pass_time(3)
    assert not [e for e in bench.events if "clock was set" in e.text]


@pytest.mark.parametrize("synced", [True, False, None])
async def test_expires_is_sent_and_heeded_only_while_the_clock_is_right(
    bench: Bench, *, synced: bool | None
) -> None:
    bench.clock_synced = synced
    bench.now += 601
    await bench.pass_time(1)
    await bench.all_come()
    await bench.ask("node/s01n1 ping")
    (order,) = bench.boards["pi-11"].orders
    assert (order.expires is None) is (synced is not True)
    assert order.ttl_s > 0
    late = f'{{"id": "late", "expires": {bench.wall - 5}}}'
    (reply,) = (await bench.ask("node/s01n2 ping", late))[:1]
    expired = Phase.EXPIRED if synced else Phase.ACCEPTED
    assert reply.phase is expired


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_an_outlet_waits_no_longer_than_its_pause_after_a_jump_back(
    bench: Bench, jump_s: float
) -> None:
    fed = bench.master.rack.panel.outlets["stack-1"]
    fed.changed, fed.since = bench.wall, None
    at = bench.master._moment()  # noqa: SLF001  # both clocks
    bench.clock_jump_s += jump_s
    await bench.pass_time(1)
    later = bench.master._moment()  # noqa: SLF001  # what the service reads the clock by
    assert 0 <= fed.unchanged_s(later) <= later.now - at.now + 1


def line(seq: int, ts: float) -> Event:
    return Event(seq=seq, ts=ts, kind=EventKind.SERVICE, text=f"line {seq}")


async def lines(path: Path, *, wall: float, synced: bool, more: int = 0) -> int:
    """Open the store with a clock, write some lines, and return how many it has."""
    store = Store(
        path,
        retention=Retention(days=365),
        wall=lambda: wall,
        clock_synced=lambda: synced,
    )
    saved = await store.open()
    for seq in range(saved.seq, saved.seq + more):
        store.keep_event(line(seq, wall))
    await store.commit()
    count = len(await store.events(EventQuery(limit=5_000)))
    await store.close()
    return count


@pytest.mark.parametrize("wrong", [0.0, 86_400.0, 1.7e9 + 73 * YEAR_S])
async def test_a_wrong_clock_at_one_start_prunes_nothing(
    tmp_path: Path, wrong: float
) -> None:
    path = tmp_path / "master.db"
    assert await lines(path, wall=1.7e9, synced=True, more=2_000) == 2_000
    assert await lines(path, wall=wrong, synced=True) == 2_000
    assert await lines(path, wall=wrong, synced=False, more=PRUNE_EVERY) == 2_200
    assert await lines(path, wall=1.7e9, synced=True, more=PRUNE_EVERY) >= 2_000


async def test_old_lines_go_while_the_clock_is_right(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    await lines(path, wall=1.7e9, synced=True, more=2_000)
    later = 1.7e9 + 400 * DAY_S
    assert await lines(path, wall=later, synced=True, more=PRUNE_EVERY) < 1_300


async def test_a_lock_of_an_older_release_has_no_rest_and_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "master.db"
    await lines(path, wall=1.7e9, synced=True)
    database = sqlite3.connect(path)
    old = '{"scope":"stack/1","by":"ann","until":1700003600.0}'
    with database:
        database.execute("INSERT INTO lock VALUES ('stack/1', ?)", (old,))
    database.close()
    store = Store(path, wall=lambda: 1.7e9)
    (lock,) = (await store.open()).locks
    await store.close()
    assert (lock.by, lock.until) == ("ann", 1_700_003_600.0)


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_command_that_goes_on_took_no_years_when_the_clock_was_set(
    bench: Bench, jump_s: float
) -> None:
    await bench.all_come()
    await bench.pass_time(600)
    await bench.ask("node/s01n1 reboot")
    await bench.pass_time(20)
    bench.clock_jump_s += jump_s
    await bench.restart()
    await bench.pass_time(1_200)
    reply = bench.replies("node/s01n1 reboot")[-1]
    assert reply.phase.final
    assert 20 <= reply.duration_s < 1_300


def test_the_age_of_a_command_is_the_shorter_span_that_a_clock_tells() -> None:
    record = PartRecord(
        id="a", verb="reboot", scope="node/x", asked=1e9, asked_at=500.0
    )

    def age_s(now: float, wall: float, told: PartRecord = record) -> float:
        return now - asked_before(told, Moment(now, wall)).at.now

    assert age_s(510, 1e9 + 10) == 10
    assert age_s(510, 1e9 + YEAR_S) == 10, "the wall clock was set forward"
    assert age_s(510, 1e9 - YEAR_S) == 10, "the wall clock was set back"
    assert age_s(60, 1e9 + 90) == 90, "the machine was started again"
    assert age_s(60, 1e9 - YEAR_S) == 60, "likewise, and its clock is wrong"
    older = PartRecord(id="a", verb="reboot", scope="node/x", asked=1e9)
    assert age_s(510, 1e9 + 10, older) == 10
