"""What pinctrl shows, as its users quote it, and which configurations name pins."""

from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from pirack.on_a_pi import pins
from pirack.on_a_pi.board import RowResult, ToolError, TriedMachine
from pirack.on_a_pi.jumper import Pin

PINCTRL = """\
 0: ip    pu | hi // ID_SDA/GPIO0 = input
 2: no    pu | -- // GPIO2 = none
 5: ip    -- | hi // GPIO5 = input
14: a4    pn | hi // GPIO14 = TXD0
17: op -- pd | hi // GPIO17 = output
26: op dl pn | lo // GPIO26 = output
27: ip    pd | lo // GPIO27 = input
"""
RASPI_GPIO = """\
BANK0 (GPIO 0 to 27):
GPIO 5: level=1 fsel=0 func=INPUT pull=UP
GPIO 14: level=1 fsel=2 alt=5 func=TXD1 pull=NONE
GPIO 17: level=0 fsel=1 func=OUTPUT
"""


def machine(root: Path, **says: str) -> TriedMachine:
    def ask(*words: str) -> str:
        name = words[0].replace("-", "_")
        if name not in says:
            text = f"{words[0]} is not installed"
            raise ToolError(text)
        return says[name]

    return TriedMachine(root, ask)


def test_function_and_pull_of_each_pin_are_read(tmp_path: Path) -> None:
    assert pins.registers(machine(tmp_path, pinctrl=PINCTRL)) == {
        0: Pin("ip", "pu"),
        2: Pin("no", "pu"),
        5: Pin("ip", ""),
        14: Pin("a4", "pn"),
        17: Pin("op", "pd"),
        26: Pin("op", "pn"),
        27: Pin("ip", "pd"),
    }


def test_the_program_before_pinctrl_is_asked_where_that_is_missing(
    tmp_path: Path,
) -> None:
    assert pins.registers(machine(tmp_path, raspi_gpio=RASPI_GPIO)) == {
        5: Pin("ip", "pu"),
        14: Pin("txd1", "pn"),
        17: Pin("op", ""),
    }
    with pytest.raises(ToolError, match="pinctrl is not installed"):
        pins.registers(machine(tmp_path))


def test_a_pull_and_a_bus_that_are_not_as_documented_differ(tmp_path: Path) -> None:
    found = {row.name: row for row in pins.rows(machine(tmp_path, pinctrl=PINCTRL))}
    assert found["pulls"].result is RowResult.OK
    assert found["buses"].result is RowResult.DIFFERS, "14 is a UART, without a device"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/serial0").touch()
    other = PINCTRL.replace("27: ip    pd", "27: ip    pu")
    found = {row.name: row for row in pins.rows(machine(tmp_path, pinctrl=other))}
    assert found["pulls"].seen.endswith("otherwise: GPIO27 pu")
    assert found["pulls"].result is RowResult.DIFFERS
    assert found["buses"].result is RowResult.OK


def test_a_configuration_that_cannot_be_read_leaves_no_pin_to_touch(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pirack.toml"
    file.write_text(
        '[[outlet]]\nname = "attic"\ndriver = "gpiod"\nstack = 1\npin = 21\n'
        "active_low = true\n"
    )
    assert pins.configured(machine(tmp_path), file) == {21: "outlet attic"}
    running = tmp_path / "proc/17"
    running.mkdir(parents=True)
    named = f"python\0-m\0pirack.cli\0master\0--config\0{file}\0"
    (running / "cmdline").write_text(named)
    assert pins.configured(machine(tmp_path), None) == {21: "outlet attic"}
    file.write_text("pin = ")
    with pytest.raises(ConfigError, match="which pins the rack has is not known"):
        pins.configured(machine(tmp_path), None)
