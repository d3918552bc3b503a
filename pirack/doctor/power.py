"""Checks of the outlets: their wiring, and who keeps the lines when the master ends.

Nothing here touches a pin; only files of this machine are read.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from broker.common.config import load
from broker.common.errors import ConfigError
from master_service.power import wiring
from master_service.power.drivers import gpio_machine
from master_service.power.drivers.gpio_machine import GpioMachine
from master_service.power.outlets import PowerError
from master_service.power.powerd_client import PowerdOutlets
from master_service.rack import layout
from master_service.rack.outlet_state import outlet_rows
from master_service.rack.settings import Driver, OutletRow, Settings, parse
from pirack.doctor.check_result import CheckResult, Severity, fail, ok, warn


def check(
    config: Path | None, machine: GpioMachine | None = None
) -> Iterator[CheckResult]:
    """Checks the outlets of a configuration; without any, nothing is said.

    Args:
        config: The file; None: built-in values, which have no outlet.
        machine: This one, unless a test says otherwise.
    """
    try:
        settings = parse(load(config))
    except ConfigError:
        return  # named by the check of the file
    rows = outlet_rows(settings, layout.stacks(settings))
    if not rows and settings.power.driver is Driver.NONE:
        return
    here = machine or gpio_machine.here()
    yield from wired(settings, here)
    for driver in (Driver.RPI_GPIO, Driver.GPIOD):
        own = tuple(row for row in rows if row.driver is driver)
        if own:
            pins = usable(driver, here)
            yield pins
            if pins.level is Severity.OK:
                yield from kept(driver, settings, own, here)


def wired(settings: Settings, machine: GpioMachine) -> Iterator[CheckResult]:
    """Names every mistake in the wiring."""
    found = list(wiring.mistakes(settings))
    found += wiring.bus_conflicts(settings.outlets, machine.exists)
    for mistake in found:
        make = fail if mistake.fatal else warn
        where = f"outlet {mistake.outlet}" if mistake.outlet else "[power]"
        yield make("wiring", f"{where}: {mistake.text}", mistake.right)
    if not found:
        text = f"{len(settings.outlets)} outlets, no mistake that the file shows"
        yield ok("wiring", f"{text}; `pirack power test` shows the rest")


def usable(driver: Driver, machine: GpioMachine) -> CheckResult:
    """Checks that a driver could reach its pins."""
    try:
        place = machine.pins(driver).place()
    except (ConfigError, PowerError) as error:
        return fail("gpio", str(error), "see docs/power.md")
    return ok("gpio", f"{driver}: {place}")


def kept(
    driver: Driver,
    settings: Settings,
    rows: tuple[OutletRow, ...],
    machine: GpioMachine,
) -> Iterator[CheckResult]:
    """Checks that outputs survive the process that holds them."""
    keeping = machine.keeping(driver)
    if settings.power.holder:
        yield holder(Path(settings.power.holder), rows)
    if keeping.keeps:
        yield ok("gpio lines", f"stay when the master ends: {keeping.why}")
    elif settings.power.holder:
        yield ok("gpio lines", f"end with their process ({keeping.why}); it is powerd")
    else:
        text = f"end with the master, so that its restart moves relays: {keeping.why}"
        advice = "run pirack-powerd, name its socket in [power] holder: docs/power.md"
        yield fail("gpio lines", text, advice)


def holder(path: Path, rows: tuple[OutletRow, ...]) -> CheckResult:
    """Checks that ``pirack-powerd`` holds the lines."""
    advice = "systemctl status pirack-powerd; is this user in its group?"
    try:
        names = tuple(row.name for row in rows)
        levels = asyncio.run(_levels(PowerdOutlets(path, names), names))
    except PowerError as error:
        return fail("pirack-powerd", str(error), advice)
    return ok("pirack-powerd", ", ".join(f"{name} {level}" for name, level in levels))


async def _levels(
    outlets: PowerdOutlets, names: tuple[str, ...]
) -> list[tuple[str, str]]:
    return [(name, await outlets.read(name)) for name in names]
