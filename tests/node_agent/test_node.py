"""A node on a broker in memory, with a clock that stands still."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import Details, Phase, decode
from broker.contract.topics import HOME_ASSISTANT_STATUS
from node_agent import node as node_module
from node_agent.board import Vitals
from node_agent.node import FACTS_EVERY_S, PROBE_AGAIN_S, REFRESH_SPREAD_S, next_beat
from node_agent.runner import FakeRunner, Invocation
from tests.node_agent.harness import DETAILS, HEARTBEAT, STATUS, TOPICS, NodeHarness


def test_a_lost_connection_is_logged_by_the_link_alone(
    node: NodeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    node.node.on_disconnected("the broker was killed")
    assert not caplog.records


async def test_a_node_says_at_once_who_and_how_it_is(node: NodeHarness) -> None:
    assert node.broker.retained[STATUS].payload == b"online"
    details = decode(node.broker.retained[DETAILS].payload, Details)
    assert details.hostname == "raspberrypi"
    assert [ability.verb for ability in details.abilities] == [
        "ping",
        "refresh",
        "run",
        "restart-agent",
        "uptime",
        "reboot",
    ]
    (beat,) = node.beats
    assert (beat.seq, beat.session) == (1, details.session)
    assert HEARTBEAT not in node.broker.retained


async def test_it_beats_every_interval_counting_up(node: NodeHarness) -> None:
    await node.clock.advance(35)
    await node.settle()
    assert [beat.seq for beat in node.beats] == list(range(1, len(node.beats) + 1))
    assert len(node.beats) in {4, 5}  # the first gap is half an interval to a whole


async def test_a_node_waits_for_a_broker_that_is_not_there() -> None:
    node = NodeHarness()
    node.broker.stop()
    await node.begin()
    await node.clock.advance(1000)
    assert node.broker.published == []
    node.broker.start()
    await node.settle()
    assert node.statuses == [b"online"]
    assert len(node.beats) == 1
    await node.node.stop()


async def test_after_a_broker_without_memory_everything_is_said_again(
    node: NodeHarness,
) -> None:
    node.broker.stop()
    await node.clock.advance(50)
    beats = len(node.beats)
    node.broker.start(keep_retained=False)
    await node.settle()
    assert set(node.broker.retained) == {STATUS, DETAILS}
    assert len(node.beats) == beats + 1
    assert node.beats[-1].seq == 1
    assert node.beats[-1].session != node.beats[0].session


async def test_nothing_is_said_while_the_broker_is_away(node: NodeHarness) -> None:
    node.broker.stop()
    said = len(node.broker.published)
    await node.clock.advance(100)
    assert len(node.broker.published) == said


@pytest.mark.parametrize("topic", [TOPICS.master_status, HOME_ASSISTANT_STATUS])
async def test_a_return_of_master_or_home_assistant_is_answered_within_five_seconds(
    node: NodeHarness, topic: str
) -> None:
    await node.clock.advance(2)
    node.broker.publish(topic, b"online", qos=1)
    await node.settle()
    await node.clock.advance(REFRESH_SPREAD_S)
    assert len(node.details) == 2
    assert node.statuses == [b"online", b"online"]


async def test_several_reasons_to_refresh_are_one(node: NodeHarness) -> None:
    await node.clock.advance(2)
    for _ in range(5):
        node.broker.publish(TOPICS.master_status, b"online", qos=1, retain=True)
    await node.settle()
    await node.clock.advance(2 * REFRESH_SPREAD_S)
    assert len(node.details) == 2


async def test_the_masters_death_is_no_reason_to_say_anything(
    node: NodeHarness,
) -> None:
    await node.clock.advance(2)
    node.broker.publish(TOPICS.master_status, b"offline", qos=1, retain=True)
    await node.settle()
    await node.clock.advance(REFRESH_SPREAD_S)
    assert len(node.details) == 1


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_master_that_was_online_before_is_no_reason_either(
    *, mqtt5: bool
) -> None:
    node = NodeHarness(mqtt5=mqtt5)
    node.broker.publish(TOPICS.master_status, b"online", qos=1, retain=True)
    await node.begin()
    await node.clock.advance(REFRESH_SPREAD_S)
    assert len(node.details) == 1
    await node.node.stop()


async def test_a_refresh_by_hand_probes_again(node: NodeHarness) -> None:
    node.runner.obstacles["reboot"] = "sudo does not allow it"
    await node.order("refresh")
    await node.clock.advance(REFRESH_SPREAD_S)
    verbs = {ability.verb for ability in node.details[-1].abilities}
    assert "uptime" in verbs
    assert "reboot" not in verbs
    assert node.details[-1].unable == {"reboot": "sudo does not allow it"}


async def test_a_probe_that_does_not_answer_is_not_known_yet_and_asked_again() -> None:
    node = NodeHarness()
    node.runner.unanswered = {"reboot"}
    await node.begin()
    first = node.details[-1]
    assert "uptime" in {one.verb for one in first.abilities}
    assert first.unprobed == {"reboot": "no answer within 30 s"}
    assert first.unable == {}
    await node.clock.advance(PROBE_AGAIN_S)
    assert len(node.details) == 1  # nothing new
    node.runner.unanswered.clear()
    await node.clock.advance(2 * PROBE_AGAIN_S)
    assert node.details[-1].unprobed == {}
    assert "reboot" in {one.verb for one in node.details[-1].abilities}
    assert node.runner.probed == ["uptime", "reboot", "reboot", "reboot"]
    await node.node.stop()


async def test_an_order_that_was_not_probed_yet_is_tried() -> None:
    node = NodeHarness()
    node.runner.unanswered = {"uptime"}
    await node.begin()
    await node.order("uptime")
    assert node.results[-1].phase is Phase.DONE
    await node.node.stop()


async def test_an_answer_holds_while_a_later_probe_does_not_answer(
    node: NodeHarness,
) -> None:
    node.runner.unanswered = {"uptime"}
    node.runner.obstacles["reboot"] = "sudo does not allow it"
    await node.order("refresh")
    await node.clock.advance(REFRESH_SPREAD_S)
    said = node.details[-1]
    assert "uptime" in {one.verb for one in said.abilities}
    assert said.unable == {"reboot": "sudo does not allow it"}
    assert said.unprobed == {}


async def test_a_node_whose_probes_take_long_connects_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = asyncio.Event()
    at_once = [0, 0]

    class Slow(FakeRunner):
        async def why_not(self, invocation: Invocation) -> str:
            at_once[0] += 1
            at_once[1] = max(at_once)
            await answer.wait()
            at_once[0] -= 1
            return await super().why_not(invocation)

    monkeypatch.setattr(node_module, "PROBES_WITHIN_S", 0.05)
    node = NodeHarness(runner=Slow())
    await node.begin()
    assert node.statuses == [b"online"]
    assert node.details[-1].unprobed == dict.fromkeys(
        ("uptime", "reboot"), "not probed yet"
    )
    answer.set()
    await node.settle()
    assert node.details[-1].unprobed == {}
    assert at_once[1] == 1
    await node.node.stop()


async def test_changed_facts_are_said_unasked(node: NodeHarness) -> None:
    later = msgspec.structs.replace(node.board.facts_now, addresses=("10.0.0.7",))
    node.board.facts_now = later
    await node.clock.advance(FACTS_EVERY_S + 10)
    assert [details.addresses for details in node.details] == [(), ("10.0.0.7",)]


async def test_unchanged_facts_are_not(node: NodeHarness) -> None:
    await node.clock.advance(10 * FACTS_EVERY_S)
    assert len(node.details) == 1


async def test_a_clean_stop_says_why_and_then_offline() -> None:
    node = NodeHarness()
    await node.begin()
    await node.node.stop("maintenance")
    await node.node.stop()
    assert node.details[-1].reason == "maintenance"
    assert node.statuses == [b"online", b"offline"]
    assert node.broker.published[-1].payload == b"offline"


async def test_a_stop_after_a_reboot_order_names_it() -> None:
    node = NodeHarness()
    await node.begin()
    await node.order("reboot", by="anna")
    while not node.runner.invocations:  # its id is written in a thread
        await node.settle()
    await node.node.stop()
    assert node.details[-1].reason == "reboot ordered by anna"


async def test_a_stop_without_a_broker_is_quiet() -> None:
    node = NodeHarness()
    node.broker.stop()
    await node.begin()
    await node.node.stop()
    assert node.broker.published == []


async def test_a_board_that_cannot_be_read_beats_all_the_same() -> None:
    node = NodeHarness()
    read = node.board.vitals

    def broken() -> Vitals:
        raise OSError(5, "Input/output error")

    node.board.vitals = broken  # type: ignore[method-assign]  # a sensor that fails
    await node.begin()
    await node.clock.advance(70)
    assert [beat.seq for beat in node.beats] == list(range(1, len(node.beats) + 1))
    assert {beat.cpu_percent for beat in node.beats} == {None}
    assert node.beats[-1].uptime_s > 0
    assert node.node.rejections.counts["vitals"] >= 7
    assert node.details[-1].unreadable.keys() == {"vitals"}
    assert "Input/output error" in node.details[-1].unreadable["vitals"]
    node.board.vitals = read  # type: ignore[method-assign]  # and is well again
    await node.clock.advance(70)
    assert node.beats[-1].cpu_percent == 12.5
    assert node.details[-1].unreadable == {}
    await node.node.stop()


async def test_a_board_whose_clock_cannot_be_read_beats_all_the_same() -> None:
    node = NodeHarness()

    def broken() -> float:
        raise OverflowError

    node.board.wall_time = broken  # type: ignore[method-assign]  # as above
    await node.begin()
    await node.clock.advance(20)
    assert len(node.beats) >= 2
    assert len(node.details) == 1
    await node.node.stop()


@pytest.mark.parametrize(
    ("reaches", "found", "said"),
    [
        ("192.0.2.21", ("172.18.0.1", "192.0.2.21"), ("192.0.2.21", "172.18.0.1")),
        ("192.0.2.21", ("192.168.99.1",), ("192.0.2.21", "192.168.99.1")),
        ("2001:db8::7", (), ("2001:db8::7",)),
        ("127.0.0.1", ("192.0.2.21",), ("192.0.2.21",)),
        ("::1", ("192.0.2.21",), ("192.0.2.21",)),
        ("", ("192.0.2.21",), ("192.0.2.21",)),
        ("a name", ("192.0.2.21",), ("192.0.2.21",)),
    ],
)
async def test_the_address_that_reaches_the_broker_comes_first(
    reaches: str, found: tuple[str, ...], said: tuple[str, ...]
) -> None:
    node = NodeHarness()
    node.broker.local_address = reaches
    node.board.facts_now = msgspec.structs.replace(
        node.board.facts_now, addresses=found
    )
    await node.begin()
    assert node.details[-1].addresses == said
    await node.node.stop()


async def test_an_invented_board_keeps_its_invented_address() -> None:
    node = NodeHarness()
    node.broker.local_address = "192.0.2.21"
    node.board.facts_now = msgspec.structs.replace(
        node.board.facts_now, addresses=("10.0.0.7",), simulated=True
    )
    await node.begin()
    assert node.details[-1].addresses == ("10.0.0.7",)
    await node.node.stop()


def test_beats_keep_their_pace_whatever_each_one_costs() -> None:
    assert next_beat(100.0, 100.3, 10.0) == 110.0


def test_missed_beats_are_skipped_not_sent_in_a_burst() -> None:
    assert next_beat(100.0, 5000.0, 10.0) == 5010.0
