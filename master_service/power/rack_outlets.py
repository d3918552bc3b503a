"""Every outlet of a rack, each with its driver, held by one process at a time."""

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from broker.client.link import Connect
from broker.client.mqtt_link import connector
from broker.common.atomic import hand_over
from broker.common.config import BrokerSettings
from broker.common.errors import ConfigError
from broker.contract.messages import Power
from broker.mosquitto.credentials import endpoint
from master_service.power import wiring
from master_service.power.drivers import gpio_machine
from master_service.power.drivers.command import CommandOutlets
from master_service.power.drivers.gpio import GpioOutlets, PinLevels, RelayWiring
from master_service.power.drivers.gpio_machine import GpioMachine
from master_service.power.drivers.mqtt import MqttOutlets, resolve
from master_service.power.fake import FakeOutlets
from master_service.power.outlets import (
    Outlets,
    PowerFatalError,
    Telling,
    unknown,
)
from master_service.power.powerd_client import PowerdOutlets
from master_service.rack import layout
from master_service.rack.outlet_state import outlet_rows
from master_service.rack.settings import Driver, OutletRow, Settings

LOCK_FILE = "outlets.lock"
FAKE_FILE = "fake-outlets.json"
LEVELS_FILE = "pins.json"
PLUGS_CLIENT_ID = "pirack-power"


class PlugLink(msgspec.Struct, frozen=True):
    """How the plugs are reached.

    Args:
        connect: Makes the link to their broker.
        client_id: Of that link.
    """

    connect: Connect
    client_id: str


class OutletLock:
    """A lock on the outlets of a rack; the kernel opens it when its process ends.

    Args:
        folder: The master's data folder; made when it is missing.
        who: What the holder is called in the other's error.
    """

    def __init__(self, folder: Path, who: str) -> None:
        self._path = folder / LOCK_FILE
        self._who = who
        self._handle: int | None = None

    def take(self) -> None:
        """Takes the lock; twice is fine.

        Raises:
            PowerFatalError: Another process has it, or there can be none.
        """
        if self._handle is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # As root we would write to the target of a link.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self._path, flags, 0o600)
            hand_over(handle, self._path.parent)
        except OSError as error:
            text = f"{self._path}: the outlets cannot be locked: {error.strerror}"
            raise PowerFatalError(text) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 100).decode("utf-8", "replace").strip()
            os.close(handle)
            text = f"the outlets are in use by {holder or 'another process'}"
            raise PowerFatalError(text) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{self._who}, process {os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Gives the lock back; twice is fine."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


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
        """Keeps every other process from switching; any use does so too.

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
        """Closes each driver once, then gives the lock back."""
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
    """Returns the outlets of a configuration on this machine.

    Args:
        broker: ``[broker]``, for plugs that have none of their own.
        who: What this process is called in another's error.

    Raises:
        ConfigError: A driver cannot work on this machine, or would not keep its lines.
    """

    def plug_link() -> PlugLink:
        own = settings.power.plug_broker
        way = endpoint(own or broker)
        # On the rack's broker the user is the master, whose client id is taken: two
        # clients with one id would end each other for ever.
        return PlugLink(connector(way), (own and way.username) or PLUGS_CLIENT_ID)

    return outlets(settings, machine=gpio_machine.here(), plug_link=plug_link, who=who)


def outlets(
    settings: Settings,
    *,
    machine: GpioMachine,
    plug_link: Callable[[], PlugLink],
    who: str = "pirack master",
) -> RackOutlets:
    """Returns the outlets of a configuration; none is touched before the first claim.

    Args:
        plug_link: Called if there are plugs.
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
            made = _make(driver, own, settings, machine, plug_link)
            drivers |= dict.fromkeys((row.name for row in own), made)
    return RackOutlets(drivers, OutletLock(folder, who))


def on_pins(settings: Settings) -> tuple[OutletRow, ...]:
    """Returns the outlets on GPIO pins."""
    return tuple(row for row in settings.outlets if row.driver.on_pins)


def gpio(
    driver: Driver, rows: Iterable[OutletRow], machine: GpioMachine, levels: PinLevels
) -> GpioOutlets:
    """Returns outlets on pins that this process holds.

    Raises:
        ConfigError: The driver is not installed, a bus is on one of its pins, or a row
            lacks its wiring.
    """
    own = tuple(row for row in rows if row.driver is driver)
    for mistake in wiring.bus_conflicts(own, machine.exists):
        raise ConfigError(str(mistake))
    wires = {row.name: _wire(row) for row in own}
    return GpioOutlets(machine.pins(driver), wires, levels)


def _make(
    driver: Driver,
    rows: tuple[OutletRow, ...],
    settings: Settings,
    machine: GpioMachine,
    plug_link: Callable[[], PlugLink],
) -> Outlets:
    folder = Path(settings.master.data_dir)
    names = tuple(row.name for row in rows)
    match driver:
        case Driver.FAKE:
            return FakeOutlets(folder / FAKE_FILE, names)
        case Driver.COMMAND:
            return CommandOutlets({r.name: r.commands for r in rows if r.commands})
        case Driver.MQTT:
            plugs = {row.name: resolve(row.plug) for row in rows if row.plug}
            link = plug_link()
            return MqttOutlets(plugs, connect=link.connect, client_id=link.client_id)
        case Driver.RPI_GPIO | Driver.GPIOD | Driver.NONE:
            return _make_gpio(driver, rows, settings, machine)


def _make_gpio(
    driver: Driver,
    rows: tuple[OutletRow, ...],
    settings: Settings,
    machine: GpioMachine,
) -> Outlets:
    if settings.power.holder:
        names = tuple(row.name for row in rows)
        return PowerdOutlets(Path(settings.power.holder), names)
    keeping = machine.keeping(driver)
    if not keeping.keeps:
        text = (
            f"driver {driver}: outputs end with the process that holds them "
            f"({keeping.why}), so that every restart of the master would move the "
            "relays; run pirack-powerd and name its socket in [power] holder"
        )
        raise ConfigError(text)
    levels = PinLevels(Path(settings.master.data_dir) / LEVELS_FILE)
    return gpio(driver, rows, machine, levels)


def _wire(row: OutletRow) -> RelayWiring:
    if row.pin is None or row.active_low is None:
        text = f"[[outlet]] {row.name!r}: pin and active_low must be given"
        raise ConfigError(text)
    return RelayWiring(row.pin, row.active_low)
