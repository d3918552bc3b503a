"""A node on a broker in memory, with a clock that stands still."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from broker.fake import FakeBroker
from broker.messages import (
    Details,
    Heartbeat,
    MasterDetails,
    Phase,
    Result,
    decode,
    encode,
)
from broker.topics import HOME_ASSISTANT_STATUS, NodeLeaf, Topics
from node_agent.actions import from_text
from node_agent.board import Facts, FakeBoard, Vitals
from node_agent.fake_clock import FakeClock
from node_agent.node import FACTS_EVERY_S, REFRESH_SPREAD_S, Node
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently

TOPICS = Topics("lab")
ID = "pi-a1b2c3d4"
ORDER = TOPICS.node(ID, NodeLeaf.ORDER)
STATUS = TOPICS.node(ID, NodeLeaf.STATUS)
DETAILS = TOPICS.node(ID, NodeLeaf.DETAILS)
HEARTBEAT = TOPICS.node(ID, NodeLeaf.HEARTBEAT)
RESULT = TOPICS.node(ID, NodeLeaf.RESULT)


class Stage:
    """A broker, a node, and what is between them.

    Args:
        kind: The class of the node.
        mqtt5: What the broker speaks.
        runner: Runs its commands.
    """

    def __init__(
        self,
        kind: type[Node] = Node,
        *,
        mqtt5: bool = True,
        runner: FakeRunner | None = None,
    ) -> None:
        self.broker = FakeBroker(mqtt5=mqtt5)
        self.clock = FakeClock()
        self.board = FakeBoard()
        self.runner = runner or FakeRunner()
        self.restarts: list[None] = []
        self.node = kind(
            ID,
            board=self.board,
            actions=from_text("[a]\nuptime = uptime\nreboot = reboot\n"),
            runner=self.runner,
            connect=self.broker.connect,
            topics=TOPICS,
            interval_s=10.0,
            clock=self.clock,
            sleep=self.clock.sleep,
            restart=lambda: self.restarts.append(None),
        )

    async def begin(self) -> None:
        await self.node.start()
        await self.settle()

    async def settle(self) -> None:
        await self.clock.advance(0)
        await self.broker.settle()

    async def order(self, verb: str, *, retain: bool = False, **more: Any) -> None:  # noqa: ANN401  # fields of Order
        fields = {"id": "o1", "verb": verb} | more
        self.broker.publish(ORDER, json.dumps(fields).encode(), qos=1, retain=retain)
        await self.settle()

    @property
    def beats(self) -> list[Heartbeat]:
        return [decode(one.payload, Heartbeat) for one in self.broker.sent(HEARTBEAT)]

    @property
    def details(self) -> list[Details]:
        return [decode(one.payload, Details) for one in self.broker.sent(DETAILS)]

    @property
    def results(self) -> list[Result]:
        return [decode(one.payload, Result) for one in self.broker.sent(RESULT)]

    @property
    def statuses(self) -> list[bytes]:
        return [one.payload for one in self.broker.sent(STATUS)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.begin()
    yield stage
    await stage.node.stop()


async def test_a_node_says_at_once_who_and_how_it_is(stage: Stage) -> None:
    assert stage.broker.retained[STATUS].payload == b"online"
    details = decode(stage.broker.retained[DETAILS].payload, Details)
    assert details.hostname == "raspberrypi"
    assert [ability.verb for ability in details.abilities] == [
        "ping",
        "refresh",
        "run",
        "restart-agent",
        "uptime",
        "reboot",
    ]
    (beat,) = stage.beats
    assert (beat.seq, beat.session) == (1, details.session)
    assert HEARTBEAT not in stage.broker.retained


async def test_it_beats_every_interval_counting_up(stage: Stage) -> None:
    await stage.clock.advance(35)
    await stage.settle()
    assert [beat.seq for beat in stage.beats] == list(range(1, len(stage.beats) + 1))
    assert len(stage.beats) in {4, 5}  # the first gap is half an interval to a whole


async def test_a_node_waits_for_a_broker_that_is_not_there() -> None:
    stage = Stage()
    stage.broker.stop()
    await stage.begin()
    await stage.clock.advance(1000)
    assert stage.broker.published == []
    stage.broker.start()
    await stage.settle()
    assert stage.statuses == [b"online"]
    assert len(stage.beats) == 1
    await stage.node.stop()


async def test_after_a_broker_without_memory_everything_is_said_again(
    stage: Stage,
) -> None:
    stage.broker.stop()
    await stage.clock.advance(50)
    beats = len(stage.beats)
    stage.broker.start(keep_retained=False)
    await stage.settle()
    assert set(stage.broker.retained) == {STATUS, DETAILS}
    assert len(stage.beats) == beats + 1
    assert stage.beats[-1].seq == 1
    assert stage.beats[-1].session != stage.beats[0].session


async def test_nothing_is_said_while_the_broker_is_away(stage: Stage) -> None:
    stage.broker.stop()
    said = len(stage.broker.published)
    await stage.clock.advance(100)
    assert len(stage.broker.published) == said


async def test_the_masters_return_is_answered_within_five_seconds(
    stage: Stage,
) -> None:
    await stage.clock.advance(2)
    said = len(stage.details)
    stage.broker.publish(TOPICS.master_status, b"online", qos=1, retain=True)
    await stage.settle()
    await stage.clock.advance(REFRESH_SPREAD_S)
    assert len(stage.details) == said + 1
    assert stage.statuses == [b"online", b"online"]


async def test_home_assistants_birth_is_answered_too(stage: Stage) -> None:
    await stage.clock.advance(2)
    stage.broker.publish(HOME_ASSISTANT_STATUS, b"online")
    await stage.settle()
    await stage.clock.advance(REFRESH_SPREAD_S)
    assert len(stage.details) == 2


async def test_several_reasons_to_refresh_are_one(stage: Stage) -> None:
    await stage.clock.advance(2)
    for _ in range(5):
        stage.broker.publish(TOPICS.master_status, b"online", qos=1, retain=True)
    await stage.settle()
    await stage.clock.advance(2 * REFRESH_SPREAD_S)
    assert len(stage.details) == 2


async def test_the_masters_death_is_no_reason_to_say_anything(stage: Stage) -> None:
    await stage.clock.advance(2)
    stage.broker.publish(TOPICS.master_status, b"offline", qos=1, retain=True)
    await stage.settle()
    await stage.clock.advance(REFRESH_SPREAD_S)
    assert len(stage.details) == 1


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_master_that_was_online_before_is_no_reason_either(
    *, mqtt5: bool
) -> None:
    stage = Stage(mqtt5=mqtt5)
    stage.broker.publish(TOPICS.master_status, b"online", qos=1, retain=True)
    await stage.begin()
    await stage.clock.advance(REFRESH_SPREAD_S)
    assert len(stage.details) == 1
    await stage.node.stop()


async def test_a_refresh_by_hand_probes_again(stage: Stage) -> None:
    stage.runner.obstacles["reboot"] = "sudo does not allow it"
    await stage.order("refresh")
    await stage.clock.advance(REFRESH_SPREAD_S)
    verbs = {ability.verb for ability in stage.details[-1].abilities}
    assert "uptime" in verbs
    assert "reboot" not in verbs
    assert stage.details[-1].unable == {"reboot": "sudo does not allow it"}


async def test_a_restart_of_the_agent_is_ordered_answered_and_named_in_the_goodbye(
    stage: Stage,
) -> None:
    await stage.order("restart-agent", by="anna")
    while not stage.restarts:
        await stage.settle()
    phases = [result.phase for result in stage.results]
    assert phases == [Phase.ACCEPTED, Phase.DONE]
    await stage.node.stop()
    assert stage.details[-1].reason == "restart-agent ordered by anna"
    assert stage.statuses[-1] == b"offline"


async def test_changed_facts_are_said_unasked(stage: Stage) -> None:
    later = msgspec.structs.replace(stage.board.facts_now, addresses=("10.0.0.7",))
    stage.board.facts_now = later
    await stage.clock.advance(FACTS_EVERY_S + 10)
    assert [details.addresses for details in stage.details] == [(), ("10.0.0.7",)]


async def test_unchanged_facts_are_not(stage: Stage) -> None:
    await stage.clock.advance(10 * FACTS_EVERY_S)
    assert len(stage.details) == 1


async def test_an_order_is_obeyed_and_answered(stage: Stage) -> None:
    await stage.order("uptime", id="abc")
    assert [one.phase for one in stage.results] == [
        Phase.ACCEPTED,
        Phase.RUNNING,
        Phase.DONE,
    ]
    session = stage.details[0].session
    assert {(one.id, one.session) for one in stage.results} == {("abc", session)}


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_an_order_retained_before_it_starts_is_never_obeyed(
    *, mqtt5: bool
) -> None:
    stage = Stage(mqtt5=mqtt5)
    await stage.order("reboot", retain=True)
    await stage.begin()
    await stage.clock.advance(100)
    assert stage.runner.invocations == []
    await stage.node.stop()


async def test_a_retained_order_that_reaches_it_is_refused_and_cleared() -> None:
    stage = Stage(mqtt5=False)
    await stage.order("reboot", retain=True)
    await stage.begin()
    assert ORDER not in stage.broker.retained
    (refused,) = stage.results
    assert (refused.id, refused.phase) == ("o1", Phase.REFUSED)
    await stage.node.stop()


async def test_one_retained_while_it_listens_is_refused_and_cleared(
    stage: Stage,
) -> None:
    await stage.order("reboot", retain=True)
    assert ORDER not in stage.broker.retained
    assert [one.phase for one in stage.results] == [Phase.REFUSED]
    assert stage.runner.invocations == []


async def test_an_order_that_expired_by_a_set_clock_is_answered(stage: Stage) -> None:
    await stage.order("reboot", expires=stage.board.now - 1)
    assert [one.phase for one in stage.results] == [Phase.EXPIRED]


async def test_a_clock_that_is_not_set_expires_nothing(stage: Stage) -> None:
    stage.board.facts_now = Facts(boot_id="b", hostname="h", clock_synced=False)
    await stage.order("uptime", expires=stage.board.now - 1_000_000)
    assert stage.results[-1].phase is Phase.DONE


async def test_what_ended_while_the_broker_was_away_is_answered_after() -> None:
    released = asyncio.Event()

    class Slow(FakeRunner):
        async def run(
            self, invocation: Invocation, progress: Progress = silently
        ) -> Outcome:
            await released.wait()
            return await super().run(invocation, progress)

    stage = Stage(runner=Slow())
    await stage.begin()
    await stage.order("uptime")
    stage.broker.stop()
    await stage.settle()
    released.set()
    await stage.settle()
    stage.broker.start()
    await stage.settle()
    assert stage.results[-1].phase is Phase.DONE
    assert stage.results[-1].session == stage.beats[-1].session
    await stage.node.stop()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"reboot",
        b"{}",
        b"\xff\xfe",
        b"[" * 9000,
        b'{"id": 5, "verb": "reboot"}',
        b'{"id": "", "verb": "reboot"}',
        b'{"id": "x", "verb": "reboot", "ttl_s": NaN}',
        b'{"id": "x", "verb": "reboot", "ttl_s": -1}',
    ],
)
async def test_an_order_that_is_none_is_dropped_and_the_node_lives(
    stage: Stage, payload: bytes
) -> None:
    stage.broker.publish(ORDER, payload, qos=1)
    await stage.settle()
    assert stage.node.rejections.total == (1 if payload else 0)
    await stage.order("ping")
    assert [one.phase for one in stage.results] == [Phase.DONE]


async def test_a_clean_stop_says_why_and_then_offline() -> None:
    stage = Stage()
    await stage.begin()
    await stage.node.stop("maintenance")
    await stage.node.stop()
    assert stage.details[-1].reason == "maintenance"
    assert stage.statuses == [b"online", b"offline"]
    assert stage.broker.published[-1].payload == b"offline"


async def test_a_stop_after_a_reboot_order_names_it() -> None:
    stage = Stage()
    await stage.begin()
    await stage.order("reboot", by="anna")
    await stage.node.stop()
    assert stage.details[-1].reason == "reboot ordered by anna"


async def test_a_stop_without_a_broker_is_quiet() -> None:
    stage = Stage()
    stage.broker.stop()
    await stage.begin()
    await stage.node.stop()
    assert stage.broker.published == []


async def test_a_board_that_cannot_be_read_is_counted_and_tried_again() -> None:
    stage = Stage()
    read = stage.board.vitals

    def broken() -> Vitals:
        raise OSError(5, "Input/output error")

    stage.board.vitals = broken  # type: ignore[method-assign]  # a sensor that fails
    await stage.begin()
    await stage.clock.advance(20)
    assert stage.beats == []
    assert stage.node.rejections.counts["vitals"] >= 2
    stage.board.vitals = read  # type: ignore[method-assign]  # and is well again
    await stage.clock.advance(10)
    assert [beat.seq for beat in stage.beats] == [1]
    await stage.node.stop()


class Greenhouse(Node):
    """A node that does more."""

    numbers: Mapping[str, float] | Exception = MappingProxyType({"soil_percent": 40.0})
    masters: tuple[MasterDetails, ...] = ()

    async def extra(self) -> Mapping[str, float]:
        if isinstance(self.numbers, Exception):
            raise self.numbers
        return self.numbers

    def on_master(self, details: MasterDetails) -> None:
        self.masters = (*self.masters, details)
        if details.hostname == "unlucky":
            raise ValueError(details.hostname)


@pytest.fixture
async def greenhouse() -> AsyncIterator[Stage]:
    stage = Stage(Greenhouse)
    await stage.begin()
    yield stage
    await stage.node.stop()


def grown(stage: Stage) -> Greenhouse:
    assert isinstance(stage.node, Greenhouse)
    return stage.node


async def test_a_node_of_ones_own_adds_its_numbers_to_every_beat(
    greenhouse: Stage,
) -> None:
    assert greenhouse.beats[0].extra == {"soil_percent": 40.0}
    grown(greenhouse).numbers = {"soil_percent": 41.0, "bad": math.nan}
    await greenhouse.clock.advance(10)
    assert greenhouse.beats[-1].extra == {"soil_percent": 41.0}
    assert greenhouse.node.rejections.counts == {"extra": 1}


async def test_a_mistake_in_it_does_not_stop_the_beats(greenhouse: Stage) -> None:
    grown(greenhouse).numbers = RuntimeError("oops")
    await greenhouse.clock.advance(30)
    assert greenhouse.beats[-1].extra == {}
    assert len(greenhouse.beats) >= 3


def master(hostname: str) -> bytes:
    return encode(
        MasterDetails(session="m", hostname=hostname, version="1", started=1.0)
    )


async def test_it_receives_the_masters_details(greenhouse: Stage) -> None:
    for hostname in ("rack", "rack", "unlucky", "rack2"):
        payload = master(hostname)
        greenhouse.broker.publish(TOPICS.master_details, payload, qos=1, retain=True)
        await greenhouse.settle()
    node = grown(greenhouse)
    assert [one.hostname for one in node.masters] == ["rack", "unlucky", "rack2"]
    assert node.master is not None
    assert node.master.hostname == "rack2"
    assert node.rejections.counts == {"on_master": 1}


async def test_details_of_a_master_from_before_are_received_too() -> None:
    stage = Stage(Greenhouse)
    stage.broker.publish(TOPICS.master_details, master("rack"), qos=1, retain=True)
    await stage.begin()
    assert [one.hostname for one in grown(stage).masters] == ["rack"]
    await stage.node.stop()


async def test_masters_details_that_are_none_are_counted(greenhouse: Stage) -> None:
    greenhouse.broker.publish(TOPICS.master_details, b"[]", qos=1)
    greenhouse.broker.publish(TOPICS.master_details, b"", qos=1)
    await greenhouse.settle()
    assert greenhouse.node.rejections.counts == {"details": 1}
    assert greenhouse.node.master is None
