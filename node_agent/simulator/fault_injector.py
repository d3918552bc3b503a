"""Injects faults between an agent and its link: of a program, a board, a network.

The agent does not know; it is the same code that runs on a Pi.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from broker.client.link import (
    BreakableConnect,
    BreakableLink,
    Connect,
    Link,
    Listener,
    ListenerErrors,
    Message,
    Subscription,
)
from broker.common.tasks import Tasks
from node_agent.node import Node
from node_agent.simulator.board_state import LinkFault

MakeNode = Callable[[Connect], Node]
"""Makes the node of one run, given how it may connect."""


class FaultInjector:
    """The ``Link`` an agent gets, and the ``Listener`` its real link gets."""

    def __init__(self, connect: BreakableConnect) -> None:
        self._connect = connect
        self._fault = LinkFault.NONE
        self._link: BreakableLink | None = None
        self._listener: Listener | None = None
        self._unheard_session = ""
        self._errors = ListenerErrors("simulated link")

    def connect(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> Link:
        """Makes the one link of this injector; this method is a ``Connect``."""
        self._listener = listener
        self._link = self._connect(
            self,
            client_id=client_id,
            subscriptions=subscriptions,
            status_topic=status_topic,
        )
        if self._fault is LinkFault.SILENT:
            self._link.pause()
        return self

    def inject(self, fault: LinkFault) -> None:
        """Replaces the fault there was; what is dead stays dead."""
        if fault is self._fault or self._fault is LinkFault.DEAD:
            return
        was, self._fault = self._fault, fault
        if self._link is not None and fault is LinkFault.SILENT:
            self._link.pause()
        elif self._link is not None and was is LinkFault.SILENT:
            self._link.resume()
        self._catch_up()

    def sever(self) -> None:
        """Ends the program and its board: its connection is left open and dead."""
        if self._fault is not LinkFault.DEAD and self._link is not None:
            self._link.pause()
        self._fault = LinkFault.DEAD

    def drop(self) -> None:
        """Ends the program and closes its socket: the broker publishes the will."""
        self._fault = LinkFault.DEAD
        if self._link is not None:
            self._link.abort()

    def close(self) -> None:
        """Ends the program: its socket closes, unless no packet gets out."""
        if self._fault is LinkFault.SILENT:
            self.sever()
        else:
            self.drop()

    # -- Link ---------------------------------------------------------------------

    @property
    def listener_errors(self) -> ListenerErrors:
        """What the agent's listener raised."""
        return self._errors if self._link is None else self._link.listener_errors

    @property
    def connected(self) -> bool:
        """Whether the agent may think so."""
        if self._link is None or self._fault is LinkFault.DEAD:
            return False
        return self._link.connected

    @property
    def session(self) -> str:
        """Id of the connection as the agent knows it."""
        return "" if self._link is None else self._link.session

    @property
    def local_address(self) -> str:
        """Address of this machine that reaches the broker."""
        return "" if self._link is None else self._link.local_address

    async def start(self) -> None:
        """Begins to connect, as soon as there is a network."""
        if self._link is not None and self._fault is not LinkFault.DEAD:
            await self._link.start()

    async def stop(self) -> None:
        """Says goodbye if the agent still can."""
        if self._link is not None and self._fault is LinkFault.NONE:
            await self._link.stop()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Waits for the connection, at most ``timeout_s``."""
        return self._link is not None and await self._link.wait_connected(timeout_s)

    def publish(self, topic: str, payload: bytes, **options: Any) -> None:  # noqa: ANN401  # those of ``Link.publish``, passed on
        """Sends one message, or loses it as the fault would."""
        if self._link is not None and self._fault is LinkFault.NONE:
            self._link.publish(topic, payload, **options)

    # -- Listener -----------------------------------------------------------------

    def on_connected(self, session: str) -> None:
        """Tells the agent, now or when it hears again."""
        self._unheard_session = session
        self._catch_up()

    def on_disconnected(self, reason: str) -> None:
        """Tells the agent, if it lives."""
        self._unheard_session = ""
        self._errors = ListenerErrors("simulated link")
        if self._listener is not None and self._fault is not LinkFault.DEAD:
            self._listener.on_disconnected(reason)

    def on_message(self, message: Message) -> None:
        """Passes one message on if the agent hears."""
        if self._listener is not None and self._fault is LinkFault.NONE:
            self._listener.on_message(message)

    def _catch_up(self) -> None:
        if self._listener is None or self._fault is not LinkFault.NONE:
            return
        session, self._unheard_session = self._unheard_session, ""
        if session:
            self._listener.on_connected(session)


class AgentRun:
    """One run of the agent's program; it is started once and ended once."""

    def __init__(self, make_node: MakeNode, connect: BreakableConnect) -> None:
        self.link = FaultInjector(connect)
        self._node = make_node(self.link.connect)
        self._turn = asyncio.Lock()
        self._tasks = Tasks()

    def start(self, after: "AgentRun | None" = None) -> None:
        """Starts, once the run before has ended: one board, one program.

        Args:
            after: The run before, which may still be saying goodbye.
        """
        self._spawn(self._start(after))

    def leave(self, reason: str) -> None:
        """Ends as on SIGTERM, with a goodbye, as far as the present fault lets it."""
        self._spawn(self._leave(reason))

    def crash(self) -> None:
        """Ends as on SIGKILL: the kernel closes the socket, no goodbye."""
        self.link.close()
        self._spawn(self._node.stop())

    def lose_power(self) -> None:
        """Ends with the board: the broker learns nothing."""
        self.link.sever()
        self._spawn(self._node.stop())

    async def ended(self) -> None:
        """Waits until what was begun is done, and gives its socket back."""
        await self._tasks.settle()
        self.link.drop()

    async def _start(self, after: "AgentRun | None") -> None:
        if after is not None:
            await after.ended()
        await self._node.start()

    async def _leave(self, reason: str) -> None:
        await self._node.stop(reason)
        self.link.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something once what was begun before is done."""
        _ = self._tasks.spawn("simulated agent", self._in_turn(work))

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._turn:
            await work
