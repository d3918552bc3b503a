"""Simulated boards are believable, distinct, and the same every time."""

import math

import pytest

from node_agent.simulator.settings import BoardPlace, boards
from node_agent.simulator.simulated_board import (
    HEAT_LAG_S,
    LoadModel,
    VitalsModel,
    boot_id,
    facts_of,
    mix,
    model_of,
    share,
    twin_of,
)

DAY_S = 86_400.0
SEEDS = range(1, 9)


def test_the_same_seed_gives_the_same_vitals_and_another_seed_others() -> None:
    first, again, other = VitalsModel(7, 4), VitalsModel(7, 4), VitalsModel(8, 4)
    assert first.vitals(5000.0, 0.0, None) == again.vitals(5000.0, 0.0, None)
    assert first.vitals(5000.0, 0.0, None) != other.vitals(5000.0, 0.0, None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_week_of_vitals_stays_within_what_a_pi_can_measure(seed: int) -> None:
    model = VitalsModel(seed, 4)
    for hour in range(7 * 24 * 4):
        vitals = model.vitals(hour * 900.0, 0.0, None)
        assert 0 < (vitals.cpu_percent or 0) <= 100
        assert 30 < (vitals.temperature_c or 0) < 85
        assert 0 < (vitals.memory_percent or 0) < 98
        assert 0 < (vitals.disk_percent or 0) <= 96
        assert all(0 <= average < 5 for average in vitals.load or (-1,))


@pytest.mark.parametrize("lag_s", [60.0, HEAT_LAG_S, 300.0])
def test_the_lagged_load_is_what_integrating_the_load_gives(lag_s: float) -> None:
    load, step_s = LoadModel(3), 0.25
    followed, now_s = load.lagged(0.0, lag_s), 0.0
    for step in range(1, int(1800 / step_s)):
        now_s = step * step_s
        pull = load.level(now_s - step_s) - followed
        followed += pull * (1 - math.exp(-step_s / lag_s))
    assert followed == pytest.approx(load.lagged(now_s, lag_s), abs=0.6)


def test_bursts_come_now_and_then_on_every_board() -> None:
    for seed in SEEDS:
        levels = [LoadModel(seed).level(second * 10.0) for second in range(8640)]
        busy = sum(level > 30 for level in levels) / len(levels)
        assert 0.01 < busy < 0.4


def test_temperature_rises_after_the_load_and_not_with_it() -> None:
    load = LoadModel(1)
    burst = next(iter(load.bursts(DAY_S, DAY_S)))
    model = VitalsModel(1, 4)
    begin, middle = burst.start_s, min(burst.end_s, burst.start_s + 60.0) - 0.1
    early = model.temperature_c(begin + 1.0, DAY_S)
    assert model.temperature_c(middle, DAY_S) > early + 1.0
    assert abs(early - model.temperature_c(begin - 1.0, DAY_S)) < 1.5


def test_counters_never_fall_while_a_board_runs_and_begin_anew_with_a_boot() -> None:
    model = VitalsModel(5, 4)
    readings = [
        model.vitals(100.0 + second, 100.0, None) for second in range(0, 600, 7)
    ]
    for counter in ("rx_bytes", "tx_bytes", "disk_written_bytes"):
        values = [getattr(reading, counter) for reading in readings]
        assert values[0] == 0
        assert values == sorted(values)
        assert values[-1] > values[0]


def test_the_disk_fills_slowly() -> None:
    model = VitalsModel(5, 4)
    first = model.vitals(0.0, 0.0, None).disk_percent or 0
    later = model.vitals(5 * DAY_S, 0.0, None).disk_percent or 0
    assert first < later < first + 10


def test_a_board_is_busy_and_cool_just_after_its_boot() -> None:
    model = VitalsModel(5, 4)
    fresh, settled = model.vitals(3000.0, 2999.0, None), model.vitals(3000.0, 0.0, None)
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


def test_a_rack_is_a_mix_of_models() -> None:
    models = {model_of(mix(1, place.stack, place.slot)).name for place in boards(12, 4)}
    assert len(models) >= 4
    assert all(model.startswith("Raspberry Pi ") for model in models)


def test_hardware_addresses_are_raspberry_pi_ones_and_all_differ() -> None:
    places = boards(300, 4)
    macs = [
        facts_of(place, mix(1, place.stack, place.slot)).macs[0] for place in places
    ]
    assert len(set(macs)) == len(macs)
    assert {mac[:8] for mac in macs} <= {"b8:27:eb", "dc:a6:32", "e4:5f:01", "d8:3a:dd"}
    assert all(len(mac) == 17 for mac in macs)


def test_a_twin_has_the_serial_and_nothing_else() -> None:
    mine, theirs = facts_of(BoardPlace(2, 3), 5), twin_of(BoardPlace(2, 3), 5)
    assert theirs.serial == mine.serial
    assert theirs.hostname == "s02n3-clone"
    assert theirs.macs != mine.macs
    assert theirs.addresses != mine.addresses
