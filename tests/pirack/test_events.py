"""The rack's history in the terminal: asked, folded, followed."""

import argparse
import asyncio
import json
from typing import Any

import pytest

from broker.client.fake import FakeBroker
from broker.client.link import Message, Subscription
from broker.common.errors import LinkError
from broker.contract.messages import (
    Command,
    Event,
    EventKind,
    NodeState,
    Phase,
    Reply,
    Verdict,
    decode,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from pirack import pipe
from pirack.cli import parser
from pirack.event_lines import fold, line
from pirack.event_question import question
from pirack.events import show
from pirack.receipt import Receipt

TOPICS = Topics("lab")


def event(seq: int, **said: Any) -> Event:  # noqa: ANN401  # any field of Event
    fields: dict[str, Any] = {
        "ts": seq,
        "kind": EventKind.VERDICT,
        "text": f"line {seq}",
    }
    return Event(seq=seq, **{**fields, **said})


def arguments(*words: str) -> argparse.Namespace:
    return parser(only="events").parse_args(["events", *words])


class Historian:
    """A master that has a history."""

    def __init__(self, broker: FakeBroker, *parts: tuple[Event, ...]) -> None:
        self.broker = broker
        self.parts = parts
        self.pages: dict[str, tuple[Event, ...]] = {}
        """Answers by ``before``, where it is asked in pages."""
        self.error = ""
        self.asked: list[tuple[str, Command]] = []

    async def start(self) -> "Historian":
        link = self.broker.connect(
            self,
            client_id="master",
            subscriptions=[Subscription(one) for one in TOPICS.command_filters()],
            status_topic=TOPICS.master_status,
        )
        await link.start()
        await self.broker.settle()
        return self

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        command = decode(message.payload, Command)
        self.asked.append((message.topic, command))
        words = dict(word.split("=") for word in command.args)
        page = self.pages.get(words.get("before", "0"))
        parts = self.parts if page is None else (page,)
        for number, events in enumerate(parts, start=1):
            reply = Reply(
                id=command.id,
                verb="events",
                scope="rack",
                phase=Phase.REFUSED if self.error else Phase.DONE,
                ok=not self.error,
                error=self.error,
                events=events,
                part=number,
                parts=len(parts),
            )
            topic = message.topic.replace("/cmd/", "/reply/")
            self.broker.publish(topic, encode(reply), qos=1)


async def turns(broker: FakeBroker) -> None:
    """Let everybody do what is due: a question has several steps, each its own turn."""
    for _ in range(40):
        await broker.settle()


class Following:
    """``pirack events --follow --json``, until it is left, and what it printed."""

    def __init__(
        self, broker: FakeBroker, capsys: pytest.CaptureFixture[str], *words: str
    ) -> None:
        self._broker, self._capsys = broker, capsys
        self._args = arguments("--follow", "--json", *words)
        self.numbers: list[int] = []
        self.complaints = ""

    async def __aenter__(self) -> "Following":
        asked = question(self._args)
        going = show(self._broker.connect, TOPICS, asked, self._args)
        self._task = asyncio.create_task(going)
        await turns(self._broker)
        return self

    async def __aexit__(self, *reason: object) -> None:
        await turns(self._broker)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        said = self._capsys.readouterr()
        self.numbers = [json.loads(one)["seq"] for one in said.out.splitlines()]
        self.complaints = said.err


async def test_following_ends_when_its_reader_goes_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = FakeBroker()
    await Historian(broker, (event(1),)).start()
    monkeypatch.setattr(pipe, "say", lambda _: False)
    args = arguments("--follow")
    following = show(broker.connect, TOPICS, question(args), args)
    assert await asyncio.wait_for(following, 20) == 0


async def test_the_history_is_printed_oldest_first_from_all_its_parts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    master = await Historian(broker, (event(1), event(2)), (event(3),)).start()
    args = arguments("--json", "--node", "s03n2")
    assert await show(broker.connect, TOPICS, question(args), args) == 0
    printed = [json.loads(one)["seq"] for one in capsys.readouterr().out.splitlines()]
    assert printed == [1, 2, 3]
    assert master.asked[0][0] == "pirack/v1/lab/node/s03n2/cmd/events"


async def test_a_history_without_such_a_line_is_no_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    await Historian(broker, ()).start()
    args = arguments("--node", "s3n02")
    assert await show(broker.connect, TOPICS, question(args), args) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "the history has no such line" in said.err


async def test_a_refusal_is_exit_code_1_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    master = await Historian(broker, ()).start()
    master.error = "since='x' is no moment"
    args = arguments("--since", "x")
    assert await show(broker.connect, TOPICS, question(args), args) == 1
    assert "pirack events: since='x' is no moment" in capsys.readouterr().err


async def test_following_shows_each_line_once_and_only_those_that_are_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    await Historian(broker, (event(1, node="pi-32", stack=3),)).start()
    for node, name, stack in (("pi-32", "s03n2", 3), ("pi-41", "s04n1", 4)):
        state = NodeState(
            id=node, name=name, verdict=Verdict.ONLINE, since=0, stack=stack
        )
        topic = TOPICS.node(node, NodeLeaf.STATE)
        broker.publish(topic, encode(state), retain=True)
    async with Following(broker, capsys, "--node", "s03n2") as following:
        for one in (
            event(1, node="pi-32"),
            event(2, node="pi-41"),
            event(3, node="pi-32"),
            event(4, stack=3),
            event(5, stack=4),
            event(6),
        ):
            broker.publish(TOPICS.event, encode(one))
        broker.publish(TOPICS.event, b"no event at all")
    assert following.numbers == [1, 3, 4]


async def test_what_happened_while_the_broker_was_away_is_asked_and_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirack.event_follow.PAGE_LINES", 2)
    broker = FakeBroker()
    master = await Historian(broker, (event(1),)).start()
    async with Following(broker, capsys) as following:
        broker.stop()
        master.pages = {"0": (event(4), event(5)), "4": (event(2), event(3)), "2": ()}
        broker.start()
        await broker.settle()
        broker.publish(TOPICS.event, encode(event(5)))
        broker.publish(TOPICS.event, encode(event(6)))
    assert following.numbers == [1, 2, 3, 4, 5, 6]


async def test_following_goes_on_although_nobody_tells_what_was_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirack.event_follow.CATCH_UP_S", 0)
    broker = FakeBroker()
    master = await Historian(broker, (event(1),)).start()
    async with Following(broker, capsys) as following:
        broker.stop()
        master.error = "the history cannot be read"
        broker.start()
        await broker.settle()
        broker.publish(TOPICS.event, encode(event(3)))
    assert following.numbers == [1, 3]
    assert "lines may be missing: the history cannot be read" in following.complaints


async def test_a_broker_that_is_away_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    args = arguments("--follow")
    with pytest.raises(LinkError):
        await show(broker.connect, TOPICS, question(args), args)


def test_a_line_says_when_what_and_which_incident() -> None:
    said = line(event(1, kind=EventKind.INCIDENT, text="stack 3", incident="i-7"))
    assert said.endswith("incident  stack 3  (i-7)")


def test_folding_leaves_the_newest_headline_of_an_incident() -> None:
    headline = EventKind.INCIDENT
    lines = [
        event(1, text="before"),
        event(2, text="s03n1 is late", incident="i-7"),
        event(3, text="s03n2 is late", incident="i-7"),
        event(4, text="supply of stack 3", incident="i-7", kind=headline),
        event(5, text="s04n1 is late", incident="i-8"),
        event(6, text="s03n1 is unpowered", incident="i-7"),
        event(7, text="s04n1 is lost", incident="i-8"),
    ]
    assert [one.text for one in fold(lines)] == [
        "before",
        "supply of stack 3 [3 more lines]",
        "s04n1 is lost [1 more line]",
    ]


def test_a_receipt_gathers_the_events_of_its_parts() -> None:
    receipt = Receipt("a")
    for part, one in ((2, event(9)), (1, event(4))):
        receipt.add(
            Reply(
                id="a",
                verb="events",
                scope="rack",
                phase=Phase.DONE,
                ok=True,
                events=(one,),
                part=part,
                parts=2,
            )
        )
    assert receipt.ok
    whole = receipt.whole()
    assert whole is not None
    assert [one.seq for one in whole.events] == [4, 9]
