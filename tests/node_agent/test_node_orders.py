"""Orders as they reach a node, and what it answers."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import Phase
from node_agent.board import Facts
from node_agent.order_desk import AT_ONCE
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently
from tests.node_agent.office import Held
from tests.node_agent.stage import ORDER, Stage


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


YEARS_S = 50 * 365 * 86_400.0


@pytest.mark.parametrize("jump_s", [YEARS_S, -YEARS_S])
async def test_a_clock_that_jumps_by_years_disturbs_neither_beats_nor_orders(
    jump_s: float,
) -> None:
    stage = Stage(runner=Held())
    stage.board.facts_now = msgspec.structs.replace(
        stage.board.facts_now, clock_synced=False
    )
    await stage.begin()
    sent_at, beats = stage.board.now, len(stage.beats)
    for number in range(AT_ONCE + 1):
        await stage.order("uptime", id=f"o{number}", ttl_s=30, expires=sent_at + 30)
    stage.board.now += jump_s  # NTP comes
    await stage.clock.advance(20)
    assert len(stage.beats) == beats + 2
    assert isinstance(stage.runner, Held)
    stage.runner.release.set()
    await stage.clock.advance(1)
    done = [one.id for one in stage.results if one.phase is Phase.DONE]
    assert sorted(done) == [f"o{number}" for number in range(AT_ONCE + 1)]
    await stage.node.stop()
