"""A node on a broker in memory, with a clock that stands still."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import Details, Phase, decode
from broker.contract.topics import HOME_ASSISTANT_STATUS
from node_agent import node
from node_agent.board import Vitals
from node_agent.node import FACTS_EVERY_S, PROBE_AGAIN_S, REFRESH_SPREAD_S
from node_agent.runner import FakeRunner, Invocation
from tests.node_agent.stage import DETAILS, HEARTBEAT, STATUS, TOPICS, Stage


def test_a_lost_connection_is_logged_by_the_link_alone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.node.on_disconnected("the broker was killed")
    assert not caplog.records


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


async def test_a_probe_that_does_not_answer_is_not_known_yet_and_asked_again() -> None:
    stage = Stage()
    stage.runner.unanswered = {"reboot"}
    await stage.begin()
    first = stage.details[-1]
    assert "uptime" in {one.verb for one in first.abilities}
    assert first.unprobed == {"reboot": "no answer within 30 s"}
    assert first.unable == {}
    await stage.clock.advance(PROBE_AGAIN_S)
    assert len(stage.details) == 1  # nothing new
    stage.runner.unanswered.clear()
    await stage.clock.advance(2 * PROBE_AGAIN_S)
    assert stage.details[-1].unprobed == {}
    assert "reboot" in {one.verb for one in stage.details[-1].abilities}
    assert stage.runner.probed == ["uptime", "reboot", "reboot", "reboot"]
    await stage.node.stop()


async def test_an_order_that_was_not_probed_yet_is_tried() -> None:
    stage = Stage()
    stage.runner.unanswered = {"uptime"}
    await stage.begin()
    await stage.order("uptime")
    assert stage.results[-1].phase is Phase.DONE
    await stage.node.stop()


async def test_an_answer_holds_while_a_later_probe_does_not_answer(
    stage: Stage,
) -> None:
    stage.runner.unanswered = {"uptime"}
    stage.runner.obstacles["reboot"] = "sudo does not allow it"
    await stage.order("refresh")
    await stage.clock.advance(REFRESH_SPREAD_S)
    said = stage.details[-1]
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

    monkeypatch.setattr(node, "PROBES_WITHIN_S", 0.05)
    stage = Stage(runner=Slow())
    await stage.begin()
    assert stage.statuses == [b"online"]
    assert stage.details[-1].unprobed == dict.fromkeys(
        ("uptime", "reboot"), "not probed yet"
    )
    answer.set()
    await stage.settle()
    assert stage.details[-1].unprobed == {}
    assert at_once[1] == 1
    await stage.node.stop()


async def test_changed_facts_are_said_unasked(stage: Stage) -> None:
    later = msgspec.structs.replace(stage.board.facts_now, addresses=("10.0.0.7",))
    stage.board.facts_now = later
    await stage.clock.advance(FACTS_EVERY_S + 10)
    assert [details.addresses for details in stage.details] == [(), ("10.0.0.7",)]


async def test_unchanged_facts_are_not(stage: Stage) -> None:
    await stage.clock.advance(10 * FACTS_EVERY_S)
    assert len(stage.details) == 1


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
    while not stage.runner.invocations:  # its id is written in a thread
        await stage.settle()
    await stage.node.stop()
    assert stage.details[-1].reason == "reboot ordered by anna"


async def test_a_stop_without_a_broker_is_quiet() -> None:
    stage = Stage()
    stage.broker.stop()
    await stage.begin()
    await stage.node.stop()
    assert stage.broker.published == []


async def test_a_board_that_cannot_be_read_beats_all_the_same() -> None:
    stage = Stage()
    read = stage.board.vitals

    def broken() -> Vitals:
        raise OSError(5, "Input/output error")

    stage.board.vitals = broken  # type: ignore[method-assign]  # a sensor that fails
    await stage.begin()
    await stage.clock.advance(70)
    assert [beat.seq for beat in stage.beats] == list(range(1, len(stage.beats) + 1))
    assert {beat.cpu_percent for beat in stage.beats} == {None}
    assert stage.beats[-1].uptime_s > 0
    assert stage.node.rejections.counts["vitals"] >= 7
    assert stage.details[-1].unreadable.keys() == {"vitals"}
    assert "Input/output error" in stage.details[-1].unreadable["vitals"]
    stage.board.vitals = read  # type: ignore[method-assign]  # and is well again
    await stage.clock.advance(70)
    assert stage.beats[-1].cpu_percent == 12.5
    assert stage.details[-1].unreadable == {}
    await stage.node.stop()


async def test_a_board_whose_clock_cannot_be_read_beats_all_the_same() -> None:
    stage = Stage()

    def broken() -> float:
        raise OverflowError

    stage.board.wall_time = broken  # type: ignore[method-assign]  # as above
    await stage.begin()
    await stage.clock.advance(20)
    assert len(stage.beats) >= 2
    assert len(stage.details) == 1
    await stage.node.stop()


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
    stage = Stage()
    stage.broker.local_address = reaches
    stage.board.facts_now = msgspec.structs.replace(
        stage.board.facts_now, addresses=found
    )
    await stage.begin()
    assert stage.details[-1].addresses == said
    await stage.node.stop()


async def test_an_invented_board_keeps_its_invented_address() -> None:
    stage = Stage()
    stage.broker.local_address = "192.0.2.21"
    stage.board.facts_now = msgspec.structs.replace(
        stage.board.facts_now, addresses=("10.0.0.7",), simulated=True
    )
    await stage.begin()
    assert stage.details[-1].addresses == ("10.0.0.7",)
    await stage.node.stop()
