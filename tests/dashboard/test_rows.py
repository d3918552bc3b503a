"""What the rows for the browser carry of power, locks and what is under way."""

import json
from collections.abc import Callable

from broker.contract.messages import (
    Ability,
    Askable,
    Details,
    Event,
    EventKind,
    Lock,
    Phase,
    Power,
    Running,
    StackState,
)
from broker.contract.topics import NodeLeaf
from dashboard.live import rows
from tests.dashboard.conftest import Bench

LOCK = Lock(scope="stack/1", by="ada", until=1_700_000_000.9, reason="soldering")
LOCK_ROW = ["stack/1", "ada", 1_700_000_000, "soldering"]


def test_a_node_tells_its_outlet_what_it_does_and_who_holds_it(bench: Bench) -> None:
    running = Running(id="c-1", verb="power", phase=Phase.RUNNING, by="ada", word="off")
    record = bench.node(outlet="left", power=Power.ON, running=running, lock=LOCK)

    row = rows.meta_row(record, 3)

    assert row[6:] == [
        3,
        "on",
        "left",
        ["c-1", "power", "running", "ada", "off"],
        LOCK_ROW,
        None,
    ]


def test_a_node_nobody_holds_tells_so_in_the_same_places(bench: Bench) -> None:
    row = rows.meta_row(bench.node(), 1)

    assert row[6:] == [1, None, "", None, None, None]


def test_a_node_that_cannot_be_asked_tells_why(bench: Bench) -> None:
    why = "offline since noon: lost"
    mute = bench.node(askable=Askable.CANNOT_BE_ASKED, askable_why=why)
    assert rows.meta_row(mute, 1)[-1] == why
    down = bench.node(askable=Askable.DOWN, askable_why="its outlet reads off")
    assert rows.meta_row(down, 1)[-1] is None


def test_a_new_outlet_or_lock_reaches_the_tabs(bench: Bench) -> None:
    bench.node()
    _, port = bench.view()
    bench.hub.tick()
    port.sent.clear()

    bench.node(outlet="left", lock=LOCK)
    bench.hub.tick()

    assert '"left"' in port.sent[0][1]
    assert '"soldering"' in port.sent[0][1]


def test_a_stack_tells_its_outlet_its_lock_and_its_fault() -> None:
    stack = StackState(
        stack=1,
        name="Stack 01",
        x=2,
        y=0,
        slots=4,
        power=Power.OFF,
        wanted=Power.ON,
        lock=LOCK,
        fault="the plug does not answer",
        found=(2, 4),
    )

    row = rows.stack_row(stack)

    assert row[:5] == [1, "Stack 01", 2, 0, 4]
    assert row[5:] == ["off", "on", LOCK_ROW, "the plug does not answer", [2, 4]]


def test_a_line_of_history_keeps_what_it_belongs_to() -> None:
    event = Event(
        seq=9,
        ts=12.6,
        kind=EventKind.POWER,
        text="stack 1 is on",
        node="pi-1",
        stack=1,
        verb="power",
        by="ada",
        correlation="c-1",
        incident="i-2",
    )

    row = rows.event_row(event)

    assert row == [
        *(9, 13, "power", "stack 1 is on"),
        *("pi-1", 1, "ada", "power", "i-2", "c-1"),
    ]


def test_abilities_no_board_has_any_more_are_forgotten(
    bench: Bench, make_details: Callable[..., Details]
) -> None:
    topic = bench.topics.node("pi-1", NodeLeaf.DETAILS)
    bench.node(1)
    bench.hub.tick()
    for word in ("identify", "update"):
        bench.say(topic, make_details(abilities=(Ability(verb=word),)))
        bench.hub.tick()
    _, port = bench.view()
    bench.hub.tick()

    shared = json.loads(port.sent[-1][1])

    assert shared["abilities"] == {"3": [["update", [], ""]]}
    assert shared["meta"][0][6] == 3
