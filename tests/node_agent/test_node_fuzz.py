"""Random messages and failing publishes stop no node."""

import logging

import pytest

from broker.client.fake import PublishFailure
from broker.contract.messages import MasterDetails, Order, Phase, Status
from broker.contract.topics import HOME_ASSISTANT_STATUS
from tests.node_agent.harness import ID, ORDER, STATUS, NodeHarness
from tests.random_messages import RandomMessages, Sent

SEEDS = 25
MESSAGES = 400
HEARD = (Order, MasterDetails, Status)
LIKELY = {"verb": ("ping", "refresh", "uptime", "run", "reboot", "no-such-verb")}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_ten_thousand_random_messages_stop_no_node(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    node = NodeHarness()
    await node.begin()
    random_ = RandomMessages(seed, nodes=(ID,), likely=LIKELY, only=HEARD)
    sent: list[Sent] = []
    for number in range(MESSAGES):
        one = random_.next()
        if one.topic.endswith("/order"):  # to this node, whoever it was for
            one = Sent(ORDER, one.payload, one.retain, one.kind)
        elif one.topic == STATUS:  # the link's own business
            one = Sent(HOME_ASSISTANT_STATUS, one.payload, one.retain, one.kind)
        sent.append(one)
        node.broker.publish(one.topic, one.payload, qos=1, retain=one.retain)
        if number % 20 == 0:
            await node.clock.advance(3.0)
            await node.settle()
    link = node.node._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.listener_errors.counts == {}
    assert sum(one.decodes for one in sent) / len(sent) >= 0.5
    refused = [r for r in caplog.records if "refused" in r.getMessage()]
    assert len(refused) == len(node.node.rejections.counts), "each kind is logged once"
    await node.clock.advance(60.0)
    beats = len(node.beats)
    await node.order("uptime", id="after")
    await node.clock.advance(60.0)
    phases = [one.phase for one in node.results if one.id == "after"]
    assert phases[-1] is Phase.DONE
    assert len(node.beats) >= beats + 5
    await node.node.stop()


@pytest.mark.parametrize("failure", PublishFailure)
@pytest.mark.parametrize("after", range(16))
async def test_a_node_goes_on_whichever_publish_fails(
    failure: PublishFailure, after: int
) -> None:
    node = NodeHarness()
    node.broker.fail(failure, client_id=ID, after=after)
    await node.begin()
    for number in range(4):
        await node.order("uptime", id=f"order-{number}")
        await node.clock.advance(20.0)
        node.broker.reconnect(ID)
        await node.settle()
    before = len(node.beats)
    await node.order("uptime", id="last")
    await node.clock.advance(40.0)
    assert [one.phase for one in node.results if one.id == "last"][-1] is Phase.DONE
    assert len(node.beats) >= before + 3
    link = node.node._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.listener_errors.counts == {}
    await node.node.stop()
