from collections.abc import Callable
from typing import Any

import pytest

from broker.contract.messages import (
    Details,
    Heartbeat,
    NodeState,
    Phase,
    Power,
    Running,
    Status,
    Throttled,
    ThrottleFlag,
    Verdict,
)
from dashboard.live.tile import (
    NO_VALUE,
    Levels,
    State,
    Tile,
    TileLevel,
    grade,
    make_tile,
)
from dashboard.server.settings import Thresholds

Make = Callable[..., Any]


class Maker:
    """Makes tiles of nodes that are fine but for what a test says."""

    def __init__(self, state: Make, beat: Make, details: Make) -> None:
        self.state, self.beat, self.details = state, beat, details

    def tile(
        self,
        state: dict[str, Any] | None = None,
        beat: dict[str, Any] | None = None,
        **more: object,
    ) -> Tile:
        known: NodeState = self.state(**(state or {}))
        heard: Heartbeat = self.beat(**(beat or {}))
        said: Details = self.details()
        base: dict[str, Any] = {
            "state": known,
            "beat": heard,
            "details": said,
            "status": Status.ONLINE,
            "limits": Thresholds(),
        }
        base.update(more)
        return make_tile(**base)


@pytest.fixture
def maker(make_state: Make, make_heartbeat: Make, make_details: Make) -> Maker:
    return Maker(make_state, make_heartbeat, make_details)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.ONLINE, State.OK),
        (Verdict.LATE, State.STALE),
        (Verdict.BOOTING, State.BUSY),
        (Verdict.REBOOTING, State.BUSY),
        (Verdict.STOPPING, State.BUSY),
        (Verdict.HUNG, State.OFFLINE),
        (Verdict.LOST, State.OFFLINE),
        (Verdict.UNPOWERED, State.OFFLINE),
        (Verdict.OFF, State.OFF),
        (Verdict.UNSEEN, State.UNSEEN),
        (Verdict.UNKNOWN, State.FROZEN),
    ],
)
def test_every_verdict_has_its_state(
    maker: Maker, verdict: Verdict, state: State
) -> None:
    tile = maker.tile({"verdict": verdict})

    assert tile.state is state
    assert (tile.words == "") == (state is State.OK)


def test_no_verdict_was_forgotten(maker: Maker) -> None:
    for verdict in Verdict:
        assert maker.tile({"verdict": verdict}).state in State


def test_no_power_is_said_only_where_the_outlet_reads_off(maker: Maker) -> None:
    silent = {"verdict": Verdict.UNPOWERED}
    assert maker.tile(silent | {"power": Power.ON}).words == "no contact"
    assert maker.tile(silent | {"power": Power.OFF}).words == "no power"


def test_an_online_node_shows_its_vitals_as_whole_numbers(maker: Maker) -> None:
    tile = maker.tile()

    assert (tile.cpu, tile.memory, tile.temperature) == (12, 31, 45)


def test_a_node_that_is_not_online_shows_no_vitals(maker: Maker) -> None:
    tile = maker.tile({"verdict": Verdict.LOST})

    assert (tile.cpu, tile.memory, tile.temperature) == (NO_VALUE,) * 3


@pytest.mark.parametrize(
    ("temperature", "state"), [(69.9, State.OK), (70, State.WARN), (80, State.CRIT)]
)
def test_heat_is_judged_by_the_thresholds(
    maker: Maker, temperature: float, state: State
) -> None:
    assert maker.tile(beat={"temperature_c": temperature}).state is state


def test_a_node_without_a_sensor_has_no_temperature(maker: Maker) -> None:
    tile = maker.tile(beat={"temperature_c": None})

    assert tile.temperature == NO_VALUE
    assert tile.state is State.OK


@pytest.mark.parametrize(
    "vital", ["cpu_percent", "memory_percent", "disk_percent", "load", "disk_read_only"]
)
def test_a_vital_that_cannot_be_read_costs_that_value_only(
    maker: Maker, vital: str
) -> None:
    tile = maker.tile(beat={vital: None})

    assert tile.state is State.OK
    assert tile.temperature >= 0
    assert tile.words == ("no vitals" if vital == "cpu_percent" else "")


def test_a_level_is_left_two_units_lower_than_it_was_reached() -> None:
    assert grade(79, 70, 80) is TileLevel.WARN
    assert grade(79, 70, 80, TileLevel.CRIT) is TileLevel.CRIT
    assert grade(77.9, 70, 80, TileLevel.CRIT) is TileLevel.WARN
    assert grade(69, 70, 80, TileLevel.WARN) is TileLevel.WARN
    assert grade(67.9, 70, 80, TileLevel.WARN) is TileLevel.OK


def test_one_moment_of_full_cpu_is_no_warning(maker: Maker) -> None:
    assert maker.tile(beat={"cpu_percent": 100}).state is State.OK


def test_three_minutes_of_full_cpu_are_a_warning_but_never_critical(
    maker: Maker,
) -> None:
    tile = maker.tile(beat={"cpu_percent": 100}, cpu_mean=100)

    assert tile.state is State.WARN
    assert tile.words == "CPU 100 % for 3 min"


def test_under_voltage_is_critical_at_once(maker: Maker) -> None:
    bits = Throttled(now=(ThrottleFlag.UNDER_VOLTAGE,))

    tile = maker.tile(beat={"throttled": bits})

    assert tile.state is State.CRIT
    assert tile.words == "under voltage"


def test_a_fault_the_master_names_is_not_told_twice(maker: Maker) -> None:
    bits = Throttled(now=(ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.THROTTLED))
    fault = "under-voltage: its supply is too low now"

    tile = maker.tile({"faults": (fault,)}, {"throttled": bits})

    assert tile.words == "under-voltage"
    assert tile.reason == f"{fault} · throttled"


def test_what_has_been_since_boot_alarms_nobody(maker: Maker) -> None:
    bits = Throttled(since_boot=(ThrottleFlag.UNDER_VOLTAGE,))

    assert maker.tile(beat={"throttled": bits}).state is State.OK


def test_a_read_only_disk_and_a_named_fault_are_critical(maker: Maker) -> None:
    assert maker.tile(beat={"disk_read_only": True}).state is State.CRIT
    tile = maker.tile({"faults": ("duplicate identity: two boards say pi-1",)})
    assert tile.state is State.CRIT
    assert tile.reason.startswith("duplicate identity")


def test_errors_of_a_file_system_are_a_warning_and_not_read_only(
    maker: Maker, make_details: Make
) -> None:
    tile = maker.tile(details=make_details(disk_errors=3))

    assert tile.state is State.WARN
    assert tile.reason == "disk errors: 3 recorded"


def test_the_worst_reason_comes_first(maker: Maker) -> None:
    tile = maker.tile(beat={"temperature_c": 83.4, "memory_percent": 90})

    assert tile.state is State.CRIT
    assert tile.reason == "83 °C · memory 90 %"
    assert tile.levels == Levels(memory=TileLevel.WARN, temperature=TileLevel.CRIT)


def test_a_destructive_command_makes_the_node_busy(maker: Maker) -> None:
    running = Running(id="1", verb="reboot", phase=Phase.RUNNING, by="ada")

    tile = maker.tile({"running": running})

    assert tile.state is State.BUSY
    assert tile.reason == "Rebooting, asked by ada"


def test_a_harmless_command_only_hints_that_it_runs(maker: Maker) -> None:
    running = Running(id="1", verb="ping", phase=Phase.RUNNING)

    tile = maker.tile({"running": running})

    assert tile.state is State.OK
    assert tile.working


def test_silence_is_counted_from_when_the_node_was_last_heard(maker: Maker) -> None:
    tile = maker.tile({"verdict": Verdict.LATE, "since": 500.0, "last_seen": 480.0})

    assert tile.since == 480


def test_without_a_master_the_word_of_the_node_counts(maker: Maker) -> None:
    assert maker.tile(state=None, status=Status.ONLINE).state is State.OK
    alone: dict[str, Any] = {"beat": None, "limits": Thresholds()}
    offline = make_tile(state=None, details=None, status=Status.OFFLINE, **alone)
    assert offline.state is State.OFFLINE
    unheard = make_tile(state=None, details=None, status=None, **alone)
    assert unheard.state is State.UNSEEN


def test_an_old_verdict_does_not_outlive_the_boards_own_word(maker: Maker) -> None:
    tile = maker.tile({"verdict": Verdict.ONLINE}, status=Status.OFFLINE)

    assert (tile.state, tile.cpu) == (State.OFFLINE, NO_VALUE)


def test_what_was_not_heard_again_since_an_outage_is_not_shown_as_live(
    maker: Maker,
) -> None:
    assert maker.tile(confirmed=False).state is State.FROZEN


def test_levels_fit_into_one_number() -> None:
    levels = Levels(TileLevel.WARN, TileLevel.CRIT, TileLevel.OK, TileLevel.CRIT)

    assert levels.packed == 1 | 2 << 2 | 0 << 4 | 2 << 6
