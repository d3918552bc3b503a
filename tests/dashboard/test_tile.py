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


UNPOWERED = {"verdict": Verdict.UNPOWERED}
NO_VITALS = {"cpu": NO_VALUE, "memory": NO_VALUE, "temperature": NO_VALUE}
LOW_SUPPLY = "under-voltage: its supply is too low now"
TWO_BOARDS = "duplicate identity: two boards say pi-1"
REBOOT = Running(id="1", verb="reboot", phase=Phase.RUNNING, by="ada")
PING = Running(id="1", verb="ping", phase=Phase.RUNNING)
NOW = Throttled(now=(ThrottleFlag.UNDER_VOLTAGE,))
BOTH_NOW = Throttled(now=(ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.THROTTLED))
SINCE_BOOT = Throttled(since_boot=(ThrottleFlag.UNDER_VOLTAGE,))
HOT = {"temperature_c": 83.4, "memory_percent": 90}
HOT_LEVELS = Levels(memory=TileLevel.WARN, temperature=TileLevel.CRIT)
LATE = {"verdict": Verdict.LATE, "since": 500.0, "last_seen": 480.0}
FULL = {"cpu_percent": 100}
CASES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("outlet on", {"state": UNPOWERED | {"power": Power.ON}}, {"words": "no contact"}),
    ("outlet off", {"state": UNPOWERED | {"power": Power.OFF}}, {"words": "no power"}),
    ("vitals are whole numbers", {}, {"cpu": 12, "memory": 31, "temperature": 45}),
    ("no vitals of who is lost", {"state": {"verdict": Verdict.LOST}}, NO_VITALS),
    ("warm", {"beat": {"temperature_c": 69.9}}, {"state": State.OK}),
    ("hot", {"beat": {"temperature_c": 70}}, {"state": State.WARN}),
    ("too hot", {"beat": {"temperature_c": 80}}, {"state": State.CRIT}),
    (
        "no sensor",
        {"beat": {"temperature_c": None}},
        {"temperature": NO_VALUE, "state": State.OK},
    ),
    ("a moment of full CPU", {"beat": FULL}, {"state": State.OK}),
    (
        "three minutes of full CPU warn and are never critical",
        {"beat": FULL, "cpu_mean": 100},
        {"state": State.WARN, "words": "CPU 100 % for 3 min"},
    ),
    (
        "under-voltage is critical at once",
        {"beat": {"throttled": NOW}},
        {"state": State.CRIT, "words": "under voltage"},
    ),
    (
        "a fault the master names is not told twice",
        {"state": {"faults": (LOW_SUPPLY,)}, "beat": {"throttled": BOTH_NOW}},
        {"words": "under-voltage", "reason": f"{LOW_SUPPLY} · throttled"},
    ),
    ("since boot is over", {"beat": {"throttled": SINCE_BOOT}}, {"state": State.OK}),
    ("read-only disk", {"beat": {"disk_read_only": True}}, {"state": State.CRIT}),
    (
        "a named fault is critical",
        {"state": {"faults": (TWO_BOARDS,)}},
        {"state": State.CRIT, "reason": TWO_BOARDS},
    ),
    (
        "the worst reason comes first",
        {"beat": HOT},
        {"state": State.CRIT, "reason": "83 °C · memory 90 %", "levels": HOT_LEVELS},
    ),
    (
        "a destructive command makes it busy",
        {"state": {"running": REBOOT}},
        {"state": State.BUSY, "reason": "Rebooting, asked by ada"},
    ),
    (
        "a harmless command is a hint only",
        {"state": {"running": PING}},
        {"state": State.OK, "working": True},
    ),
    ("silence counts from when it was last heard", {"state": LATE}, {"since": 480}),
    (
        "an old verdict does not outlive the board's own word",
        {"state": {}, "status": Status.OFFLINE},
        {"state": State.OFFLINE, "cpu": NO_VALUE},
    ),
    ("not heard since an outage", {"confirmed": False}, {"state": State.FROZEN}),
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [pytest.param(given, said, id=name) for name, given, said in CASES],
)
def test_a_tile_shows(
    maker: Maker, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    tile = maker.tile(**given)

    assert {name: getattr(tile, name) for name in expected} == expected


def test_no_verdict_was_forgotten(maker: Maker) -> None:
    for verdict in Verdict:
        assert maker.tile({"verdict": verdict}).state in State


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


def test_errors_of_a_file_system_are_a_warning_and_not_read_only(
    maker: Maker, make_details: Make
) -> None:
    tile = maker.tile(details=make_details(disk_errors=3))

    assert tile.state is State.WARN
    assert tile.reason == "disk errors: 3 recorded"


def test_without_a_master_the_word_of_the_node_counts(maker: Maker) -> None:
    assert maker.tile(state=None, status=Status.ONLINE).state is State.OK
    alone: dict[str, Any] = {"beat": None, "limits": Thresholds()}
    offline = make_tile(state=None, details=None, status=Status.OFFLINE, **alone)
    assert offline.state is State.OFFLINE
    unheard = make_tile(state=None, details=None, status=None, **alone)
    assert unheard.state is State.UNSEEN


def test_levels_fit_into_one_number() -> None:
    levels = Levels(TileLevel.WARN, TileLevel.CRIT, TileLevel.OK, TileLevel.CRIT)

    assert levels.packed == 1 | 2 << 2 | 0 << 4 | 2 << 6
