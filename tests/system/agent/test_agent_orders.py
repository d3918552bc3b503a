"""Orders to the real agent over a real Mosquitto: obeyed once, or not at all."""

import asyncio

import pytest

from broker.contract.messages import Details, Phase, decode
from broker.contract.topics import NodeLeaf
from tests.system.agent.process import Agent, Observer

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]


async def test_a_reboot_retained_before_it_starts_is_never_obeyed(
    agent: Agent, observer: Observer
) -> None:
    observer.order("reboot", retain=True)
    await observer.taken()
    agent.start()
    await observer.until_beating()
    await observer.until_beating()
    observer.order("ping", id="after")
    await observer.until(lambda: observer.results("after") == [Phase.DONE])
    assert agent.reboots == 0
    assert Phase.ACCEPTED not in observer.results()


@pytest.mark.parametrize("verb", ["reboot", "update"])
async def test_the_same_id_twice_runs_once_even_across_a_restart(
    agent: Agent, observer: Observer, verb: str
) -> None:
    agent.start()
    await observer.until_beating()
    for _ in range(2):
        observer.order(verb)
    done = [Phase.ACCEPTED, Phase.RUNNING, Phase.DONE]
    await observer.until(lambda: observer.results() == done)
    agent.stop()
    agent.start()
    await observer.until_beating()
    observer.order(verb)
    observer.order("ping", id="after")
    await observer.until(lambda: observer.results("after") == [Phase.DONE])
    assert agent.reboots == 1
    assert observer.results() == done


async def test_an_order_that_took_the_machine_down_is_not_obeyed_when_it_is_back(
    agent: Agent, observer: Observer
) -> None:
    process = agent.start()
    await observer.until_beating()
    observer.order("shutdown", by="anna")
    await observer.until(lambda: b"offline" in observer.said(NodeLeaf.STATUS))
    goodbye = decode(observer.said(NodeLeaf.DETAILS)[-1], Details)
    assert goodbye.reason == "shutdown ordered by anna"
    assert await asyncio.to_thread(process.wait, 30) == 0
    agent.start()
    await observer.until_beating()
    observer.order("shutdown", by="anna")
    observer.order("ping", id="after")
    await observer.until(lambda: observer.results("after") == [Phase.DONE])
    assert agent.reboots == 1
    assert observer.results() == [Phase.ACCEPTED, Phase.RUNNING]


async def test_an_agent_told_to_restart_is_back_in_a_new_session_of_the_same_boot(
    agent: Agent, observer: Observer
) -> None:
    process = agent.start()
    await observer.until_beating()
    before = observer.details[-1]
    observer.order("restart-agent", by="anna")
    await observer.until(lambda: observer.details[-1].session != before.session)
    goodbye, after = observer.details[-2:]
    assert (goodbye.session, goodbye.reason) == (
        before.session,
        "restart-agent ordered by anna",
    )
    assert (after.boot_id, after.reason) == (before.boot_id, "")
    assert process.poll() is None, "it put itself in its own place"
    await observer.until_beating()
    assert observer.said(NodeLeaf.STATUS) == [b"online", b"offline", b"online"]
    observer.order("restart-agent", by="anna")
    observer.order("ping", id="after")
    await observer.until(lambda: observer.results("after") == [Phase.DONE])
    assert observer.results() == [Phase.ACCEPTED, Phase.DONE]
    assert observer.details[-1].session == after.session


async def test_under_systemd_an_agent_told_to_restart_ends_well(
    agent: Agent, observer: Observer
) -> None:
    process = agent.start(by_systemd=True)
    await observer.until_beating()
    observer.order("restart-agent")
    await observer.until(lambda: b"offline" in observer.said(NodeLeaf.STATUS))
    assert await asyncio.to_thread(process.wait, 30) == 0
