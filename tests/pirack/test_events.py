"""The rack's history in the terminal: asked, folded, followed."""

import argparse
import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from broker.client.fake import FakeBroker
from broker.common.errors import LinkError
from broker.contract.messages import (
    Command,
    Event,
    EventKind,
    NodeState,
    Phase,
    Reply,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf
from pirack import terminal
from pirack.cli import parser
from pirack.events import fold, history, run, show, written
from tests.pirack.scripted_master import TOPICS, ScriptedMaster, reply


def event(seq: int, **said: Any) -> Event:  # noqa: ANN401  # any field of Event
    fields: dict[str, Any] = {
        "ts": seq,
        "kind": EventKind.VERDICT,
        "text": f"line {seq}",
    }
    return Event(seq=seq, **{**fields, **said})


def arguments(*words: str) -> argparse.Namespace:
    return parser(only="events").parse_args(["events", *words])


class History:
    """What a master answers: a history in parts, or pages of it, or a refusal."""

    def __init__(self, broker: FakeBroker, *parts: tuple[Event, ...]) -> None:
        self.parts = parts
        self.pages: dict[str, tuple[Event, ...]] = {}
        """Answers by ``before``, where it is asked in pages."""
        self.error = ""
        self.master = ScriptedMaster(broker.connect, self._answer)

    def _answer(self, command: Command) -> Iterator[Reply]:
        words = dict(word.split("=") for word in command.args)
        page = self.pages.get(words.get("before", "0"))
        parts = self.parts if page is None else (page,)
        for number, events in enumerate(parts, start=1):
            yield reply(
                Phase.REFUSED if self.error else Phase.DONE,
                ok=not self.error,
                error=self.error,
                events=events,
                part=number,
                parts=len(parts),
            )


async def tells(broker: FakeBroker, *parts: tuple[Event, ...]) -> History:
    history = History(broker, *parts)
    await history.master.start()
    return history


async def shown(broker: FakeBroker, *words: str) -> int:
    args = arguments(*words)
    return await show(broker.connect, TOPICS, history(args), args)


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
        self._words = ("--follow", "--json", *words)
        self.numbers: list[int] = []
        self.complaints = ""

    async def __aenter__(self) -> "Following":
        self._task = asyncio.create_task(shown(self._broker, *self._words))
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
    await tells(broker, (event(1),))
    monkeypatch.setattr(terminal, "say", lambda _: False)
    assert await asyncio.wait_for(shown(broker, "--follow"), 20) == 0


async def test_the_history_is_printed_oldest_first_from_all_its_parts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    told = await tells(broker, (event(1), event(2)), (event(3),))
    assert await shown(broker, "--json", "--node", "s03n2") == 0
    printed = [json.loads(one)["seq"] for one in capsys.readouterr().out.splitlines()]
    assert printed == [1, 2, 3]
    assert told.master.asked[0][0] == "/node/s03n2/cmd/events"


async def test_a_history_without_such_a_line_is_no_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    await tells(broker, ())
    assert await shown(broker, "--node", "s3n02") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "the history has no such line" in said.err


async def test_a_refusal_is_exit_code_1_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    told = await tells(broker, ())
    told.error = "since='x' is not a moment"
    assert await shown(broker, "--since", "x") == 1
    assert "pirack events: since='x' is not a moment" in capsys.readouterr().err


async def test_following_shows_each_line_once_and_only_those_that_are_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = FakeBroker()
    await tells(broker, (event(1, node="pi-32", stack=3),))
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
    monkeypatch.setattr("pirack.events.PAGE_LINES", 2)
    broker = FakeBroker()
    told = await tells(broker, (event(1),))
    async with Following(broker, capsys) as following:
        broker.stop()
        told.pages = {"0": (event(4), event(5)), "4": (event(2), event(3)), "2": ()}
        broker.start()
        await broker.settle()
        broker.publish(TOPICS.event, encode(event(5)))
        broker.publish(TOPICS.event, encode(event(6)))
    assert following.numbers == [1, 2, 3, 4, 5, 6]


async def test_following_goes_on_although_nobody_tells_what_was_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirack.events.CATCH_UP_S", 0)
    broker = FakeBroker()
    told = await tells(broker, (event(1),))
    async with Following(broker, capsys) as following:
        broker.stop()
        told.error = "the history cannot be read"
        broker.start()
        await broker.settle()
        broker.publish(TOPICS.event, encode(event(3)))
    assert following.numbers == [1, 3]
    assert "lines may be missing: the history cannot be read" in following.complaints


async def test_a_broker_that_is_away_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    with pytest.raises(LinkError):
        await shown(broker, "--follow")


def test_a_line_says_when_what_and_which_incident() -> None:
    said = written(
        event(1, kind=EventKind.INCIDENT, text="stack 3", incident="i-7"), as_json=False
    )
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


@pytest.mark.parametrize(
    ("words", "topic", "args"),
    [
        ("", "rack", ("limit=50",)),
        ("--since 2h", "rack", ("since=2h", "limit=5000")),
        ("--since 2h --limit 7", "rack", ("since=2h", "limit=7")),
        ("--node s03n2 --until 1h", "node/s03n2", ("until=1h", "limit=50")),
        (
            "--stack 3 --kind power --kind fault",
            "stack/3",
            ("kind=power,fault", "limit=50"),
        ),
        ("--incident i-7", "rack", ("incident=i-7", "limit=50")),
        ("--command c0ffee", "rack", ("correlation=c0ffee", "limit=50")),
    ],
)
def test_options_become_the_words_of_a_question(
    words: str, topic: str, args: tuple[str, ...]
) -> None:
    asked = history(arguments(*words.split()))
    assert (str(asked.scope), asked.verb) == (topic, "events")
    assert asked.command.args == args


@pytest.mark.parametrize(
    "words", ["--follow --until 1h", "--follow --fold", "--node Böse", "--stack 0"]
)
def test_what_makes_no_sense_is_wrong_usage(words: str) -> None:
    assert run(arguments(*words.split())) == 2


@pytest.mark.parametrize("limit", ["0", "-4", "5001", "many"])
def test_a_number_of_lines_that_is_none_is_wrong_usage(limit: str) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(f"--limit={limit}")
    assert ended.value.code == 2
