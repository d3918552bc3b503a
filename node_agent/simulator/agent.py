"""One run of the agent's program on an invented board, from its start to its end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from broker.client.link import BreakableConnect, Connect
from broker.common.tasks import Tasks
from node_agent.node import Node
from node_agent.simulator.gate import Gate

MakeNode = Callable[[Connect], Node]
"""Makes the node of one run, given how it may connect."""


class Agent:
    """A node behind its gate; it is started once and ended once.

    Args:
        make_node: Makes the node.
        connect: Makes its real link.
    """

    def __init__(self, make_node: MakeNode, connect: BreakableConnect) -> None:
        self.gate = Gate(connect)
        self._node = make_node(self.gate.connect)
        self._turn = asyncio.Lock()
        self._tasks = Tasks()

    def start(self, after: "Agent | None" = None) -> None:
        """Run, once the run before has ended: one board, one program.

        Args:
            after: The run before, which may still be saying goodbye.
        """
        self._spawn(self._start(after))

    def leave(self, reason: str) -> None:
        """End as on SIGTERM, with a goodbye, as far as the fault of the day lets it."""
        self._spawn(self._leave(reason))

    def crash(self) -> None:
        """End as on SIGKILL: the kernel closes the socket, no goodbye."""
        self.gate.close()
        self._spawn(self._node.stop())

    def lose_power(self) -> None:
        """End with the board: nobody tells the broker anything."""
        self.gate.sever()
        self._spawn(self._node.stop())

    async def ended(self) -> None:
        """Wait until what was begun is done, and give its socket back."""
        await self._tasks.settle()
        self.gate.drop()

    async def _start(self, after: "Agent | None") -> None:
        if after is not None:
            await after.ended()
        await self._node.start()

    async def _leave(self, reason: str) -> None:
        await self._node.stop(reason)
        self.gate.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something once what was begun before is done."""
        _ = self._tasks.spawn("simulated agent", self._in_turn(work))

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._turn:
            await work
