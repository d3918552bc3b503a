"""Plugs on MQTT: the topics of each make, and what a payload means; pure.

Sources: Tasmota "MQTT" and "Commands" (cmnd/stat/tele, LWT); Shelly Gen2 API, "MQTT"
and "Switch" (MQTT control, status notification); Zigbee2MQTT "MQTT topics and
messages"; ESPHome "MQTT client component".
"""

import msgspec

from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.rack.settings import PlugRow, Preset

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
        """Return what a message on the state topic says; None if it is about more.

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
        """Return whether a message on the availability topic says it is there."""
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
    """Return a plug with preset and own values put together.

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
    """Return a payload as text, or a key of its JSON; None if that is not there."""
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
