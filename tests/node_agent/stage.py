"""A broker, a node, and what is between them."""

import json
from typing import Any

from broker.client.fake import FakeBroker
from broker.contract.messages import (
    Details,
    Heartbeat,
    Result,
    decode,
)
from broker.contract.topics import NodeLeaf, Topics
from node_agent.actions import from_text
from node_agent.board import FakeBoard
from node_agent.fake_clock import FakeClock
from node_agent.node import Node
from node_agent.runner import FakeRunner

TOPICS = Topics("lab")
ID = "pi-a1b2c3d4"
ORDER = TOPICS.node(ID, NodeLeaf.ORDER)
STATUS = TOPICS.node(ID, NodeLeaf.STATUS)
DETAILS = TOPICS.node(ID, NodeLeaf.DETAILS)
HEARTBEAT = TOPICS.node(ID, NodeLeaf.HEARTBEAT)
RESULT = TOPICS.node(ID, NodeLeaf.RESULT)


class Stage:
    """A broker, a node, and what is between them.

    Args:
        kind: The class of the node.
        mqtt5: What the broker speaks.
        runner: Runs its commands.
    """

    def __init__(
        self,
        kind: type[Node] = Node,
        *,
        mqtt5: bool = True,
        runner: FakeRunner | None = None,
    ) -> None:
        self.broker = FakeBroker(mqtt5=mqtt5)
        self.clock = FakeClock()
        self.board = FakeBoard()
        self.runner = runner or FakeRunner()
        self.restarts: list[None] = []
        self.node = kind(
            ID,
            board=self.board,
            actions=from_text("[a]\nuptime = uptime\nreboot = reboot\n"),
            runner=self.runner,
            connect=self.broker.connect,
            topics=TOPICS,
            interval_s=10.0,
            clock=self.clock,
            sleep=self.clock.sleep,
            restart=lambda: self.restarts.append(None),
        )

    async def begin(self) -> None:
        await self.node.start()
        await self.settle()

    async def settle(self) -> None:
        await self.clock.advance(0)
        await self.broker.settle()

    async def order(self, verb: str, *, retain: bool = False, **more: Any) -> None:  # noqa: ANN401  # fields of Order
        fields = {"id": "o1", "verb": verb} | more
        self.broker.publish(ORDER, json.dumps(fields).encode(), qos=1, retain=retain)
        await self.settle()

    @property
    def beats(self) -> list[Heartbeat]:
        return [decode(one.payload, Heartbeat) for one in self.broker.sent(HEARTBEAT)]

    @property
    def details(self) -> list[Details]:
        return [decode(one.payload, Details) for one in self.broker.sent(DETAILS)]

    @property
    def results(self) -> list[Result]:
        return [decode(one.payload, Result) for one in self.broker.sent(RESULT)]

    @property
    def statuses(self) -> list[bytes]:
        return [one.payload for one in self.broker.sent(STATUS)]
