"""Outlets that are plugs on MQTT: Tasmota, Shelly, Zigbee2MQTT, ESPHome, any other.

A plug keeps its level by itself, so claiming moves nothing. What it says is believed
only while the link holds: after a loss somebody may have pressed its button.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from broker.client.link import Connect, Link, Message, Subscription
from broker.common.errors import LinkError
from broker.contract.messages import Power
from master_service.power.drivers.plug import Plug
from master_service.power.outlets import (
    PowerError,
    PowerFatalError,
    PowerRetryableError,
    unknown,
)

log = logging.getLogger(__name__)

CONNECT_S = 5.0
"""How long the first ones wait for the broker; later ones fail at once until it is
there, or a rack of silent plugs would take minutes to start."""


class _Socket:
    """One plug and what it said last."""

    def __init__(self, plug: Plug) -> None:
        self.plug = plug
        self.level = Power.UNKNOWN
        self.reports = 0
        self.there: bool | None = None
        self.nonsense = ""
        self.turn = asyncio.Lock()
        self._news = asyncio.Event()

    def forget(self) -> None:
        """Believe nothing any more: the link went down."""
        self.level, self.there, self.nonsense = Power.UNKNOWN, None, ""

    def take(self, message: Message) -> bool:
        """Take what is said on one of the plug's topics.

        Returns:
            Whether it is new, and nobody waits for it who would hear it anyway.
        """
        before = self.level, self.there
        if message.topic == self.plug.availability_topic:
            there = self.plug.there(message.payload)
            self.there = self.there if there is None else there
        elif not (message.retain and self.plug.ask_topic):
            # What the broker kept may be years old: a plug that can be asked is asked.
            self._report(message.payload)
        self._news.set()
        return before != (self.level, self.there) and not self.turn.locked()

    def _report(self, payload: bytes) -> None:
        try:
            level = self.plug.level(payload)
        except ValueError as said:
            self.nonsense = str(said)
            return
        if level is not None:
            self.level, self.nonsense = level, ""
            self.reports += 1

    async def until(self, done: Callable[[], bool]) -> bool:
        """Wait until something is so, or the plug is gone; return whether it is so."""
        try:
            async with asyncio.timeout(self.plug.timeout_s):
                # Nonsense may be followed by sense; it is told when the time is over.
                while not done() and self.there is not False:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return done() and self.there is not False


class MqttOutlets:
    """Outlets on MQTT; see ``Outlets``.

    Args:
        plugs: By outlet.
        connect: Makes the link to the broker of the plugs.
        client_id: Of that link.
    """

    def __init__(
        self, plugs: Mapping[str, Plug], *, connect: Connect, client_id: str
    ) -> None:
        self._sockets = {name: _Socket(plug) for name, plug in plugs.items()}
        self._by_topic: dict[str, list[str]] = {}
        for name, plug in plugs.items():
            for topic in plug.topics:
                self._by_topic.setdefault(topic, []).append(name)
        self._link: Link = connect(
            self,
            client_id=client_id,
            subscriptions=[Subscription(topic, qos=1) for topic in self._by_topic],
        )
        self._started = False
        self._patient = True
        self._why = "not connected yet"
        self._told: set[str] = set()

    def on_connected(self, session: str) -> None:  # noqa: ARG002  # see Listener
        """Be patient again; what is retained comes by itself."""
        self._patient = True

    def on_disconnected(self, reason: str) -> None:
        """Believe nothing of what was said before."""
        self._why = reason
        for socket in self._sockets.values():
            socket.forget()

    def on_message(self, message: Message) -> None:
        """Give a message to every outlet that its topic is about."""
        for name in self._by_topic.get(message.topic, ()):
            if self._sockets[name].take(message):
                self._told.add(name)

    def news(self) -> set[str]:
        """Return the plugs whose button was pressed, that went or that came back."""
        told, self._told = self._told, set()
        return told

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # a plug keeps its own
        """Connect to the broker, if nobody did, and see whether the plug is there."""
        socket = self._socket(outlet)
        await self._connected()
        self._check_there(outlet, socket)

    async def read(self, outlet: str) -> Power:
        """Ask the plug; one that cannot be asked is believed what it said last."""
        socket = self._socket(outlet)
        async with socket.turn:
            await self._connected()
            self._check_there(outlet, socket)
            before = socket.reports
            asked = self._ask(outlet, socket)
            answered = await socket.until(
                lambda: (
                    socket.reports > before
                    if asked
                    else socket.level is not Power.UNKNOWN
                )
            )
            if not answered:
                raise self._silence(outlet, socket)
            return socket.level

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Tell the plug, and wait until it says that it did."""
        socket = self._socket(outlet)
        plug, wanted = socket.plug, Power.ON if on else Power.OFF
        async with socket.turn:
            await self._connected()
            self._check_there(outlet, socket)
            before = socket.reports
            self._publish(outlet, plug.command_topic, plug.on if on else plug.off)
            # A plug that already is as wanted may say nothing, unless it is asked.
            asked = self._ask(outlet, socket)
            if not asked and socket.level is wanted:
                return
            said_so = await socket.until(
                lambda: socket.reports > before and socket.level is wanted
            )
            if not said_so:
                raise self._silence(outlet, socket, wanted)

    async def close(self) -> None:
        """End the link; the plugs stay as they are."""
        if self._started:
            self._started = False
            await self._link.stop()

    async def _connected(self) -> None:
        if not self._started:
            self._started = True
            await self._link.start()
        timeout_s = CONNECT_S if self._patient else 0.0
        if self._link.connected or await self._link.wait_connected(timeout_s):
            return
        self._patient = False
        text = f"the broker of the plugs cannot be reached: {self._why}"
        raise PowerRetryableError(text)

    def _ask(self, outlet: str, socket: _Socket) -> bool:
        """Ask a plug for its state; return whether it can be asked."""
        if not socket.plug.ask_topic:
            return False
        self._publish(outlet, socket.plug.ask_topic, socket.plug.ask)
        return True

    def _publish(self, outlet: str, topic: str, payload: str) -> None:
        try:
            self._link.publish(topic, payload.encode(), qos=1)
        except LinkError as error:
            text = f"outlet {outlet}: the plug was not told: {error}"
            raise PowerRetryableError(text) from error

    def _check_there(self, outlet: str, socket: _Socket) -> None:
        if socket.there is False:
            raise _gone(outlet, socket.plug)
        socket.nonsense = ""

    def _silence(
        self, outlet: str, socket: _Socket, wanted: Power = Power.UNKNOWN
    ) -> PowerError:
        """Return the error for a plug that did not say what it should."""
        plug = socket.plug
        if socket.there is False:
            return _gone(outlet, plug)
        if socket.nonsense:
            text = (
                f"outlet {outlet}: {plug.state_topic} says {socket.nonsense!r}, not "
                f"state_on {plug.state_on!r} or state_off {plug.state_off!r}"
            )
            return PowerFatalError(text)
        if wanted in {Power.UNKNOWN, socket.level} or socket.level is Power.UNKNOWN:
            said = f"says nothing on {plug.state_topic}"
        else:
            said = f"still says {socket.level} on {plug.state_topic}"
        text = f"outlet {outlet}: the plug {said} after {plug.timeout_s:.0f} s"
        return PowerRetryableError(text)

    def _socket(self, outlet: str) -> _Socket:
        try:
            return self._sockets[outlet]
        except KeyError:
            raise unknown(outlet, self._sockets) from None


def _gone(outlet: str, plug: Plug) -> PowerRetryableError:
    text = (
        f"outlet {outlet}: the plug is not there: {plug.availability_topic} says "
        f"{plug.unavailable!r}"
    )
    return PowerRetryableError(text)
