"""A publish that fails, whichever it is, costs that message and nothing else."""

import pytest

from broker.client.fake_link import PublishFailure
from broker.contract.messages import Phase
from tests.node_agent.stage import ID, Stage


@pytest.mark.parametrize("failure", PublishFailure)
@pytest.mark.parametrize("after", range(16))
async def test_a_node_goes_on_whichever_publish_fails(
    failure: PublishFailure, after: int
) -> None:
    stage = Stage()
    stage.broker.fail(failure, client_id=ID, after=after)
    await stage.begin()
    for number in range(4):
        await stage.order("uptime", id=f"order-{number}")
        await stage.clock.advance(20.0)
        stage.broker.reconnect(ID)
        await stage.settle()
    before = len(stage.beats)
    await stage.order("uptime", id="last")
    await stage.clock.advance(40.0)
    assert [one.phase for one in stage.results if one.id == "last"][-1] is Phase.DONE
    assert len(stage.beats) >= before + 3
    link = stage.node._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.faults.counts == {}
    await stage.node.stop()
