"""Orders to begin anew, and orders that are withheld here."""

import asyncio
from pathlib import Path

from broker.contract.messages import Phase
from node_agent.fake_clock import turns
from node_agent.order_memory import OrderMemory
from node_agent.runner import FakeRunner
from tests.node_agent.office import Full, Held, Office, until_answered


async def test_an_agent_nobody_would_start_again_does_not_end(office: Office) -> None:
    assert "restart-agent" not in {one.verb for one in await office.desk.probe()}
    (refused,) = await office.order("restart-agent")
    assert refused.phase is Phase.REFUSED
    assert refused.error == "nothing would start this agent again"


async def test_a_restart_is_on_disk_and_answered_before_the_agent_ends(
    tmp_path: Path,
) -> None:
    file = tmp_path / "orders.json"
    found: list[tuple[bool, Phase]] = []

    def restart() -> None:
        found.append((OrderMemory.load(file).seen("o1"), ours.said[-1].phase))

    ours = Office(FakeRunner(), OrderMemory.load(file), restart)
    assert "restart-agent" in {one.verb for one in await ours.desk.probe()}
    await ours.order("restart-agent", by="anna")
    await until_answered(ours)
    assert found == [(True, Phase.DONE)]
    assert ours.desk.leaving == "restart-agent ordered by anna"
    again = Office(FakeRunner(), OrderMemory.load(file), restart)
    assert await again.order("restart-agent") == []
    assert len(found) == 1


async def test_a_restart_whose_id_cannot_be_kept_is_not_obeyed() -> None:
    restarts: list[None] = []
    office = Office(FakeRunner(), Full(), lambda: restarts.append(None))
    await office.order("restart-agent")
    assert (await until_answered(office)).phase is Phase.REFUSED
    assert restarts == []


async def test_a_restart_does_not_cut_off_the_answer_to_a_reboot() -> None:
    restarts: list[None] = []
    held = Held()
    office = Office(held, restart=lambda: restarts.append(None))
    await office.order("reboot")
    while not held.invocations:  # noqa: ASYNC110  # the id is written in a thread
        await asyncio.sleep(0)
    (refused,) = await office.order("restart-agent", id="o2")
    assert refused.error == "reboot is under way; its answer would be lost"
    held.release.set()
    await turns()
    await office.order("restart-agent", id="o3")
    await until_answered(office)
    assert restarts == [None]


async def test_what_is_withheld_is_refused_with_the_reason() -> None:
    office = Office(FakeRunner(), withheld={"reboot": "a demo runs here"})
    await office.desk.probe()
    assert office.desk.obstacles == {"reboot": "a demo runs here"}
    (refused,) = await office.order("reboot")
    assert refused.error == "reboot cannot work on this node: a demo runs here"


async def test_what_is_withheld_is_refused_before_anything_was_probed() -> None:
    office = Office(FakeRunner(), withheld={"reboot": "a demo runs here"})
    (refused,) = await office.order("reboot")
    assert refused.error == "reboot is withheld: a demo runs here"
    assert office.runner.invocations == []
