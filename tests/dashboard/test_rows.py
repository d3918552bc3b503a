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
    Verdict,
)
from broker.contract.topics import NodeLeaf
from dashboard.live import rows
from tests.dashboard.conftest import Harness

LOCK = Lock(scope="stack/1", by="ada", until=1_700_000_000.9, reason="soldering")


def test_a_node_tells_its_outlet_what_it_does_and_who_holds_it(
    harness: Harness,
) -> None:
    running = Running(id="c-1", verb="power", phase=Phase.RUNNING, by="ada", word="off")
    record = harness.node(outlet="left", power=Power.ON, running=running, lock=LOCK)

    row = rows.meta_row(record, 3)

    assert row[6:] == [3, "on", "left", running, LOCK, None]


def test_a_node_nobody_holds_tells_so_in_the_same_places(harness: Harness) -> None:
    row = rows.meta_row(harness.node(), 1)

    assert row[6:] == [1, None, "", None, None, None]


def test_a_node_that_cannot_be_asked_tells_why(harness: Harness) -> None:
    why = "offline since noon: lost"
    mute = harness.node(askable=Askable.CANNOT_BE_ASKED, askable_why=why)
    assert rows.meta_row(mute, 1)[-1] == why
    down = harness.node(askable=Askable.DOWN, askable_why="its outlet reads off")
    assert rows.meta_row(down, 1)[-1] is None


def test_a_new_outlet_or_lock_reaches_the_tabs(harness: Harness) -> None:
    harness.node()
    _, port = harness.view()
    harness.hub.tick()
    port.sent.clear()

    harness.node(outlet="left", lock=LOCK)
    harness.hub.tick()

    assert '"left"' in port.sent[0][1]
    assert '"soldering"' in port.sent[0][1]


def test_a_stack_tells_all_but_what_the_page_counts_itself() -> None:
    stack = StackState(
        stack=7, name="Stack 07", x=2, y=0, slots=4, lock=LOCK, totals={Verdict.OFF: 4}
    )

    told = rows.stack_object(stack)

    assert (told["number"], told["x"], told["lock"]) == (7, 2, LOCK)
    assert {"power", "wanted", "fault", "found"} <= told.keys()
    assert not {"stack", "totals", "worst"} & told.keys()


def test_a_line_of_history_has_every_field_and_a_whole_second() -> None:
    event = Event(seq=9, ts=12.6, kind=EventKind.POWER, text="stack 1 is on")

    told = rows.event_object(event)

    assert (told["ts"], told["node"], told["stack"]) == (13, "", None)


def test_abilities_no_board_has_any_more_are_forgotten(
    harness: Harness, make_details: Callable[..., Details]
) -> None:
    topic = harness.topics.node("pi-1", NodeLeaf.DETAILS)
    harness.node(1)
    harness.hub.tick()
    for word in ("identify", "update"):
        harness.say(topic, make_details(abilities=(Ability(verb=word),)))
        harness.hub.tick()
    _, port = harness.view()
    harness.hub.tick()

    shared = json.loads(port.sent[-1][1])

    assert shared["abilities"] == {"3": [["update", [], ""]]}
    assert shared["meta"][0][6] == 3
