"""The real agent as a process, and a real Mosquitto: what an owner relies on."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.client import connector
from broker.endpoint import Endpoint
from broker.link import Link, Message, Subscription
from broker.messages import Details, Heartbeat, Phase, Result, decode
from broker.topics import NodeLeaf, Topics

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

ROOT = Path(__file__).parents[2]
TOPICS = Topics("lab")
ID = "pi-test"
INTERVAL_S = 0.5


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


class Broker:
    """A Mosquitto that anybody on this machine may use, on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._config = directory / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["mosquitto", "-c", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not accepts(self.port):
            assert time.monotonic() < deadline, "Mosquitto does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Observer:
    """Everything the broker said about the node, and when."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[float, Message]] = []
        self._more = asyncio.Event()
        filters = [
            Subscription(TOPICS.node(ID, leaf), qos=1)
            for leaf in NodeLeaf
            if leaf is not NodeLeaf.ORDER
        ]
        self.link: Link = connector(Endpoint(port=port))(
            self, client_id="observer", subscriptions=filters
        )

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        self.messages.append((time.monotonic(), message))
        self._more.set()

    def order(self, verb: str, *, retain: bool = False, **more: Any) -> None:  # noqa: ANN401  # fields of Order
        fields = {"id": "o1", "verb": verb} | more
        topic = TOPICS.node(ID, NodeLeaf.ORDER)
        self.link.publish(topic, json.dumps(fields).encode(), qos=1, retain=retain)

    def said(self, leaf: NodeLeaf) -> list[bytes]:
        topic = TOPICS.node(ID, leaf)
        return [one.payload for _, one in self.messages if one.topic == topic]

    @property
    def details(self) -> list[Details]:
        return [decode(payload, Details) for payload in self.said(NodeLeaf.DETAILS)]

    def results(self, order_id: str = "o1") -> list[Phase]:
        found = (decode(payload, Result) for payload in self.said(NodeLeaf.RESULT))
        return [result.phase for result in found if result.id == order_id]

    async def until(self, condition: Callable[[], bool], within_s: float = 15) -> float:
        """Wait until something has been said; return the moment it was received."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._more.clear()
                await self._more.wait()
        return self.messages[-1][0]

    async def until_beating(self) -> None:
        beats = len(self.said(NodeLeaf.HEARTBEAT))
        await self.until(lambda: len(self.said(NodeLeaf.HEARTBEAT)) > beats)


class Agent:
    """``pirack-agent`` as a person starts it, with a harmless reboot and update.

    Its shutdown ends the agent, as a machine that goes down does.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.rebooted = directory / "rebooted"
        self.state = directory / "state"
        self.log = directory / "agent.log"
        commands = directory / "commands.ini"
        commands.write_text(
            "[test]\nshell = yes\n"
            f"reboot = echo again >> {self.rebooted}\n"
            f"update = echo again >> {self.rebooted}\n"
            f"shutdown = echo again >> {self.rebooted}; kill $PPID; sleep 60\n"
            "where = pwd\nsecret = env\n"
        )
        self._command = [
            *(sys.executable, "-m", "node_agent.cli"),
            *("--id", ID, "--port", str(port), "--interval", str(INTERVAL_S)),
            *("--commands", str(commands), "--state-dir", str(self.state)),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, by_systemd: bool = False) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        say_so = 'SYSTEMD_EXEC_PID=$$ exec "$@"'
        started_by = ["sh", "-c", say_so, "systemd"] if by_systemd else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*started_by, *self._command],
                stderr=log,
                env=environment,
                cwd=self.log.parent,
            )
        return self.process

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def reboots(self) -> int:
        return len(self.rebooted.read_text().split()) if self.rebooted.exists() else 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def agent(tmp_path: Path, broker: Broker) -> Iterator[Agent]:
    agent = Agent(tmp_path, broker.port)
    yield agent
    agent.stop()


@pytest.fixture
async def observer(broker: Broker) -> AsyncIterator[Observer]:
    observer = Observer(broker.port)
    await observer.link.start()
    assert await observer.link.wait_connected(10)
    yield observer
    await observer.link.stop()


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


async def test_a_reboot_retained_before_it_starts_is_never_obeyed(
    agent: Agent, observer: Observer
) -> None:
    observer.order("reboot", retain=True)
    await asyncio.sleep(0.2)
    agent.start()
    await observer.until_beating()
    await observer.until_beating()
    observer.order("ping", id="after")
    await observer.until(lambda: observer.results("after") == [Phase.DONE])
    assert agent.reboots == 0
    assert Phase.ACCEPTED not in observer.results()


async def test_a_reboot_retained_while_it_listens_is_refused_and_cleared(
    agent: Agent, observer: Observer
) -> None:
    agent.start()
    await observer.until_beating()
    observer.order("reboot", retain=True)
    await observer.until(lambda: observer.results() == [Phase.REFUSED])
    assert agent.reboots == 0
    agent.stop()
    agent.start()
    await observer.until_beating()
    await observer.until_beating()
    assert agent.reboots == 0


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
    assert await asyncio.to_thread(process.wait, 10) == 0
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
    assert await asyncio.to_thread(process.wait, 10) == 0


async def test_an_order_that_came_too_late_is_answered_expired(
    agent: Agent, observer: Observer
) -> None:
    agent.start()
    await observer.until_beating()
    observer.order("reboot", ttl_s=0)
    await observer.until(lambda: observer.results() == [Phase.EXPIRED])
    assert agent.reboots == 0


async def test_a_command_runs_without_our_environment(
    agent: Agent, observer: Observer
) -> None:
    agent.start()
    await observer.until_beating()
    observer.order("secret")
    await observer.until(lambda: Phase.DONE in observer.results())
    last = decode(observer.said(NodeLeaf.RESULT)[-1], Result)
    assert "PYTHONPATH" not in last.stdout
    assert last.exit_code == 0


async def test_it_waits_for_a_broker_that_comes_later(
    agent: Agent, broker: Broker
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
    agent: Agent, broker: Broker, observer: Observer
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


async def test_a_killed_agent_is_offline_within_a_second(
    agent: Agent, observer: Observer
) -> None:
    process = agent.start()
    await observer.until_beating()
    killed = time.monotonic()
    process.kill()
    seen = await observer.until(lambda: b"offline" in observer.said(NodeLeaf.STATUS))
    assert seen - killed <= 1.0


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
    assert process.wait(10) == 0


async def test_bytes_that_mean_nothing_stop_nothing(
    agent: Agent, observer: Observer
) -> None:
    agent.start()
    await observer.until_beating()
    topic = TOPICS.node(ID, NodeLeaf.ORDER)
    for payload in (b"", b"reboot", b"\xff" * 100, b"[" * 16_000, b'{"id":1}'):
        observer.link.publish(topic, payload, qos=1)
    observer.order("ping")
    await observer.until(lambda: observer.results() == [Phase.DONE])
    assert agent.log.read_text().count("(logged once)") == 1


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
    broker: Broker, observer: Observer
) -> None:
    command = [sys.executable, str(ROOT / "examples/counter_node.py")]
    options = ["--port", str(broker.port), "--id", ID]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, *options], env=environment)  # noqa: ASYNC220  # starts at once
    try:
        await observer.until_beating()
        await observer.until_beating()
    finally:
        process.terminate()
        assert process.wait(10) == 0
    beat = decode(observer.said(NodeLeaf.HEARTBEAT)[-1], Heartbeat)
    assert beat.extra == {"counted_beats": beat.seq}
