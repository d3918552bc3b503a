"""The terminal's picture of the rack, and what is printed of it."""

import argparse
import asyncio
import io
import json

import pytest
from rich.console import Console

from broker.client.fake import FakeBroker
from broker.client.link import Message
from broker.common.errors import LinkError
from broker.contract.messages import (
    Event,
    EventKind,
    Heartbeat,
    MasterDetails,
    NodeState,
    RackState,
    Verdict,
    Wire,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from pirack.mirror import Mirror
from pirack.table import plain, span
from pirack.watch import Watcher, follow
from pirack.watch_rich import picture

TOPICS = Topics("lab")
NOW = 1_000_000.0


def node(name: str, verdict: Verdict = Verdict.ONLINE, **rest: object) -> NodeState:
    fields: dict[str, object] = {"stack": 1, "slot": int(name[-1]), "since": NOW - 90}
    return NodeState(id=f"pi-{name}", name=name, verdict=verdict, **fields | rest)  # type: ignore[arg-type]  # fields by name


def beat_without_vitals() -> Heartbeat:
    return Heartbeat(session="s", seq=1, ts=NOW, uptime_s=7200)


def beat() -> Heartbeat:
    return Heartbeat(
        session="s",
        seq=1,
        ts=NOW,
        uptime_s=7200,
        cpu_percent=12.4,
        load=(0, 0, 0),
        memory_percent=40,
        disk_percent=30,
        temperature_c=51.2,
    )


def fill(broker: FakeBroker, *states: NodeState, interval_s: float = 0.0) -> None:
    details = MasterDetails(
        session="m", hostname="pi", version="1", started=NOW, interval_s=interval_s
    )
    broker.publish(TOPICS.master_details, encode(details), retain=True)
    rack = RackState(rack="lab", nodes=len(states))
    broker.publish(TOPICS.rack_state, encode(rack), retain=True)
    broker.publish(TOPICS.master_status, b"online", retain=True)
    for state in states:
        topic = TOPICS.node(state.id, NodeLeaf.STATE)
        broker.publish(topic, encode(state), retain=True)


def mirror(*messages: tuple[str, Wire | bytes]) -> Mirror:
    made = Mirror(TOPICS)
    for topic, body in messages:
        payload = body if isinstance(body, bytes) else encode(body)
        made.take(Message(topic, payload))
    return made


def state_topic(name: str) -> str:
    return TOPICS.node(f"pi-{name}", NodeLeaf.STATE)


def test_nodes_stand_by_stack_and_slot_and_those_without_a_place_last() -> None:
    made = mirror(
        (state_topic("b1"), node("b1", stack=None, slot=None)),
        (state_topic("s2"), node("s2", stack=2)),
        (state_topic("s3"), node("s3", stack=1)),
    )
    assert [row.state.name for row in made.rows()] == ["s3", "s2", "b1"]


def test_a_cleared_topic_takes_the_node_away() -> None:
    made = mirror((state_topic("s1"), node("s1")), (state_topic("s1"), b""))
    assert made.rows() == []


def test_nonsense_from_outside_changes_nothing() -> None:
    made = mirror((state_topic("s1"), b"\xff"), ("elsewhere/x", b"{}"))
    assert made.rows() == []


def test_the_table_leaves_out_what_a_board_cannot_read() -> None:
    made = mirror(
        (state_topic("s1"), node("s1")),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), beat_without_vitals()),
    )
    assert " ".join(list(plain(made, NOW))[-1].split()) == "s1 online 1 min 2 h"


def test_the_table_shows_vitals_verdict_and_reason_in_words() -> None:
    made = mirror(
        (TOPICS.master_status, b"online"),
        (state_topic("s1"), node("s1")),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), beat()),
        (state_topic("s2"), node("s2", Verdict.LOST, reason="answers nothing")),
    )
    head, _, stack, first, second = plain(made, NOW)
    assert head == "rack: 1 online, 1 lost"
    assert stack == "stack 1"
    assert " ".join(first.split()) == "s1 online 1 min 12% 40% 30% 51° 2 h"
    assert " ".join(second.split()) == "s2 lost 1 min answers nothing"


def test_a_master_that_is_away_is_said_in_the_first_line() -> None:
    made = mirror((TOPICS.master_status, b"offline"))
    assert list(plain(made, NOW)) == [
        "rack: no nodes yet · master offline: this is its last word"
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_goes_without_columns_and_cuts_none(width: int) -> None:
    made = mirror(
        (state_topic("s1"), node("s1", stack=10, outlet="stack-10")),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), beat()),
        (state_topic("s2"), node("s2", Verdict.LOST, reason="answers nothing")),
    )
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(picture(made, NOW, width, 50))
    drawn = console.export_text()

    assert "…" not in drawn
    assert "s1    online   1 min" in drawn
    assert "answers nothing" in drawn
    assert ("disk" in drawn) == (width == 80)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (9e5, "10 d")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody beats here unless a test does."""
    monkeypatch.setattr("pirack.watch.LATE_S", 0)


def once(**given: bool) -> argparse.Namespace:
    return argparse.Namespace(**{"once": True, "json": False, "plain": True} | given)


async def test_once_prints_the_table_and_is_well_when_all_are_online(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"), node("s2"))
    code = await follow(broker.connect, Watcher(TOPICS, as_json=False), once())
    assert code == 0
    assert capsys.readouterr().out.startswith("lab: 2 online\n")


async def test_once_waits_for_the_vitals_of_every_node_that_is_online(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"), node("s2", Verdict.OFF), interval_s=600)
    watcher = Watcher(TOPICS, as_json=False)
    showing = asyncio.create_task(follow(broker.connect, watcher, once()))
    while not watcher.mirror.whole:
        await broker.settle()
    broker.publish(TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), encode(beat()))
    assert await showing == 0
    assert "12%" in capsys.readouterr().out


async def test_once_shows_a_node_without_vitals_after_an_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"))
    assert await follow(broker.connect, Watcher(TOPICS, as_json=False), once()) == 0
    assert "online" in capsys.readouterr().out


async def test_once_says_by_its_exit_code_that_a_node_needs_a_person() -> None:
    broker = FakeBroker()
    fill(broker, node("s1"), node("s2", Verdict.LOST))
    code = await follow(broker.connect, Watcher(TOPICS, as_json=False), once())
    assert code == 1


async def test_json_prints_a_line_for_each_state_and_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watcher = Watcher(TOPICS, as_json=True)
    event = Event(seq=1, ts=NOW, kind=EventKind.VERDICT, text="s1 is lost")
    for topic, body in (
        (state_topic("s1"), encode(node("s1"))),
        (TOPICS.event, encode(event)),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), encode(beat())),
    ):
        watcher.on_message(Message(topic, body))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["topic"] for line in lines] == [state_topic("s1"), TOPICS.event]
    assert lines[1]["text"] == "s1 is lost"


async def test_a_broker_that_is_down_is_a_link_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = FakeBroker()
    broker.stop()
    monkeypatch.setattr("pirack.watch.CONNECT_S", 0.01)
    with pytest.raises(LinkError):
        await follow(broker.connect, Watcher(TOPICS, as_json=False), once())
