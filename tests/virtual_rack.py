"""A simulated rack on a broker in memory, with a clock that a test turns."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from broker.client.fake import FakeBroker
from broker.contract.messages import (
    Details,
    Heartbeat,
    Order,
    Power,
    Reply,
    Result,
    StackState,
    decode,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from node_agent.simulator.service import SimulatorService
from node_agent.simulator.settings import SimulatorSettings
from node_agent.simulator.simulated_node import SimulatedNode

STEP_S = 0.1
EPOCH = 1_800_000_000.0
"""Unix time at zero of the rack's clock, seconds."""


class VirtualRack:
    """The simulated rack ``lab``, its broker, and its clock; no socket, no waiting.

    Args:
        settings: ``[simulator]``; its echo port must be 0.
        clock_s: What the clock shows at the start, seconds.
    """

    def __init__(self, settings: SimulatorSettings, clock_s: float = 1000.0) -> None:
        self.broker = FakeBroker()
        self.topics = Topics("lab")
        self.clock_s = clock_s
        self.service = SimulatorService(
            settings,
            topics=self.topics,
            connect=self.broker.connect,
            connect_as=lambda _: self.broker.connect,
            clock=lambda: self.clock_s,
            wall=lambda: EPOCH + self.clock_s,
        )

    async def start(self) -> None:
        """Starts, and waits until every board that has power is on the bus.

        All threads become one, which does one thing after the other: time must not go
        on while a disk is being written, and ``settle`` can tell that it is not.
        """
        one_thread = ThreadPoolExecutor(max_workers=1)
        asyncio.get_running_loop().set_default_executor(one_thread)
        await self.service.start()
        await self.advance(1.0)

    async def advance(self, seconds: float) -> None:
        """Passes simulated time; everything happens that is due in it."""
        end_s = self.clock_s + seconds
        while self.clock_s < end_s:
            self.clock_s = min(end_s, self.clock_s + STEP_S)
            self.service.scheduler.run_due()
            await self.settle()

    async def settle(self) -> None:
        """Waits for tasks, the thread that writes, and messages on their way."""
        await self._turns()
        await asyncio.to_thread(int)  # its turn comes after all that was to be written
        await self._turns()

    async def _turns(self) -> None:
        for _ in range(3):
            for _ in range(6):
                await asyncio.sleep(0)
            await self.broker.settle()

    def node(self, name: str) -> SimulatedNode:
        """Returns a node by its name."""
        (node,) = self.service.rack.targets(name)
        return node

    def status(self, name: str) -> str:
        """Returns what is retained on a board's status topic."""
        message = self.broker.retained.get(self.topic(name, NodeLeaf.STATUS))
        return "" if message is None else message.payload.decode()

    def details(self, name: str) -> Details:
        """Returns what is retained on a board's details topic."""
        message = self.broker.retained[self.topic(name, NodeLeaf.DETAILS)]
        return decode(message.payload, Details)

    def beats(self, name: str) -> list[Heartbeat]:
        """Returns every heartbeat a board has sent."""
        sent = self.broker.sent(self.topic(name, NodeLeaf.HEARTBEAT))
        return [decode(message.payload, Heartbeat) for message in sent]

    def results(self, name: str) -> list[Result]:
        """Returns every result a board has sent."""
        sent = self.broker.sent(self.topic(name, NodeLeaf.RESULT))
        return [decode(message.payload, Result) for message in sent]

    def topic(self, name: str, leaf: NodeLeaf) -> str:
        """Returns a topic of a board."""
        return self.topics.node(self.node(name).id, leaf)

    async def order(self, name: str, verb: str, order_id: str = "o1") -> None:
        """Sends an order as the master would."""
        payload = encode(Order(id=order_id, verb=verb, by="test"))
        self.broker.publish(self.topic(name, NodeLeaf.ORDER), payload, qos=1)
        await self.settle()

    async def outlet(self, stack: int, power: Power) -> None:
        """Publishes what the master does when it has switched an outlet."""
        state = StackState(stack=stack, name="", x=0, y=0, slots=2, power=power)
        self.broker.publish(self.topics.stack(stack), encode(state), qos=1, retain=True)
        await self.settle()

    async def ask(self, verb: str, payload: str, *, retain: bool = False) -> Reply:
        """Asks the simulator as a person would, and returns its last answer."""
        topic = f"{self.topics.prefix}/sim/cmd/{verb}"
        self.broker.publish(topic, payload.encode(), qos=1, retain=retain)
        await self.settle()
        return self.replies(verb)[-1]

    def replies(self, verb: str) -> list[Reply]:
        """Returns every answer to a verb."""
        sent = self.broker.sent(f"{self.topics.prefix}/sim/reply/{verb}")
        return [decode(message.payload, Reply) for message in sent]
