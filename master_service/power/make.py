"""Puts together what switches the outlets of a configuration."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from broker.client.link import Connect
from broker.client.mqtt_link import connector
from broker.common.config import BrokerSettings
from broker.common.errors import ConfigError
from broker.contract.messages import Power
from broker.mosquitto.credentials import endpoint
from master_service.power import machine as machines
from master_service.power import wiring
from master_service.power.drivers.command import CommandOutlets
from master_service.power.drivers.gpio import GpioOutlets, Ledger, Wire
from master_service.power.drivers.mqtt import MqttOutlets
from master_service.power.drivers.plug import resolve
from master_service.power.fake import FakeOutlets
from master_service.power.holder_link import HolderOutlets
from master_service.power.lock import OutletLock
from master_service.power.machine import Machine
from master_service.power.outlets import Outlets, Telling, unknown
from master_service.rack import layout
from master_service.rack.outlet_state import outlet_rows
from master_service.rack.settings import Driver, OutletRow, Settings

FAKE_FILE = "fake-outlets.json"
LEDGER_FILE = "pins.json"
PLUGS_CLIENT_ID = "pirack-power"


class Door(msgspec.Struct, frozen=True):
    """How the plugs are reached.

    Args:
        connect: Makes the link to their broker.
        client_id: Of that link.
    """

    connect: Connect
    client_id: str


class RackOutlets:
    """Every outlet of a rack, each with its driver; see ``Outlets``.

    Args:
        drivers: By outlet.
        lock: Taken at the first use, so that no second process switches beside us.
    """

    def __init__(self, drivers: dict[str, Outlets], lock: OutletLock) -> None:
        self._drivers = drivers
        self._each = tuple({id(one): one for one in drivers.values()}.values())
        self._lock = lock

    def lock(self) -> None:
        """Keep every other process from switching; any use does so too.

        Raises:
            PowerFatalError: Another process has the outlets.
        """
        self._lock.take()

    async def claim(self, outlet: str, level: Power) -> None:
        """See ``Outlets``."""
        await self._driver(outlet).claim(outlet, level)

    async def read(self, outlet: str) -> Power:
        """See ``Outlets``."""
        return await self._driver(outlet).read(outlet)

    async def switch(self, outlet: str, *, on: bool) -> None:
        """See ``Outlets``."""
        await self._driver(outlet).switch(outlet, on=on)

    def news(self) -> set[str]:
        """See ``Telling``."""
        telling = (one for one in self._each if isinstance(one, Telling))
        return {name for one in telling for name in one.news()}

    async def close(self) -> None:
        """Close each driver once, then let others at the outlets."""
        for driver in self._each:
            await driver.close()
        self._lock.release()

    def _driver(self, outlet: str) -> Outlets:
        if outlet not in self._drivers:
            raise unknown(outlet, self._drivers)
        self._lock.take()
        return self._drivers[outlet]


def here(
    settings: Settings, broker: BrokerSettings, who: str = "pirack master"
) -> RackOutlets:
    """Return the outlets of a configuration on this machine.

    Args:
        settings: The configuration.
        broker: ``[broker]``, for plugs that have none of their own.
        who: What this process is called in another's error.

    Raises:
        ConfigError: A driver cannot work on this machine, or would not keep its lines.
    """

    def door() -> Door:
        own = settings.power.plug_broker
        way = endpoint(own or broker)
        # On the rack's broker the user is the master, whose client id is taken: two
        # clients with one id would end each other for ever.
        return Door(connector(way), (own and way.username) or PLUGS_CLIENT_ID)

    return outlets(settings, machine=machines.here(), door=door, who=who)


def outlets(
    settings: Settings,
    *,
    machine: Machine,
    door: Callable[[], Door],
    who: str = "pirack master",
) -> RackOutlets:
    """Return the outlets of a configuration; nothing is touched before the first claim.

    Args:
        settings: The configuration.
        machine: This one.
        door: Called if there are plugs.
        who: What this process is called in another's error.

    Raises:
        ConfigError: A driver cannot work on this machine, or would not keep its lines.
    """
    rows = outlet_rows(settings, layout.stacks(settings))
    folder = Path(settings.master.data_dir)
    drivers: dict[str, Outlets] = {}
    for driver in Driver:
        own = tuple(row for row in rows if row.driver is driver)
        if own:
            made = _make(driver, own, settings, machine, door)
            drivers |= dict.fromkeys((row.name for row in own), made)
    return RackOutlets(drivers, OutletLock(folder, who))


def on_pins(settings: Settings) -> tuple[OutletRow, ...]:
    """Return the outlets on GPIO pins."""
    return tuple(row for row in settings.outlets if row.driver.on_pins)


def gpio(
    driver: Driver, rows: Iterable[OutletRow], machine: Machine, ledger: Ledger
) -> GpioOutlets:
    """Return outlets on pins that this process holds.

    Raises:
        ConfigError: The driver is not installed, a bus is on one of its pins, or a row
            lacks its wiring.
    """
    own = tuple(row for row in rows if row.driver is driver)
    for mistake in wiring.bus_conflicts(own, machine.exists):
        raise ConfigError(str(mistake))
    wires = {row.name: _wire(row) for row in own}
    return GpioOutlets(machine.pins(driver), wires, ledger)


def _make(
    driver: Driver,
    rows: tuple[OutletRow, ...],
    settings: Settings,
    machine: Machine,
    door: Callable[[], Door],
) -> Outlets:
    folder = Path(settings.master.data_dir)
    names = tuple(row.name for row in rows)
    if driver is Driver.FAKE:
        return FakeOutlets(folder / FAKE_FILE, names)
    if driver is Driver.COMMAND:
        return CommandOutlets({r.name: r.commands for r in rows if r.commands})
    if driver is Driver.MQTT:
        plugs = {row.name: resolve(row.plug) for row in rows if row.plug}
        way = door()
        return MqttOutlets(plugs, connect=way.connect, client_id=way.client_id)
    if settings.power.holder:
        return HolderOutlets(Path(settings.power.holder), names)
    keeping = machine.keeping(driver)
    if not keeping.keeps:
        text = (
            f"driver {driver}: outputs end with the process that holds them "
            f"({keeping.why}), so that every restart of the master would move the "
            "relays; run pirack-powerd and name its socket in [power] holder"
        )
        raise ConfigError(text)
    return gpio(driver, rows, machine, Ledger(folder / LEDGER_FILE))


def _wire(row: OutletRow) -> Wire:
    if row.pin is None or row.active_low is None:
        text = f"[[outlet]] {row.name!r}: pin and active_low must be given"
        raise ConfigError(text)
    return Wire(row.pin, row.active_low)
