"""Simulated plugs: each speaks the topics of its make, written from its manual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from broker.client.link import Message, Subscription
from master_service.rack.settings import PlugRow, Preset

if TYPE_CHECKING:
    from broker.client.link import BreakableConnect

PATIENCE_S = 25.0
"""How long a driver waits for a plug that answers, however busy the machine is."""
HASTE_S = 1.0
"""How long it waits where the plug is to stay silent."""


class Make(Protocol):
    """How one make speaks."""

    @property
    def commands(self) -> tuple[str, ...]: ...

    @property
    def availability(self) -> str: ...

    def row(self) -> PlugRow: ...

    def told(self, topic: str, payload: str) -> bool | None:
        """Return whether it is told on or off; None: it is asked."""

    def state(self, *, on: bool) -> tuple[str, str]: ...


class Tasmota:
    """Two relays, PowerRetain 0: what it says is not retained."""

    def __init__(self, device: str) -> None:
        self.commands = (f"cmnd/{device}/POWER2",)
        self.availability = f"tele/{device}/LWT"
        self._device = device

    def row(self) -> PlugRow:
        return PlugRow(
            preset=Preset.TASMOTA, device=self._device, channel=2, timeout_s=PATIENCE_S
        )

    def told(self, topic: str, payload: str) -> bool | None:
        assert topic in self.commands
        return {"ON": True, "OFF": False, "": None}[payload]

    def state(self, *, on: bool) -> tuple[str, str]:
        return f"stat/{self._device}/POWER2", "ON" if on else "OFF"


class Shelly:
    """Gen2, with MQTT control and generic status updates switched on."""

    def __init__(self, device: str) -> None:
        self.commands = (f"{device}/command/switch:0",)
        self.availability = f"{device}/online"
        self._device = device

    def row(self) -> PlugRow:
        return PlugRow(
            preset=Preset.SHELLY_GEN2, device=self._device, timeout_s=PATIENCE_S
        )

    def told(self, topic: str, payload: str) -> bool | None:
        assert topic in self.commands
        return {"on": True, "off": False, "status_update": None}[payload]

    def state(self, *, on: bool) -> tuple[str, str]:
        said = {"id": 0, "source": "mqtt", "output": on, "apower": 21.5}
        return f"{self._device}/status/switch:0", msgspec.json.encode(said).decode()


class Zigbee2Mqtt:
    """A plug with one relay behind the bridge."""

    def __init__(self, device: str) -> None:
        base = f"zigbee2mqtt/{device}"
        self.commands = (f"{base}/set", f"{base}/get")
        self.availability = f"{base}/availability"
        self._base, self._device = base, device

    def row(self) -> PlugRow:
        return PlugRow(
            preset=Preset.ZIGBEE2MQTT, device=self._device, timeout_s=PATIENCE_S
        )

    def told(self, topic: str, payload: str) -> bool | None:
        state = msgspec.json.decode(payload)["state"]
        if topic.endswith("/get"):
            return None
        return {"ON": True, "OFF": False}[state]

    def state(self, *, on: bool) -> tuple[str, str]:
        said = {"linkquality": 90, "state": "ON" if on else "OFF"}
        return self._base, msgspec.json.encode(said).decode()


class EspHome:
    """It says its state, retained, when that changes, and cannot be asked."""

    def __init__(self, device: str) -> None:
        self.commands = (f"{device}/switch/relay/command",)
        self.availability = f"{device}/status"
        self._device = device

    def row(self) -> PlugRow:
        return PlugRow(
            preset=Preset.ESPHOME,
            device=self._device,
            channel="relay",
            timeout_s=PATIENCE_S,
        )

    def told(self, topic: str, payload: str) -> bool | None:
        assert topic in self.commands
        return {"ON": True, "OFF": False}[payload]

    def state(self, *, on: bool) -> tuple[str, str]:
        return f"{self._device}/switch/relay/state", "ON" if on else "OFF"


MAKES = (Tasmota, Shelly, Zigbee2Mqtt, EspHome)


class SimulatedPlug:
    """A relay behind a broker. Its will is the link's own: ``online``, ``offline``.

    Shelly says ``true`` and ``false`` instead, which the plug then adds itself.
    """

    def __init__(self, make: Make, connect: BreakableConnect, name: str) -> None:
        self.make = make
        self.on = True
        self.moves = 0
        self.stuck = False
        self.mute = False
        self.says: str | None = None
        self._boolean = isinstance(make, Shelly)
        self.link = connect(
            self,
            client_id=name,
            subscriptions=[Subscription(topic, qos=1) for topic in make.commands],
            status_topic=None if self._boolean else make.availability,
        )

    def on_connected(self, session: str) -> None:
        del session
        self.announce(there=True)
        self.say()

    def on_disconnected(self, reason: str) -> None:
        pass

    def on_message(self, message: Message) -> None:
        assert not message.retain, "a command must never be retained"
        told = self.make.told(message.topic, message.payload.decode())
        if told is None:
            self.say()
        elif not self.stuck:
            changed = told is not self.on
            self.moves += changed
            self.on = told
            if changed or not isinstance(self.make, EspHome):
                self.say()

    def announce(self, *, there: bool) -> None:
        """Say what a Shelly says; the others have their will for that."""
        if self._boolean:
            said = b"true" if there else b"false"
            self.link.publish(self.make.availability, said, qos=1, retain=True)

    def say(self) -> None:
        """Say what it is, as its make does."""
        if self.mute:
            return
        topic, payload = self.make.state(on=self.on)
        retained = isinstance(self.make, EspHome)
        said = payload if self.says is None else self.says
        self.link.publish(topic, said.encode(), qos=1, retain=retained)

    def press(self) -> None:
        """Somebody presses its button."""
        self.on = not self.on
        self.say()
