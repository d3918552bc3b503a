"""What the contract suite runs on: each driver with its hardware in reach."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from broker.contract.messages import Power
from master_service.power.drivers.command import CommandOutlets
from master_service.power.drivers.gpio import GpioOutlets, PinLevels, Pins, RelayWiring
from master_service.power.drivers.gpiod_lines import GpiodPins
from master_service.power.drivers.mqtt import MqttOutlets, resolve
from master_service.power.drivers.rpi_gpio import RpiPins
from master_service.power.fake import FACTORY_LEVEL, FakeOutlets
from master_service.power.powerd import PowerDaemon
from master_service.power.powerd_client import PowerdOutlets
from master_service.power.simulated_pins import SimulatedHeader
from master_service.rack.settings import (
    CommandsRow,
    Driver,
    OutletRow,
    PowerSettings,
    Settings,
)
from tests.gpio_stand_ins import StandInGpio, StandInGpiod, stand_in
from tests.system.power.plugs import SimulatedPlug, Tasmota

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    from broker.client.link import (
        BreakableConnect,
        BreakableLink,
        Listener,
        Subscription,
    )
    from master_service.power.outlets import Outlets

NAMES = ("stack-1", "stack-2")
BREAKS_S = 3.0
"""How long a driver waits for a plug, of which one is to stay silent."""
WIRES = {
    "stack-1": RelayWiring(17, active_low=True),
    "stack-2": RelayWiring(5, active_low=False),
}


class PowerBench(Protocol):
    """A driver with two outlets, and its hardware seen from the other side."""

    @property
    def outlets(self) -> Outlets: ...

    async def begin(self) -> None: ...

    async def restart(self) -> None:
        """Lose the driver as ``kill -9`` does, and make another."""

    def level(self, outlet: str) -> bool: ...

    def moves(self, outlet: str) -> int: ...

    def break_down(self, outlet: str) -> None: ...

    async def end(self) -> None: ...


class FakeBench:
    """The shipped fake."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fake.json"
        self.outlets = FakeOutlets(self._path, NAMES)

    async def begin(self) -> None:
        pass

    async def restart(self) -> None:
        self.outlets = FakeOutlets(self._path, NAMES)

    def level(self, outlet: str) -> bool:
        relays = self.outlets.relays()
        return relays.levels.get(outlet, FACTORY_LEVEL) is Power.ON

    def moves(self, outlet: str) -> int:
        seen = [FACTORY_LEVEL is Power.ON]
        seen += [s.on for s in self.outlets.relays().switchings if s.outlet == outlet]
        return sum(a is not b for a, b in itertools.pairwise(seen))

    def break_down(self, outlet: str) -> None:
        self.outlets.fails[outlet] = "the relay does not move"

    async def end(self) -> None:
        await self.outlets.close()


class Relays:
    """Two relays on a header."""

    header: SimulatedHeader

    def level(self, outlet: str) -> bool:
        wire = WIRES[outlet]
        return self.header.level(wire.pin) is not wire.active_low

    def moves(self, outlet: str) -> int:
        return sum(edge.pin == WIRES[outlet].pin for edge in self.header.edges)

    def break_down(self, outlet: str) -> None:
        self.header.broken.add(WIRES[outlet].pin)


class PinBench(Relays):
    """Relays on the stand-in header, through RPi.GPIO, rpi-lgpio or gpiod."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.header = SimulatedHeader()
        self._ledger = folder / "pins.json"
        self._kind = kind
        self.outlets = self._make()

    def _make(self) -> GpioOutlets:
        pins: Pins
        if self._kind == "gpiod":
            module = StandInGpiod(self.header)
            pins = GpiodPins(cast("ModuleType", module), paths=lambda: module.chips)
        else:
            lgpio = self._kind == "rpi-lgpio"
            pins = RpiPins(StandInGpio(self.header, lgpio=lgpio))
        return GpioOutlets(pins, WIRES, PinLevels(self._ledger))

    async def begin(self) -> None:
        pass

    async def restart(self) -> None:
        self.outlets = self._make()

    async def end(self) -> None:
        await self.outlets.close()


def holder_settings(socket: Path, folder: Path) -> Settings:
    """Returns the settings of pirack-powerd for the relays of every bench.

    Args:
        socket: Where it listens.
        folder: Where it keeps the levels.
    """
    rows = tuple(
        OutletRow(
            name=name,
            driver=Driver.GPIOD,
            stack=number,
            pin=wire.pin,
            active_low=wire.active_low,
        )
        for number, (name, wire) in enumerate(WIRES.items(), start=1)
    )
    power = PowerSettings(holder=str(socket), holder_dir=str(folder))
    return Settings(power=power, outlets=rows)


class HolderBench(Relays):
    """pirack-powerd on a kernel that drops outputs, in this process, on its socket."""

    def __init__(self, folder: Path) -> None:
        self.header = SimulatedHeader(persists=False)
        self._socket = folder / "powerd.sock"
        settings = holder_settings(self._socket, folder / "held")
        self.holder = PowerDaemon(settings, stand_in(self.header, keeps=False))
        self.outlets = PowerdOutlets(self._socket, NAMES)

    async def begin(self) -> None:
        await self.holder.start()

    async def restart(self) -> None:
        self.outlets = PowerdOutlets(self._socket, NAMES)

    async def end(self) -> None:
        await self.holder.stop()


RELAY = """\
#!/bin/sh
# usage: relay FILE on|off|status
case $2 in
status) echo "port 3: power is $(cat "$1")" ;;
*)
  if [ -e "$1.broken" ]; then echo "the hub does not answer" >&2; exit 1; fi
  [ "$(cat "$1")" = "$2" ] || echo "$2" >> "$1.moves"
  echo "$2" > "$1" ;;
esac
"""


class CommandBench:
    """A script of the owner that keeps its relay in a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        script = folder / "relay"
        script.write_text(RELAY)
        script.chmod(0o700)
        for name in NAMES:
            (folder / name).write_text("on")
            (folder / f"{name}.moves").touch()
        self._rows = {
            name: CommandsRow(
                on=(str(script), str(folder / name), "on"),
                off=f"'{script}' '{folder / name}' off",
                status=(str(script), str(folder / name), "status"),
            )
            for name in NAMES
        }
        self.outlets = CommandOutlets(self._rows)

    async def begin(self) -> None:
        pass

    async def restart(self) -> None:
        self.outlets = CommandOutlets(self._rows)

    def level(self, outlet: str) -> bool:
        return (self._folder / outlet).read_text().strip() == "on"

    def moves(self, outlet: str) -> int:
        return len((self._folder / f"{outlet}.moves").read_text().splitlines())

    def break_down(self, outlet: str) -> None:
        (self._folder / f"{outlet}.broken").touch()

    async def end(self) -> None:
        await self.outlets.close()


class PlugBench:
    """Two Tasmota plugs on a broker."""

    def __init__(self, connect: BreakableConnect) -> None:
        self._connect = connect
        self._links: list[BreakableLink] = []
        self.plugs = {
            name: SimulatedPlug(Tasmota(name), connect, f"plug-{name}")
            for name in NAMES
        }
        self.outlets = self._make()

    def _made(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> BreakableLink:
        link = self._connect(
            listener,
            client_id=client_id,
            subscriptions=subscriptions,
            status_topic=status_topic,
        )
        self._links.append(link)
        return link

    def _make(self) -> MqttOutlets:
        plugs = {
            name: resolve(msgspec.structs.replace(plug.make.row(), timeout_s=BREAKS_S))
            for name, plug in self.plugs.items()
        }
        return MqttOutlets(plugs, connect=self._made, client_id="power")

    async def begin(self) -> None:
        for plug in self.plugs.values():
            await plug.link.start()
            assert await plug.link.wait_connected(30)
        await asyncio.sleep(0)

    async def restart(self) -> None:
        self._links[-1].abort()
        await self._links[-1].stop()
        self.outlets = self._make()

    def level(self, outlet: str) -> bool:
        return self.plugs[outlet].on

    def moves(self, outlet: str) -> int:
        return self.plugs[outlet].moves

    def break_down(self, outlet: str) -> None:
        self.plugs[outlet].stuck = True

    async def end(self) -> None:
        await self.outlets.close()
        for plug in self.plugs.values():
            await plug.link.stop()
