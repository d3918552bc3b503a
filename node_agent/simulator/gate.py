"""Between an agent and its link: where faults of a program and a network are acted.

The agent does not know; it is the same code that runs on a Pi.
"""

import enum
from collections.abc import Sequence

from broker.client.link import (
    BreakableConnect,
    BreakableLink,
    Link,
    Listener,
    ListenerErrors,
    Message,
    Subscription,
)


class Valve(enum.Enum):
    """What a gate lets through."""

    OPEN = enum.auto()
    """Everything."""
    DEAF = enum.auto()
    """Nothing of the agent's; the connection is kept alive: a program that hangs."""
    SILENT = enum.auto()
    """No packet at all on a connection left open: a frozen board, a cut cable."""
    GONE = enum.auto()
    """The program is dead; whatever is left of it talks to nobody."""


class Gate:
    """The ``Link`` an agent gets, and the ``Listener`` its real link gets.

    Args:
        connect: Makes the real link.
    """

    def __init__(self, connect: BreakableConnect) -> None:
        self._connect = connect
        self._valve = Valve.OPEN
        self._link: BreakableLink | None = None
        self._listener: Listener | None = None
        self._unheard_session = ""
        self._errors = ListenerErrors("gate")

    def connect(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> Link:
        """Make the one link of this gate; this method is a ``Connect``."""
        self._listener = listener
        self._link = self._connect(
            self,
            client_id=client_id,
            subscriptions=subscriptions,
            status_topic=status_topic,
        )
        if self._valve is Valve.SILENT:
            self._link.pause()
        return self

    def set(self, valve: Valve) -> None:
        """Change what is let through; what is gone stays gone."""
        if valve is self._valve or self._valve is Valve.GONE:
            return
        was, self._valve = self._valve, valve
        if self._link is not None and valve is Valve.SILENT:
            self._link.pause()
        elif self._link is not None and was is Valve.SILENT:
            self._link.resume()
        self._catch_up()

    def sever(self) -> None:
        """Kill the program and its board at once: its connection is left open, dead."""
        if self._valve is not Valve.GONE and self._link is not None:
            self._link.pause()
        self._valve = Valve.GONE

    def drop(self) -> None:
        """Kill the program and close its socket: the broker says the will."""
        self._valve = Valve.GONE
        if self._link is not None:
            self._link.abort()

    def close(self) -> None:
        """Kill the program: its socket closes, unless no packet gets out to say so."""
        if self._valve is Valve.SILENT:
            self.sever()
        else:
            self.drop()

    @property
    def listener_errors(self) -> ListenerErrors:
        """What the agent's listener raised."""
        return self._errors if self._link is None else self._link.listener_errors

    @property
    def connected(self) -> bool:
        """Whether the agent may think so."""
        if self._link is None or self._valve is Valve.GONE:
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
        """Begin to connect, as soon as there is a network."""
        if self._link is not None and self._valve is not Valve.GONE:
            await self._link.start()

    async def stop(self) -> None:
        """Say goodbye if the agent still can."""
        if self._link is not None and self._valve is Valve.OPEN:
            await self._link.stop()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection, at most ``timeout_s``."""
        return self._link is not None and await self._link.wait_connected(timeout_s)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        expiry_s: float | None = None,
        response_topic: str = "",
        correlation: bytes = b"",
    ) -> None:
        """Send one message, or lose it as the fault would; see ``Link.publish``."""
        if self._link is not None and self._valve is Valve.OPEN:
            self._link.publish(
                topic,
                payload,
                qos=qos,
                retain=retain,
                expiry_s=expiry_s,
                response_topic=response_topic,
                correlation=correlation,
            )

    def on_connected(self, session: str) -> None:
        """Tell the agent, now or when it hears again."""
        self._unheard_session = session
        self._catch_up()

    def on_disconnected(self, reason: str) -> None:
        """Tell the agent, if it lives."""
        self._unheard_session = ""
        self._errors = ListenerErrors("gate")
        if self._listener is not None and self._valve is not Valve.GONE:
            self._listener.on_disconnected(reason)

    def on_message(self, message: Message) -> None:
        """Pass one message on if the agent hears."""
        if self._listener is not None and self._valve is Valve.OPEN:
            self._listener.on_message(message)

    def _catch_up(self) -> None:
        if self._listener is None or self._valve is not Valve.OPEN:
            return
        session, self._unheard_session = self._unheard_session, ""
        if session:
            self._listener.on_connected(session)
