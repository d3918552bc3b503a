"""A publish that fails, whichever it is, costs that message and nothing else."""

import pytest

from broker.client.fake_link import PublishFailure
from broker.contract.messages import Phase
from tests.node_agent.harness import ID, NodeHarness


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
    assert link.faults.counts == {}
    await node.node.stop()
