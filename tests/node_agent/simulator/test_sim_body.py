"""Invented vitals are believable, distinct, and the same every time."""

import math

import pytest

from node_agent.simulator.activity import Activity
from node_agent.simulator.body import HEAT_LAG_S, Body
from node_agent.simulator.chance import boot_id, share

DAY_S = 86_400.0
SEEDS = range(1, 9)


def test_the_same_seed_gives_the_same_vitals_and_another_seed_others() -> None:
    first, again, other = Body(7, 4), Body(7, 4), Body(8, 4)
    assert first.vitals(5000.0, 0.0, None) == again.vitals(5000.0, 0.0, None)
    assert first.vitals(5000.0, 0.0, None) != other.vitals(5000.0, 0.0, None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_week_of_vitals_stays_within_what_a_pi_can_measure(seed: int) -> None:
    body = Body(seed, 4)
    for hour in range(7 * 24 * 4):
        vitals = body.vitals(hour * 900.0, 0.0, None)
        assert 0 < (vitals.cpu_percent or 0) <= 100
        assert 30 < (vitals.temperature_c or 0) < 85
        assert 0 < (vitals.memory_percent or 0) < 98
        assert 0 < (vitals.disk_percent or 0) <= 96
        assert all(0 <= load < 5 for load in vitals.load or (-1,))


@pytest.mark.parametrize("lag_s", [60.0, HEAT_LAG_S, 300.0])
def test_the_lagged_load_is_what_integrating_the_load_gives(lag_s: float) -> None:
    activity, step_s = Activity(3), 0.25
    followed, now_s = activity.lagged(0.0, lag_s), 0.0
    for step in range(1, int(1800 / step_s)):
        now_s = step * step_s
        pull = activity.level(now_s - step_s) - followed
        followed += pull * (1 - math.exp(-step_s / lag_s))
    assert followed == pytest.approx(activity.lagged(now_s, lag_s), abs=0.6)


def test_bursts_come_now_and_then_on_every_board() -> None:
    for seed in SEEDS:
        levels = [Activity(seed).level(second * 10.0) for second in range(8640)]
        busy = sum(level > 30 for level in levels) / len(levels)
        assert 0.01 < busy < 0.4


def test_temperature_rises_after_the_load_and_not_with_it() -> None:
    activity = Activity(1)
    burst = next(iter(activity.bursts(DAY_S, DAY_S)))
    body = Body(1, 4)
    begin, middle = burst.start_s, min(burst.end_s, burst.start_s + 60.0) - 0.1
    early = body.temperature_c(begin + 1.0, DAY_S)
    assert body.temperature_c(middle, DAY_S) > early + 1.0
    assert abs(early - body.temperature_c(begin - 1.0, DAY_S)) < 1.5


def test_counters_never_fall_while_a_board_runs_and_begin_anew_with_a_boot() -> None:
    body = Body(5, 4)
    readings = [body.vitals(100.0 + second, 100.0, None) for second in range(0, 600, 7)]
    for counter in ("rx_bytes", "tx_bytes", "disk_written_bytes"):
        values = [getattr(reading, counter) for reading in readings]
        assert values[0] == 0
        assert values == sorted(values)
        assert values[-1] > values[0]


def test_the_disk_fills_slowly() -> None:
    body = Body(5, 4)
    first = body.vitals(0.0, 0.0, None).disk_percent or 0
    later = body.vitals(5 * DAY_S, 0.0, None).disk_percent or 0
    assert first < later < first + 10


def test_a_board_is_busy_and_cool_just_after_its_boot() -> None:
    body = Body(5, 4)
    fresh, settled = body.vitals(3000.0, 2999.0, None), body.vitals(3000.0, 0.0, None)
    assert fresh.uptime_s == 1.0
    assert (fresh.cpu_percent or 0) > (settled.cpu_percent or 0) + 20
    assert (fresh.temperature_c or 0) < (settled.temperature_c or 0)


def test_chance_is_repeatable_and_spread_evenly() -> None:
    drawn = [share(9, key) for key in range(10_000)]
    assert drawn == [share(9, key) for key in range(10_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02)
    assert all(0 <= value < 1 for value in drawn)


def test_a_boot_id_looks_like_the_kernels_and_every_boot_has_its_own() -> None:
    assert boot_id(1, 0) == boot_id(1, 0)
    assert boot_id(1, 0) != boot_id(1, 1)
    assert [len(part) for part in boot_id(1, 0).split("-")] == [8, 4, 4, 4, 12]
    assert boot_id(1, 0)[14] == "4"
