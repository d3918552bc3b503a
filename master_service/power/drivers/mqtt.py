"""Outlets that are plugs on MQTT: Tasmota, Shelly, Zigbee2MQTT, ESPHome, any other.

A plug keeps its level by itself, so claiming moves nothing. What it says is believed
only while the link holds: after a loss somebody may have pressed its button.

Sources of the presets: Tasmota "MQTT" and "Commands" (cmnd/stat/tele, LWT); Shelly Gen2
API, "MQTT" and "Switch" (MQTT control, status notification); Zigbee2MQTT "MQTT topics
and messages"; ESPHome "MQTT client component".
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from broker.client.link import Connect, Link, Message, Subscription
from broker.common.errors import ConfigError, LinkError
from broker.contract.messages import Power
from master_service.power.outlets import (
    PowerError,
    PowerFatalError,
    PowerRetryableError,
    unknown,
)
from master_service.rack.settings import PlugRow, Preset

log = logging.getLogger(__name__)

CONNECT_S = 5.0
"""How long the first ones wait for the broker; later ones fail at once until it is
there, or a rack of silent plugs would take minutes to start."""
_TOPIC_BYTES = 256


class Plug(msgspec.Struct, frozen=True, kw_only=True):
    """One relay of a plug, every template filled in; see ``PlugRow``."""

    command_topic: str = ""
    on: str = "ON"
    off: str = "OFF"
    state_topic: str = ""
    state_key: str = ""
    state_on: str = "ON"
    state_off: str = "OFF"
    availability_topic: str = ""
    availability_key: str = ""
    available: str = "online"
    unavailable: str = "offline"
    ask_topic: str = ""
    ask: str = ""
    timeout_s: float = 5.0

    @property
    def topics(self) -> tuple[str, ...]:
        """What must be subscribed to."""
        return tuple(
            topic for topic in (self.state_topic, self.availability_topic) if topic
        )

    def level(self, payload: bytes) -> Power | None:
        """Returns what a message on the state topic says; None if it is about more.

        A device says other things in the same JSON; only a message with our key is
        ours, and one that is null or empty says nothing.

        Raises:
            ValueError: It is neither on nor off; the text is what it said.
        """
        said = _value(payload, self.state_key)
        if not said:  # also null and "": some publish these before they know better
            return None
        if said.casefold() == self.state_on.casefold():
            return Power.ON
        if said.casefold() == self.state_off.casefold():
            return Power.OFF
        raise ValueError(said[:64])

    def there(self, payload: bytes) -> bool | None:
        """Returns whether a message on the availability topic says it is there."""
        said = _value(payload, self.availability_key)
        if said is None and self.availability_key:
            said = _value(payload, "")  # Zigbee2MQTT's older, plain form
        if said is None:
            return None
        if said.casefold() == self.available.casefold():
            return True
        return False if said.casefold() == self.unavailable.casefold() else None


PRESETS = {
    Preset.CUSTOM: Plug(),
    Preset.TASMOTA: Plug(
        command_topic="cmnd/{device}/POWER{channel}",
        state_topic="stat/{device}/POWER{channel}",
        availability_topic="tele/{device}/LWT",
        available="Online",
        unavailable="Offline",
        ask_topic="cmnd/{device}/POWER{channel}",
    ),
    Preset.SHELLY_GEN2: Plug(
        command_topic="{device}/command/switch:{channel}",
        on="on",
        off="off",
        state_topic="{device}/status/switch:{channel}",
        state_key="output",
        state_on="true",
        state_off="false",
        availability_topic="{device}/online",
        available="true",
        unavailable="false",
        ask_topic="{device}/command/switch:{channel}",
        ask="status_update",
    ),
    Preset.ZIGBEE2MQTT: Plug(
        command_topic="zigbee2mqtt/{device}/set",
        on='{"state{_channel}": "ON"}',
        off='{"state{_channel}": "OFF"}',
        state_topic="zigbee2mqtt/{device}",
        state_key="state{_channel}",
        availability_topic="zigbee2mqtt/{device}/availability",
        availability_key="state",
        ask_topic="zigbee2mqtt/{device}/get",
        ask='{"state{_channel}": ""}',
    ),
    Preset.ESPHOME: Plug(
        command_topic="{device}/switch/{channel}/command",
        state_topic="{device}/switch/{channel}/state",
        availability_topic="{device}/status",
    ),
}
_FIRST_CHANNEL = {Preset.SHELLY_GEN2: "0"}
_NAMED_CHANNEL = {Preset.ESPHOME}


def resolve(row: PlugRow) -> Plug:
    """Returns a plug with preset and own values put together.

    Raises:
        ConfigError: Something that is needed is missing.
    """
    preset = PRESETS[row.preset]
    channel = str(row.channel) or _FIRST_CHANNEL.get(row.preset, "")
    if not channel and row.preset in _NAMED_CHANNEL:
        text = f'preset {row.preset} needs the switch: channel = "relay"'
        raise ConfigError(text)
    if not row.device and row.preset is not Preset.CUSTOM:
        text = f'preset {row.preset} needs the plug: device = "rack-plug-1"'
        raise ConfigError(text)
    values = {
        name: _filled(getattr(row, name), getattr(preset, name), row.device, channel)
        for name in Plug.__struct_fields__
        if name != "timeout_s"
    }
    plug = Plug(**values, timeout_s=row.timeout_s)
    _check(plug)
    return plug


def _filled(own: str | None, preset: str, device: str, channel: str) -> str:
    template = preset if own is None else own
    with_channel = template.replace("{_channel}", f"_{channel}" if channel else "")
    return with_channel.replace("{device}", device).replace("{channel}", channel)


def _check(plug: Plug) -> None:
    for name in ("command_topic", "state_topic"):
        if not getattr(plug, name):
            text = f"plug has no {name}; choose a preset, or give it"
            raise ConfigError(text)
    for name in ("command_topic", "state_topic", "availability_topic", "ask_topic"):
        topic = getattr(plug, name)
        if set("+#\0") & set(topic) or len(topic.encode()) > _TOPIC_BYTES:
            text = f"{name} {topic[:64]!r} must be one topic, without + or #"
            raise ConfigError(text)
    if plug.state_topic == plug.availability_topic:
        text = f"state_topic and availability_topic are both {plug.state_topic!r}"
        raise ConfigError(text)
    for one, other in (("on", "off"), ("state_on", "state_off")):
        if getattr(plug, one).casefold() == getattr(plug, other).casefold():
            text = f"{one} and {other} are both {getattr(plug, one)!r}"
            raise ConfigError(text)


def _value(payload: bytes, key: str) -> str | None:
    """Returns a payload as text, or a key of its JSON; None if that is not there."""
    if not key:
        return payload.decode("utf-8", "replace").strip()
    try:
        value = msgspec.json.decode(payload)
    except msgspec.MsgspecError:
        return None
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return None if value is None else str(value)


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
        """Forgets what the plug said: the link went down."""
        self.level, self.there, self.nonsense = Power.UNKNOWN, None, ""

    def take(self, message: Message) -> bool:
        """Handles a message on one of the plug's topics.

        Returns:
            Whether it is new, and no call waits for it, which would hear it anyway.
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
        """Waits for a condition or until the plug is gone; returns whether it holds."""
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
        """Lets the first answers take long; what is retained comes by itself."""
        self._patient = True

    def on_disconnected(self, reason: str) -> None:
        """Forgets what every plug said before."""
        self._why = reason
        for socket in self._sockets.values():
            socket.forget()

    def on_message(self, message: Message) -> None:
        """Hands a message to every outlet that its topic is about."""
        for name in self._by_topic.get(message.topic, ()):
            if self._sockets[name].take(message):
                self._told.add(name)

    def news(self) -> set[str]:
        """Returns the plugs whose button was pressed, that went or that came back."""
        told, self._told = self._told, set()
        return told

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # a plug keeps its own
        """Connects to the broker at the first use; checks that the plug is there."""
        socket = self._socket(outlet)
        await self._connected()
        self._check_there(outlet, socket)

    async def read(self, outlet: str) -> Power:
        """Asks the plug; one that cannot be asked is believed what it said last."""
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
        """Tells the plug, and waits until it says that it did."""
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
        """Stops the link; the plugs stay as they are."""
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
        """Asks a plug for its state; returns whether it can be asked."""
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
        """Returns the error for a plug that did not say what it should."""
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
