"""The real agent as a process, and a real Mosquitto: what an owner relies on."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint
from broker.contract.messages import Details, Heartbeat, decode
from broker.contract.topics import NodeLeaf
from tests.mosquitto import OpenMosquitto
from tests.system.agent.process import ID, ROOT, TOPICS, Agent, Observer

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]


async def test_it_says_who_and_how_this_machine_is(
    agent: Agent, observer: Observer
) -> None:
    agent.start()
    await observer.until_beating()
    assert observer.said(NodeLeaf.STATUS) == [b"online"]
    details = decode(observer.said(NodeLeaf.DETAILS)[-1], Details)
    assert details.hostname == socket.gethostname()
    assert not details.simulated
    assert {"reboot", "where", "uptime"} <= {one.verb for one in details.abilities}
    beat = decode(observer.said(NodeLeaf.HEARTBEAT)[-1], Heartbeat)
    assert beat.session == details.session
    assert beat.uptime_s > 0


async def test_it_waits_for_a_broker_that_comes_later(
    agent: Agent, broker: OpenMosquitto
) -> None:
    broker.stop()
    process = agent.start()
    await asyncio.sleep(2)
    assert process.poll() is None
    broker.start()
    observer = Observer(broker.port)
    await observer.link.start()
    await observer.until(lambda: b"online" in observer.said(NodeLeaf.STATUS))
    await observer.until_beating()
    await observer.link.stop()


async def test_a_broker_that_lost_everything_is_told_everything_again(
    agent: Agent, broker: OpenMosquitto, observer: Observer
) -> None:
    agent.start()
    await observer.until_beating()
    broker.stop()
    broker.start()
    told = (NodeLeaf.STATUS, NodeLeaf.DETAILS)
    seen = len(observer.messages)

    def again() -> bool:
        topics = {one.topic for _, one in observer.messages[seen:]}
        return all(TOPICS.node(ID, leaf) in topics for leaf in told)

    await observer.until(again)


async def test_a_killed_agent_is_offline_long_before_its_keepalive(
    agent: Agent, observer: Observer
) -> None:
    process = agent.start()
    await observer.until_beating()
    killed = time.monotonic()
    process.kill()
    seen = await observer.until(lambda: b"offline" in observer.said(NodeLeaf.STATUS))
    assert seen - killed < Endpoint().keepalive_s


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_clean_stop_says_offline_and_why(
    agent: Agent, observer: Observer, number: signal.Signals
) -> None:
    process = agent.start()
    await observer.until_beating()
    process.send_signal(number)
    await observer.until(lambda: b"offline" in observer.said(NodeLeaf.STATUS))
    details = decode(observer.said(NodeLeaf.DETAILS)[-1], Details)
    assert details.reason == "stopped"
    assert process.wait(30) == 0


async def test_in_steady_state_it_writes_nothing_to_disk(
    agent: Agent, observer: Observer
) -> None:
    process = agent.start()
    await observer.until_beating()

    def written() -> str:
        lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
        return next(line for line in lines if line.startswith("write_bytes"))

    before = written()
    for _ in range(4):
        await observer.until_beating()
    assert written() == before
    assert not agent.state.exists()


async def test_the_example_node_runs_and_reports_its_own_number(
    broker: OpenMosquitto, observer: Observer, tmp_path: Path
) -> None:
    settings = tmp_path / "pirack.toml"
    settings.write_text(f"[broker]\nport = {broker.port}\n")
    command = [sys.executable, str(ROOT / "examples/counter_node.py")]
    options = ["--config", str(settings), "--id", ID]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, *options], env=environment)  # noqa: ASYNC220  # starts at once
    try:
        await observer.until_beating()
        await observer.until_beating()
    finally:
        process.terminate()
        assert process.wait(30) == 0
    beat = decode(observer.said(NodeLeaf.HEARTBEAT)[-1], Heartbeat)
    assert beat.extra == {"counted_beats": beat.seq}
