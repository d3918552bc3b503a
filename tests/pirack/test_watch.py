"""The terminal's picture of the rack, and what is printed of it."""

import asyncio
import io
import json
import re

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
    Payload,
    RackState,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf
from pirack.cli import parser
from pirack.rack_picture import RackPicture
from pirack.screen import LiveScreen, span, text_of
from pirack.watch import Watcher, lines
from tests.pirack.scripted_master import TOPICS

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


def picture(*messages: tuple[str, Payload | bytes]) -> RackPicture:
    made = RackPicture(TOPICS)
    for topic, body in messages:
        payload = body if isinstance(body, bytes) else encode(body)
        made.take(Message(topic, payload))
    return made


def plain(made: RackPicture) -> list[str]:
    return [text_of(one) for one in lines(made, NOW)]


def state_topic(name: str) -> str:
    return TOPICS.node(f"pi-{name}", NodeLeaf.STATE)


def test_nodes_stand_by_stack_and_slot_and_those_without_a_place_last() -> None:
    made = picture(
        (state_topic("b1"), node("b1", stack=None, slot=None)),
        (state_topic("s2"), node("s2", stack=2)),
        (state_topic("s3"), node("s3", stack=1)),
    )
    assert [state.name for state in made.by_place()] == ["s3", "s2", "b1"]


def test_a_cleared_topic_takes_the_node_away() -> None:
    made = picture((state_topic("s1"), node("s1")), (state_topic("s1"), b""))
    assert made.by_place() == []


def test_nonsense_from_outside_changes_nothing() -> None:
    made = picture((state_topic("s1"), b"\xff"), ("elsewhere/x", b"{}"))
    assert made.by_place() == []


def test_the_table_leaves_out_what_a_board_cannot_read() -> None:
    made = picture(
        (state_topic("s1"), node("s1")),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), beat_without_vitals()),
    )
    assert " ".join(plain(made)[-1].split()) == "s1 online 1 min 2 h"


def test_the_table_shows_vitals_verdict_and_reason_in_words() -> None:
    made = picture(
        (TOPICS.master_status, b"online"),
        (state_topic("s1"), node("s1")),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), beat()),
        (state_topic("s2"), node("s2", Verdict.LOST, reason="answers nothing")),
    )
    head, _, stack, first, second = plain(made)
    assert head == "rack: 1 online, 1 lost"
    assert stack == "stack 1"
    assert " ".join(first.split()) == "s1 online 1 min 12% 40% 30% 51° 2 h"
    assert " ".join(second.split()) == "s2 lost 1 min answers nothing"


def test_a_master_that_is_away_is_said_in_the_first_line() -> None:
    made = picture((TOPICS.master_status, b"offline"))
    assert plain(made) == ["rack: no nodes yet · master offline: this is its last word"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_goes_without_columns_and_cuts_none(width: int) -> None:
    made = picture(
        (state_topic("s1"), node("s1", stack=10, outlet="stack-10")),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), beat()),
        (state_topic("s2"), node("s2", Verdict.LOST, reason="it answers nothing")),
    )
    console = Console(width=width, file=io.StringIO(), record=True)
    with LiveScreen(console=console) as screen:
        screen.draw(lines(made, NOW, *screen.size))
    drawn = console.export_text()

    assert "…" not in drawn
    assert "s1    online   1 min" in drawn
    assert re.search(r"it answers\s+nothing", drawn)
    assert ("disk" in drawn) == (width == 80)


def test_a_rack_that_is_too_tall_is_a_line_a_stack_within_the_width() -> None:
    states = [
        node(f"s{slot}", Verdict.LOST if slot == 9 else Verdict.ONLINE)
        for slot in range(1, 10)
    ]
    said = [(state_topic(state.name), state) for state in states]
    made = picture((TOPICS.master_status, b"online"), *said)
    head, *short = [text_of(one) for one in lines(made, NOW, 30, height=12)]
    assert head == "rack: 8 online, 1 lost"
    assert short == ["stack 1  s1  s2  s3  s4  s5", "         s6  s7  s8  s9 lost"]


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


def watcher(broker: FakeBroker, *words: str) -> Watcher:
    args = parser(only="watch").parse_args(["watch", *words])
    return Watcher(broker.connect, TOPICS, args)


async def test_once_prints_the_table_and_is_well_when_all_are_online(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"), node("s2"))
    assert await watcher(broker, "--once").watch() == 0
    assert capsys.readouterr().out.startswith("lab: 2 online\n")


async def test_once_waits_for_the_vitals_of_every_node_that_is_online(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"), node("s2", Verdict.OFF), interval_s=600)
    one = watcher(broker, "--once")
    showing = asyncio.create_task(one.watch())
    while not one.client.picture.whole:
        await broker.settle()
    broker.publish(TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), encode(beat()))
    assert await showing == 0
    assert "12%" in capsys.readouterr().out


async def test_once_shows_a_node_without_vitals_after_an_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"))
    assert await watcher(broker, "--once").watch() == 0
    assert "online" in capsys.readouterr().out


async def test_once_says_by_its_exit_code_that_a_node_needs_a_person() -> None:
    broker = FakeBroker()
    fill(broker, node("s1"), node("s2", Verdict.LOST))
    assert await watcher(broker, "--once").watch() == 1


@pytest.mark.parametrize("words", [["--json"], []])
async def test_states_and_events_are_printed_as_they_come(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broker = FakeBroker()
    fill(broker, node("s1"))
    one = watcher(broker, *words)
    showing = asyncio.create_task(one.watch())
    while not one.client.picture.whole:
        await broker.settle()
    await broker.settle()
    capsys.readouterr()
    event = Event(seq=1, ts=NOW, kind=EventKind.VERDICT, text="s1 is lost")
    for topic, body in (
        (state_topic("s1"), encode(node("s1"))),
        (TOPICS.event, encode(event)),
        (TOPICS.node("pi-s1", NodeLeaf.HEARTBEAT), encode(beat())),
    ):
        broker.publish(topic, body)
    await broker.settle()
    one.ended.set()
    assert await showing == 0
    said = capsys.readouterr().out.splitlines()
    if not words:
        assert [text[8:] for text in said] == [" s1 is lost"]
        return
    told = [json.loads(text) for text in said]
    assert [one["topic"] for one in told] == [state_topic("s1"), TOPICS.event]
    assert told[1]["text"] == "s1 is lost"


async def test_a_broker_that_is_down_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    with pytest.raises(LinkError):
        await watcher(broker, "--once").watch()
