"""A model with helpers that say to it what a rack would publish."""

from collections.abc import Callable
from typing import Any

import pytest

from broker.client.link import Message
from broker.common.log import Rejections
from broker.contract.messages import (
    Ability,
    Details,
    Event,
    EventKind,
    Heartbeat,
    NodeState,
    Payload,
    Power,
    RackState,
    StackState,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from dashboard.live.hub import Hub, View
from dashboard.live.model import RackModel, Record
from dashboard.server.settings import Thresholds
from dashboard.server.users import PageRole, PageUser

WALL = 1_700_000_000.0
ABILITIES = (Ability(verb="identify"), Ability(verb="reboot"))


def heartbeat(**values: object) -> Heartbeat:
    base: dict[str, Any] = {
        "session": "s1",
        "seq": 1,
        "ts": WALL,
        "uptime_s": 60,
        "cpu_percent": 12.4,
        "load": (0.1, 0.2, 0.3),
        "memory_percent": 30.6,
        "disk_percent": 41,
        "temperature_c": 45.2,
    }
    base.update(values)
    return Heartbeat(**base)


def node_state(**values: object) -> NodeState:
    base: dict[str, Any] = {
        "id": "pi-1",
        "name": "s01n1",
        "verdict": Verdict.ONLINE,
        "since": WALL - 100,
        "stack": 1,
        "slot": 1,
        "tags": ("gpu",),
    }
    base.update(values)
    return NodeState(**base)


def details(**values: object) -> Details:
    base: dict[str, Any] = {
        "session": "s1",
        "boot_id": "b1",
        "hostname": "raspberrypi",
        "interval_s": 1,
        "agent_version": "0.1.0",
        "serial": "10000000abcd0001",
        "macs": ("dc:a6:32:01:02:03",),
        "addresses": ("10.0.1.1",),
        "abilities": ABILITIES,
    }
    base.update(values)
    return Details(**base)


class Deaf:
    """A listener that does not care."""

    def on_connected(self, session: str) -> None:
        """Do nothing."""

    def on_disconnected(self, reason: str) -> None:
        """Do nothing."""

    def on_message(self, message: Message) -> None:
        """Do nothing."""


class FakePort:
    """A tab that remembers what it was sent."""

    def __init__(self) -> None:
        self.open = True
        self.sent: list[tuple[int, str, str]] = []

    def send(self, number: int, shared: str, private: str) -> None:
        self.sent.append((number, shared, private))


class Harness:
    """A model, a hub, and what publishes to them."""

    def __init__(self) -> None:
        self.topics = Topics("lab")
        self.now = 1000.0
        self.model = RackModel(self.topics, Rejections("test"))
        self.hub = Hub(
            self.model,
            Thresholds(),
            tick_s=0.2,
            clock=lambda: self.now,
            wall=lambda: WALL + self.now - 1000,
        )

    def say(
        self, topic: str, payload: bytes | str | Payload = b"", *, retain: bool = True
    ) -> None:
        if isinstance(payload, str):
            payload = payload.encode()
        raw = payload if isinstance(payload, bytes) else encode(payload)
        self.model.apply(Message(topic, raw, retain), self.now)

    def node(self, number: int = 1, **values: object) -> Record:
        node = f"pi-{number}"
        base: dict[str, object] = {"id": node, "name": f"s01n{number}", "slot": number}
        base.update(values)
        self.say(self.topics.node(node, NodeLeaf.STATE), node_state(**base))
        self.say(self.topics.node(node, NodeLeaf.STATUS), "online")
        self.say(self.topics.node(node, NodeLeaf.DETAILS), details())
        self.beat(number)
        return self.model.nodes[node]

    def beat(self, number: int = 1, **values: object) -> None:
        topic = self.topics.node(f"pi-{number}", NodeLeaf.HEARTBEAT)
        self.say(topic, heartbeat(**values), retain=False)

    def rack(self) -> None:
        self.say(self.topics.rack_state, RackState(rack="lab", stacks=(1,)))
        stack = StackState(stack=1, name="Stack 01", x=0, y=0, slots=4, power=Power.ON)
        self.say(self.topics.stack(1), stack)
        self.say(self.topics.master_status, "online")

    def event(self, number: int = 1, text: str = "something") -> None:
        event = Event(seq=number, ts=WALL, kind=EventKind.COMMAND, text=text)
        self.say(self.topics.event, event, retain=False)

    def view(self) -> tuple[View, FakePort]:
        port = FakePort()
        user = PageUser(name="ada", role=PageRole.ADMIN, salt="", digest="", stamp="x")
        view = View(port, user)
        self.hub.views.add(view)
        return view, port


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture
def make_heartbeat() -> Callable[..., Heartbeat]:
    return heartbeat


@pytest.fixture
def make_state() -> Callable[..., NodeState]:
    return node_state


@pytest.fixture
def make_details() -> Callable[..., Details]:
    return details
