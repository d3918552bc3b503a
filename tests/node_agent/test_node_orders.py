"""Orders as they reach a node, and what it answers."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import Phase
from node_agent.board import MachineFacts
from node_agent.order_executor import AT_ONCE
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently
from tests.node_agent.harness import ORDER, HeldRunner, NodeHarness


async def test_a_restart_of_the_agent_is_ordered_answered_and_named_in_the_goodbye(
    node: NodeHarness,
) -> None:
    await node.order("restart-agent", by="anna")
    while not node.restarts:
        await node.settle()
    phases = [result.phase for result in node.results]
    assert phases == [Phase.ACCEPTED, Phase.DONE]
    await node.node.stop()
    assert node.details[-1].reason == "restart-agent ordered by anna"
    assert node.statuses[-1] == b"offline"


async def test_an_order_is_obeyed_and_answered(node: NodeHarness) -> None:
    await node.order("uptime", id="abc")
    assert [one.phase for one in node.results] == [
        Phase.ACCEPTED,
        Phase.RUNNING,
        Phase.DONE,
    ]
    session = node.details[0].session
    assert {(one.id, one.session) for one in node.results} == {("abc", session)}


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_an_order_retained_before_it_starts_is_never_obeyed(
    *, mqtt5: bool
) -> None:
    node = NodeHarness(mqtt5=mqtt5)
    await node.order("reboot", retain=True)
    await node.begin()
    await node.clock.advance(100)
    assert node.runner.invocations == []
    await node.node.stop()


async def test_a_retained_order_that_reaches_it_is_refused_and_cleared() -> None:
    node = NodeHarness(mqtt5=False)
    await node.order("reboot", retain=True)
    await node.begin()
    assert ORDER not in node.broker.retained
    (refused,) = node.results
    assert (refused.id, refused.phase) == ("o1", Phase.REFUSED)
    await node.node.stop()


async def test_one_retained_while_it_listens_is_refused_and_cleared(
    node: NodeHarness,
) -> None:
    await node.order("reboot", retain=True)
    assert ORDER not in node.broker.retained
    assert [one.phase for one in node.results] == [Phase.REFUSED]
    assert node.runner.invocations == []


async def test_an_order_that_expired_by_a_set_clock_is_answered(
    node: NodeHarness,
) -> None:
    await node.order("reboot", expires=node.board.now - 1)
    assert [one.phase for one in node.results] == [Phase.EXPIRED]


async def test_a_clock_that_is_not_set_expires_nothing(node: NodeHarness) -> None:
    node.board.facts_now = MachineFacts(boot_id="b", hostname="h", clock_synced=False)
    await node.order("uptime", expires=node.board.now - 1_000_000)
    assert node.results[-1].phase is Phase.DONE


async def test_what_ended_while_the_broker_was_away_is_answered_after() -> None:
    released = asyncio.Event()

    class Slow(FakeRunner):
        async def run(
            self, invocation: Invocation, progress: Progress = silently
        ) -> Outcome:
            await released.wait()
            return await super().run(invocation, progress)

    node = NodeHarness(runner=Slow())
    await node.begin()
    await node.order("uptime")
    node.broker.stop()
    await node.settle()
    released.set()
    await node.settle()
    node.broker.start()
    await node.settle()
    assert node.results[-1].phase is Phase.DONE
    assert node.results[-1].session == node.beats[-1].session
    await node.node.stop()


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
    node: NodeHarness, payload: bytes
) -> None:
    node.broker.publish(ORDER, payload, qos=1)
    await node.settle()
    assert node.node.rejections.total == (1 if payload else 0)
    await node.order("ping")
    assert [one.phase for one in node.results] == [Phase.DONE]


YEARS_S = 50 * 365 * 86_400.0


@pytest.mark.parametrize("jump_s", [YEARS_S, -YEARS_S])
async def test_a_clock_that_jumps_by_years_disturbs_neither_beats_nor_orders(
    jump_s: float,
) -> None:
    node = NodeHarness(runner=HeldRunner())
    node.board.facts_now = msgspec.structs.replace(
        node.board.facts_now, clock_synced=False
    )
    await node.begin()
    sent_at, beats = node.board.now, len(node.beats)
    for number in range(AT_ONCE + 1):
        await node.order("uptime", id=f"o{number}", ttl_s=30, expires=sent_at + 30)
    node.board.now += jump_s  # NTP comes
    await node.clock.advance(20)
    assert len(node.beats) == beats + 2
    assert isinstance(node.runner, HeldRunner)
    node.runner.release.set()
    await node.clock.advance(1)
    done = [one.id for one in node.results if one.phase is Phase.DONE]
    assert sorted(done) == [f"o{number}" for number in range(AT_ONCE + 1)]
    await node.node.stop()
