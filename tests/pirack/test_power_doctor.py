"""What the doctor says of relays: wiring, reach, and what a restart would do."""

import sys
from pathlib import Path

import pytest

from master_service.power.drivers.gpio_machine import GpioMachine, here
from master_service.power.simulated_pins import SimulatedHeader
from pirack.doctor import power
from pirack.doctor.check_result import CheckResult, Severity
from tests.gpio_stand_ins import stand_in

OUTLET = """
[[outlet]]
name = "stack-1"
driver = "{driver}"
stack = 1
pin = {pin}
active_low = {active_low}
"""


def findings(
    folder: Path,
    machine: GpioMachine,
    *,
    driver: str = "gpiod",
    pin: int = 22,
    active_low: str = "false",
    more: str = "",
) -> dict[str, CheckResult]:
    path = folder / "pirack.toml"
    outlet = OUTLET.format(driver=driver, pin=pin, active_low=active_low)
    path.write_text(more + outlet)
    return {found.subject: found for found in power.check(path, machine)}


def test_without_outlets_it_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pirack.toml"
    path.write_text("[rack]\n")
    assert list(power.check(path)) == []
    assert list(power.check(None)) == []


def test_a_kernel_that_keeps_outputs_needs_no_holder(tmp_path: Path) -> None:
    found = findings(tmp_path, stand_in(SimulatedHeader()))
    assert {one.level for one in found.values()} == {Severity.OK}
    assert "/dev/gpiochip4 (pinctrl-rp1)" in found["gpio"].text
    assert "stay when the master ends" in found["gpio lines"].text


def test_a_kernel_that_drops_outputs_needs_one(tmp_path: Path) -> None:
    found = findings(tmp_path, stand_in(SimulatedHeader(), keeps=False))
    assert found["gpio lines"].level is Severity.FAIL
    assert "restart moves relays" in found["gpio lines"].text
    assert "run pirack-powerd" in found["gpio lines"].advice


def test_a_holder_that_does_not_run_fails(tmp_path: Path) -> None:
    more = f'[power]\nholder = "{tmp_path}/none.sock"\n'
    found = findings(tmp_path, stand_in(SimulatedHeader(), keeps=False), more=more)
    assert found["pirack-powerd"].level is Severity.FAIL
    assert "systemctl status pirack-powerd" in found["pirack-powerd"].advice
    assert found["gpio lines"].level is Severity.OK


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has pins")
@pytest.mark.parametrize("driver", ["gpiod", "rpi-gpio"])
def test_off_a_pi_the_missing_module_is_the_finding(
    tmp_path: Path, driver: str
) -> None:
    found = findings(tmp_path, here({}), driver=driver)
    assert found["gpio"].level is Severity.FAIL
    assert f"{sys.executable} -m pip install" in found["gpio"].text
    assert "gpio lines" not in found


def test_every_mistake_in_the_wiring_is_named_and_no_pin_moves(tmp_path: Path) -> None:
    header = SimulatedHeader()
    path = tmp_path / "pirack.toml"
    path.write_text(
        OUTLET.format(driver="gpiod", pin=1, active_low="true")
        + OUTLET.format(driver="rpi-gpio", pin=9, active_low="true").replace("-1", "-2")
        + OUTLET.format(driver="rpi-gpio", pin=9, active_low="false").replace(
            "-1", "-3"
        )
    )
    found = [one for one in power.check(path, stand_in(header)) if one.advice]
    texts = "\n".join(f"{one.level} {one.text}" for one in found)
    assert "fail outlet stack-1: pin 1 is reserved" in texts
    assert "warn outlet stack-2: GPIO9 is pulled down" in texts
    assert "fail outlet stack-3: GPIO9 is also the pin of outlet 'stack-2'" in texts
    assert header.calls == []


def test_a_pin_of_a_bus_in_use_is_named(tmp_path: Path) -> None:
    machine = stand_in(SimulatedHeader())
    busy = GpioMachine(
        machine.pins, machine.keeping, lambda path: path == "/dev/serial0"
    )
    found = findings(tmp_path, busy, pin=14)
    assert "GPIO14 is in use by the serial console" in found["wiring"].text
