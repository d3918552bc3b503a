"""What of this machine the GPIO drivers need, and what stands in for it.

``PIRACK_STAND_IN_PINS=<file>`` in the environment puts stand-ins in the place of
RPi.GPIO and gpiod, in every process that has it: the drivers are the same, the pins are
in the file, with every call on them. For trying a configuration, and for tests.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import msgspec

from master_service.power.drivers import gpiod_lines, kernel, rpi_gpio
from master_service.power.drivers.gpio import Pins
from master_service.power.drivers.gpiod_lines import Gpiod, GpiodPins
from master_service.power.drivers.kernel import Keeping
from master_service.power.drivers.rpi_gpio import RpiPins
from master_service.power.stand_in.gpiod import StandInGpiod
from master_service.power.stand_in.header import Header
from master_service.power.stand_in.rpi_gpio import StandInGpio
from master_service.rack.settings import Driver

log = logging.getLogger(__name__)

VARIABLE = "PIRACK_STAND_IN_PINS"


class Machine(msgspec.Struct, frozen=True):
    """The parts of a machine that move relays.

    Args:
        pins: Makes the pins of a driver; raises ConfigError where it cannot.
        keeping: Says what becomes of a driver's outputs when their process ends.
        exists: Whether there is a file at a path.
    """

    pins: Callable[[Driver], Pins]
    keeping: Callable[[Driver], Keeping]
    exists: Callable[[str], bool]


def here(environment: Mapping[str, str] = os.environ) -> Machine:
    """Return this machine, or the stand-in that the environment asks for."""
    named = environment.get(VARIABLE)
    if not named:
        return Machine(_pins, _keeping, os.path.exists)
    log.warning("%s is set: no pin moves, everything is in %s", VARIABLE, named)
    return stand_in(Header(path=Path(named)))


def stand_in(header: Header, *, keeps: bool = True) -> Machine:
    """Return a machine of which only the pins are there.

    Args:
        header: The pins.
        keeps: Whether its kernel keeps outputs.
    """

    def pins(driver: Driver) -> Pins:
        if driver is Driver.GPIOD:
            module = StandInGpiod(header)
            # Its enumerations are its own, as those of the real module are.
            return GpiodPins(cast("Gpiod", module), paths=lambda: module.chips)
        return RpiPins(StandInGpio(header))

    why = f"{VARIABLE}: nothing real is there"
    return Machine(pins, lambda _: Keeping(keeps=keeps, why=why), lambda _: False)


def _pins(driver: Driver) -> Pins:
    if driver is Driver.GPIOD:
        return GpiodPins(gpiod_lines.load())
    return RpiPins(rpi_gpio.load())


def _keeping(driver: Driver) -> Keeping:
    if driver is Driver.RPI_GPIO and not rpi_gpio.held_by_kernel():
        return Keeping(keeps=True, why="RPi.GPIO writes to registers nobody resets")
    return kernel.keeping()
