"""Twelve relays on a board's own pins by each driver, read back from the registers.

Half of the relays are active low.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.power import rack_outlets
from master_service.power.drivers import gpio_machine, rpi_gpio
from master_service.power.drivers.gpio import GpioOutlets, PinLevels, RelayWiring
from master_service.power.outlets import PowerFatalError
from master_service.rack.settings import Driver, OutletRow, Settings
from tests.system.machines.on_a_pi.benches import drop, forked, kill
from tests.system.machines.on_a_pi.registers import Pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.machines.on_a_pi.registers import Registers

DRIVERS = [Driver(name) for name in os.environ["PI_DRIVERS"].split(",")]
"""Those of this run: the two modules named RPi.GPIO cannot be there at once."""
PINS = (4, 5, 6, 12, 13, 16, 19, 20, 22, 24, 26, 27)
WIRES = {
    f"stack-{number}": RelayWiring(pin, active_low=number % 2 == 1)
    for number, pin in enumerate(PINS, start=1)
}
HELD = 17


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A driver, of which no line is left held afterwards."""
    yield request.param
    drop(request.param)


def outlets(driver: Driver, folder: Path) -> GpioOutlets:
    pins = gpio_machine.here().pins(driver)
    return GpioOutlets(pins, WIRES, PinLevels(folder / "pins.json"))


def levels(registers: Registers) -> dict[str, Pin]:
    return {name: registers.pin(wire.pin) for name, wire in WIRES.items()}


async def test_twelve_relays_are_claimed_at_their_levels_and_switched_one_by_one(
    driver: Driver, tmp_path: Path, registers: Registers
) -> None:
    rack = outlets(driver, tmp_path)
    on = {name: number % 3 == 0 for number, name in enumerate(WIRES)}
    for name, level in on.items():
        await rack.claim(name, Power.ON if level else Power.OFF)
    for switched in ("", *WIRES, *WIRES):
        if switched:
            on[switched] = not on[switched]
            await rack.switch(switched, on=on[switched])
        expected = {
            name: Pin(output=True, high=level is not WIRES[name].active_low)
            for name, level in on.items()
        }
        assert levels(registers) == expected
    for name, level in on.items():
        assert await rack.read(name) is (Power.ON if level else Power.OFF)
    await rack.close()


@pytest.fixture
def holder(driver: Driver) -> Iterator[int]:
    """Another process, which drives a pin high by the same driver."""

    def hold(ready: Callable[[], object]) -> None:
        pins = gpio_machine.here().pins(
            driver
        )  # kept: gpiod lets go of what nobody has
        pins.drive(HELD, high=True)
        ready()
        signal.pause()

    with forked(hold) as child:
        yield child


def held_by_nobody(driver: Driver) -> bool:
    """Whether the driver is RPi.GPIO, which writes to registers."""
    return driver is Driver.RPI_GPIO and not rpi_gpio.held_by_kernel()


@pytest.mark.usefixtures("holder")
async def test_a_pin_that_another_process_holds_is_refused_and_stays(
    driver: Driver, tmp_path: Path, registers: Registers
) -> None:
    wires = {"mine": RelayWiring(HELD, active_low=True)}
    pins = gpio_machine.here().pins(driver)
    ledger = PinLevels(tmp_path / "pins.json")
    mine = GpioOutlets(pins, wires, ledger)
    if held_by_nobody(driver):
        await mine.switch("mine", on=True)
        assert registers.pin(HELD) == Pin(output=True, high=False)
        return
    with pytest.raises(PowerFatalError, match=rf"GPIO{HELD}: .*busy.*\?"):
        await mine.switch("mine", on=True)
    assert registers.pin(HELD) == Pin(output=True, high=True)
    assert await ledger.level("mine") is Power.UNKNOWN


def test_what_the_end_of_a_process_does_to_its_pins_is_known(
    driver: Driver, holder: int, registers: Registers
) -> None:
    assert registers.pin(HELD) == Pin(output=True, high=True)
    kill(holder)
    assert registers.pin(HELD).output is gpio_machine.here().keeping(driver).keeps


def test_the_master_refuses_pins_that_would_end_with_it(driver: Driver) -> None:
    keeping = gpio_machine.here().keeping(driver)
    row = OutletRow(name="a", driver=driver, stack=1, pin=17, active_low=True)
    settings = Settings(outlets=(row,))

    def no_plugs() -> rack_outlets.PlugLink:
        pytest.fail("there are no plugs")

    if keeping.keeps:
        rack_outlets.outlets(settings, machine=gpio_machine.here(), plug_link=no_plugs)
        return
    with pytest.raises(ConfigError, match=r"persist_gpio_outputs.*run pirack-powerd"):
        rack_outlets.outlets(settings, machine=gpio_machine.here(), plug_link=no_plugs)
