"""A simulated rack as its own process on a real Mosquitto."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import Link, Message, Subscription
from broker.client.mqtt_link import connector
from broker.contract.messages import (
    Details,
    Phase,
    Power,
    Reply,
    StackState,
    decode,
    encode,
)
from broker.contract.topics import NodeLeaf, NodeTopic, ReplyTopic, Topics
from node_agent.simulator.settings import BoardPlace
from tests.mosquitto import OpenMosquitto
from tests.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

TOPICS = Topics("sim-test")
STACKS, BOARDS = 12, 4
CUT_S = 2.5
"""Longer than boards that beat every second are ever silent, shorter than the cut."""
KEEPALIVE_S = 5
"""The least Mosquitto's tools know; its will comes after about twice of it (2.0)."""
PATIENCE_S = 30.0
"""For what must come at all; how soon it comes is measured in bench/recovery.py."""


class BoardObserver:
    """Remembers what the boards publish."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.details: dict[str, Details] = {}
        self.beats: dict[str, int] = {}
        self.beat_at: dict[str, float] = {}
        self.longest_silence_s: dict[str, float] = {}
        self.replies: list[Reply] = []

    def on_connected(self, session: str) -> None:
        pass

    def on_disconnected(self, reason: str) -> None:
        pass

    def on_message(self, message: Message) -> None:
        match TOPICS.parse(message.topic):
            case NodeTopic(node=node, leaf=NodeLeaf.STATUS):
                self.status[node] = message.payload.decode()
            case NodeTopic(node=node, leaf=NodeLeaf.DETAILS):
                self.details[node] = decode(message.payload, Details)
            case NodeTopic(node=node, leaf=NodeLeaf.HEARTBEAT):
                self._beat(node)
            case ReplyTopic():
                self.replies.append(decode(message.payload, Reply))

    def _beat(self, node: str) -> None:
        now = time.monotonic()
        silence_s = now - self.beat_at.get(node, now)
        longest_s = self.longest_silence_s.get(node, 0.0)
        self.longest_silence_s[node] = max(longest_s, silence_s)
        self.beat_at[node] = now
        self.beats[node] = self.beats.get(node, 0) + 1

    def online(self) -> int:
        return list(self.status.values()).count("online")


class ObserverClient:
    """A client that watches the rack and asks the simulator."""

    def __init__(self, port: int) -> None:
        self.observed = BoardObserver()
        leaves = (NodeLeaf.STATUS, NodeLeaf.DETAILS, NodeLeaf.HEARTBEAT)
        filters = [TOPICS.node("+", leaf) for leaf in leaves]
        self.link: Link = connector(Endpoint(port=port))(
            self.observed,
            client_id=f"observer-{time.monotonic_ns()}",
            subscriptions=[
                Subscription(one, qos=1)
                for one in (*filters, f"{TOPICS.prefix}/sim/reply/+")
            ],
        )

    async def ask(self, fault: str, words: str) -> Reply:
        self.observed.replies.clear()
        self.link.publish(f"{TOPICS.prefix}/sim/cmd/{fault}", words.encode(), qos=1)
        await self.until(lambda: bool(self.observed.replies))
        return self.observed.replies[-1]

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until something is seen."""
        deadline = time.monotonic() + PATIENCE_S
        while not seen():
            assert time.monotonic() < deadline, "not seen in time"
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Mosquitto."""
    broker = OpenMosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker.port
    broker.stop()


@pytest.fixture(scope="module")
def echo_port() -> int:
    return free_port(socket.SOCK_DGRAM, host="")


@pytest.fixture(scope="module")
def simulator(
    port: int, echo_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[bytes]]:
    """48 boards that beat every second."""
    conf: Path = tmp_path_factory.mktemp("simulator") / "pirack.toml"
    conf.write_text(
        f'[rack]\nname = "{TOPICS.rack}"\n'
        f"[broker]\nport = {port}\nkeepalive_s = {KEEPALIVE_S}\n"
        f"[simulator]\nstacks = {STACKS}\nboards = {BOARDS}\ninterval_s = 1.0\n"
        f"boot_s = 1.0\necho_port = {echo_port}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pirack.cli", "simulate", "--config", conf]
    )
    yield process
    process.kill()
    process.wait(30)


@pytest.fixture
async def observer(
    port: int, simulator: subprocess.Popen[bytes]
) -> AsyncIterator[ObserverClient]:
    """An observer who sees all 48 boards online, and their details."""
    assert simulator.poll() is None
    observer = ObserverClient(port)
    await observer.link.start()
    assert await observer.link.wait_connected(PATIENCE_S)
    await observer.until(lambda: observer.observed.online() == STACKS * BOARDS)
    await observer.until(lambda: len(observer.observed.details) == STACKS * BOARDS)
    yield observer
    await observer.link.stop()


def echoes(place: BoardPlace, port: int, *, within_s: float = PATIENCE_S) -> bool:
    """Ping a board over UDP, from and to its own address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ping:
        ping.settimeout(within_s)
        ping.connect((place.address, port))
        ping.send(b"ping")
        try:
            return ping.recv(64) == b"ping"
        except TimeoutError:
            return False


async def test_a_crash_brings_the_will_though_the_board_lives(
    observer: ObserverClient, echo_port: int
) -> None:
    place = BoardPlace(3, 2)
    reply = await observer.ask("crash", "s03n2")
    assert reply.phase is Phase.DONE
    await observer.until(lambda: observer.observed.status[place.id] == "offline")
    assert await asyncio.to_thread(echoes, place, echo_port), "the board is alive"
    await observer.ask("heal", "s03n2")
    await observer.until(lambda: observer.observed.status[place.id] == "online")


async def test_a_frozen_board_is_silent_until_keepalive_brings_the_will(
    observer: ObserverClient, echo_port: int
) -> None:
    place, observed = BoardPlace(1, 1), observer.observed
    session = observed.details[place.id].session
    await observer.until(lambda: place.id in observed.beat_at)
    await observer.ask("freeze", place.id)
    frozen_at = time.monotonic()
    await observer.until(lambda: observed.status[place.id] == "offline")
    assert time.monotonic() - frozen_at >= KEEPALIVE_S - 1, "that was no keepalive"
    assert time.monotonic() - observed.beat_at[place.id] >= KEEPALIVE_S - 2, "it spoke"
    assert not await asyncio.to_thread(echoes, place, echo_port, within_s=0.5)
    assert await asyncio.to_thread(echoes, BoardPlace(1, 2), echo_port)
    beats = observed.beats[place.id]
    await observer.ask("heal", place.id)
    await observer.until(lambda: observed.status[place.id] == "online")
    await observer.until(lambda: observed.details[place.id].session != session)
    await observer.until(lambda: observed.beats[place.id] > beats)


async def test_a_network_cut_shorter_than_keepalive_leaves_no_trace_but_silence(
    observer: ObserverClient,
) -> None:
    place, observed = BoardPlace(2, 1), observer.observed
    session = observed.details[place.id].session
    await observer.until(lambda: place.id in observed.beat_at)
    await observer.ask("network-cut", "s02n1 for=3")
    await observer.until(lambda: observed.longest_silence_s[place.id] > CUT_S)
    assert observed.status[place.id] == "online"
    assert observed.details[place.id].session == session


async def test_an_outlet_cuts_and_boots_its_stack(observer: ObserverClient) -> None:
    observed, ids = (
        observer.observed,
        [BoardPlace(5, slot).id for slot in range(1, BOARDS + 1)],
    )
    boots = {node: observed.details[node].boot_id for node in ids}
    for power in (Power.OFF, Power.ON):  # heard in this order, however fast
        state = StackState(stack=5, name="", x=0, y=0, slots=BOARDS, power=power)
        observer.link.publish(TOPICS.stack(5), encode(state), qos=1, retain=True)
    await observer.until(
        lambda: all(observed.details[node].boot_id != boots[node] for node in ids)
    )
    await observer.until(lambda: {observed.status[node] for node in ids} == {"online"})


async def test_two_boards_with_one_identity_fight_until_one_is_gone(
    observer: ObserverClient,
) -> None:
    place, names = BoardPlace(6, 1), set[str]()

    def both_seen() -> bool:
        names.add(observer.observed.details[place.id].hostname)
        return names == {"s06n1", "s06n1-clone"}

    await observer.ask("duplicate", "s06n1")
    await observer.until(both_seen)
    await observer.ask("heal", "s06n1")
    await observer.until(
        lambda: (
            observer.observed.details[place.id].hostname == "s06n1"
            and observer.observed.status[place.id] == "online"
        )
    )


async def test_at_its_end_every_board_says_goodbye(
    observer: ObserverClient, simulator: subprocess.Popen[bytes]
) -> None:
    simulator.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(simulator.wait, PATIENCE_S) == 0
    await observer.until(lambda: observer.observed.online() == 0)
    reasons = {details.reason for details in observer.observed.details.values()}
    assert reasons == {"simulation ended"}
