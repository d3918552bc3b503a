"""A node and its parts under test: on a broker in memory, with a clock of their own."""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from broker.client.fake import FakeBroker
from broker.contract.messages import (
    Details,
    Heartbeat,
    Order,
    Phase,
    Result,
    decode,
)
from broker.contract.topics import NodeLeaf, Topics
from node_agent.actions import from_text, withhold
from node_agent.board import FakeBoard
from node_agent.node import Node
from node_agent.order_executor import OrderExecutor
from node_agent.order_memory import OrderMemory
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently

TOPICS = Topics("lab")
ID = "pi-a1b2c3d4"
ORDER = TOPICS.node(ID, NodeLeaf.ORDER)
STATUS = TOPICS.node(ID, NodeLeaf.STATUS)
DETAILS = TOPICS.node(ID, NodeLeaf.DETAILS)
HEARTBEAT = TOPICS.node(ID, NodeLeaf.HEARTBEAT)
RESULT = TOPICS.node(ID, NodeLeaf.RESULT)

COMMANDS = """
[all]
uptime = uptime
journal = journalctl -u {unit}
reboot = touch rebooted
shutdown = touch halted
identify = blink
"""

_TURNS = 20
"""Turns of the loop after which nothing moves any more in what tests build."""


class FakeClock:
    """Monotonic time and sleep for a ``Node`` under test."""

    def __init__(self) -> None:
        self.now = 1000.0
        """What it shows, seconds."""
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def __call__(self) -> float:
        """Return the time, seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until ``advance`` has brought the clock that far."""
        woken = asyncio.Event()
        sleeper = (self.now + seconds, woken)
        self._sleepers.append(sleeper)
        try:
            await woken.wait()
        finally:
            self._sleepers.remove(sleeper)

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its own moment, in order."""
        end = self.now + seconds
        await turns()
        while due := [one for one in self._sleepers if one[0] <= end]:
            moment, woken = min(due, key=lambda one: one[0])
            self.now = max(self.now, moment)
            woken.set()
            await turns()
        self.now = end
        await turns()


async def turns() -> None:
    """Let the loop do all it can do without time passing."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class HeldRunner(FakeRunner):
    """Programs that run until a test lets them end."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        outcome = await super().run(invocation, progress)
        await self.release.wait()
        return outcome


class FullDisk(OrderMemory):
    """A board on which nothing can be written, not even below /run."""

    def keep(self, order_id: str) -> str:
        raise OSError(28, "No space left on device", order_id)


class Executor:
    """An executor without a broker, and everything it said."""

    def __init__(
        self,
        runner: FakeRunner,
        memory: OrderMemory | None = None,
        restart: Callable[[], None] | None = None,
        withheld: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.runner = runner
        self.said: list[Result] = []
        self.refreshes = 0
        self.clock = FakeClock()
        self.executor = OrderExecutor(
            actions=withhold(from_text(COMMANDS), withheld),
            runner=runner,
            memory=memory or OrderMemory(),
            answer=self.said.append,
            refresh=self._refresh,
            clock=self.clock,
            at_once=2,
            restart=restart,
        )

    async def order(self, verb: str, *args: str, **more: Any) -> list[Result]:  # noqa: ANN401  # fields of Order
        """Give one order and return what is said to it, as far as that goes now."""
        fields = {"id": "o1"} | more
        before = len(self.said)
        given = Order(verb=verb, args=args, **fields)
        self.executor.take(given, retained=False, wall_time=None)
        await turns()
        return self.said[before:]

    def _refresh(self) -> None:
        self.refreshes += 1


def phases(results: list[Result]) -> list[Phase]:
    return [result.phase for result in results]


async def until_answered(harness: Executor) -> Result:
    while not harness.said[-1].phase.final:  # noqa: ASYNC110  # the id is written in a thread
        await asyncio.sleep(0)
    return harness.said[-1]


class NodeHarness:
    """A node, its broker, and everything that was published.

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
