"""What of this machine the GPIO drivers need: its pins, and whether outputs stay.

Raspberry Pi's kernels keep an output when the process that held it ends
(``persist_gpio_outputs``), unless ``dtparam=strict_gpiod`` is in config.txt; the
mainline kernel makes the line an input and the relay drops out, but for a new one (6.12
has it, 6.1 has not) whose command line sets the same parameter. Sources:
raspberrypi/linux#6117 and #6150; "GPIO Usage on Raspberry Pi Devices".
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from master_service.power.drivers import gpiod_lines, rpi_gpio
from master_service.power.drivers.gpio import Pins
from master_service.power.drivers.gpiod_lines import GpiodPins
from master_service.power.drivers.rpi_gpio import RpiPins
from master_service.power.simulated_pins import SimulatedHeader, SimulatedPins
from master_service.rack.settings import Driver

log = logging.getLogger(__name__)

VARIABLE = "PIRACK_STAND_IN_PINS"
MODULES = Path("/sys/module")
_DRIVERS = ("pinctrl_bcm2835", "pinctrl_rp1")
_TRUE = frozenset({"Y", "1"})


class OutputKeeping(msgspec.Struct, frozen=True):
    """What becomes of an output.

    Args:
        keeps: Whether it stays as it is.
        why: Where that is known from, in words.
    """

    keeps: bool
    why: str


class GpioMachine(msgspec.Struct, frozen=True):
    """The parts of a machine that move relays.

    Args:
        pins: Makes the pins of a driver; raises ConfigError where it cannot.
        keeping: Returns what becomes of a driver's outputs when their process ends.
        exists: Returns whether there is a file at a path.
    """

    pins: Callable[[Driver], Pins]
    keeping: Callable[[Driver], OutputKeeping]
    exists: Callable[[str], bool]


def here(environment: Mapping[str, str] = os.environ) -> GpioMachine:
    """Returns this machine, or simulated pins where the environment asks for them."""
    named = environment.get(VARIABLE)
    if not named:
        return GpioMachine(_pins, _keeping, os.path.exists)
    log.warning("%s is set: no pin moves, everything is in %s", VARIABLE, named)
    return simulated(SimulatedHeader(path=Path(named)))


def simulated(header: SimulatedHeader, *, keeps: bool = True) -> GpioMachine:
    """Returns a machine of which only the pins are there.

    Args:
        keeps: Whether its kernel keeps outputs.
    """
    keeping = OutputKeeping(keeps=keeps, why=f"{VARIABLE}: nothing real is there")
    return GpioMachine(
        lambda driver: SimulatedPins(header, driver),
        lambda _: keeping,
        lambda _: False,
    )


def kernel_keeping(modules: Path = MODULES) -> OutputKeeping:
    """Returns what this kernel does; where it does not say, it is taken not to keep.

    Args:
        modules: ``/sys/module``.
    """
    found = [one for one in (_driver(modules / name) for name in _DRIVERS) if one]
    for one in found:
        if not one.keeps:
            return one
    if found:
        return found[0]
    why = "this kernel has no persist_gpio_outputs (mainline, or no Raspberry Pi)"
    return OutputKeeping(keeps=False, why=why)


def _driver(module: Path) -> OutputKeeping | None:
    parameters = module / "parameters"
    persists = _parameter(parameters / "persist_gpio_outputs")
    if persists is not None:
        return OutputKeeping(
            keeps=persists,
            why=f"{module.name}.persist_gpio_outputs={'Y' if persists else 'N'}",
        )
    strict = _parameter(parameters / "strict_gpiod")
    if strict is not None:
        return OutputKeeping(
            keeps=not strict,
            why=f"{module.name}.strict_gpiod={'Y' if strict else 'N'}",
        )
    return None


def _parameter(path: Path) -> bool | None:
    try:
        return path.read_text().strip() in _TRUE
    except OSError:
        return None


def _pins(driver: Driver) -> Pins:
    if driver is Driver.GPIOD:
        return GpiodPins(gpiod_lines.load())
    return RpiPins(rpi_gpio.load())


def _keeping(driver: Driver) -> OutputKeeping:
    if driver is Driver.RPI_GPIO and not rpi_gpio.held_by_kernel():
        why = "RPi.GPIO writes to registers that are never reset"
        return OutputKeeping(keeps=True, why=why)
    return kernel_keeping()
