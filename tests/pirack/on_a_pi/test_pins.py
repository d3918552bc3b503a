"""What pinctrl shows, which configurations name pins, and what the report hides."""

import json
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from pirack.on_a_pi import cli, pins
from pirack.on_a_pi.board import (
    RowResult,
    ToolError,
    TriedMachine,
    differs,
    ok,
    unknown,
)
from pirack.on_a_pi.cli import Redactor
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


ROWS = [
    ok("board", "Raspberry Pi 4 Model B Rev 1.4"),
    differs("id", "pi-3d1c9f2e, serial 100000003d1c9f2e", "another"),
    unknown("HAT", "attic said\x1b[2J: no", "192.168.1.7"),
]
REDACTOR = Redactor("100000003d1c9f2e", ("attic", "ann", "pi"), "/home/ann")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pi-3d1c9f2e, serial 100000003D1C9F2E", "pi-…9f2e, serial …9f2e"),
        ("eth0 dc:a6:32:01:02:03, enxdca632010203", "eth0 dc:a6:32:…, enx…"),
        ("from 192.168.1.7 to fe80::1", "from (address) to (address)"),
        ("2001:db8:0:0:0:0:0:1 and ::1", "(address) and (address)"),
        ("on attic: /home/ann/pirack", "on (name): ~/pirack"),
        ("kernel 6.12.47+rpt-rpi-v8, 12:30:05", "kernel 6.12.47+rpt-rpi-v8, 12:30:05"),
        ("pi-agent of pi: attics", "pi-agent of pi: attics"),
        ("Python 3.11.2, node_agent::blink", "Python 3.11.2, node_agent::blink"),
    ],
)
def test_serials_addresses_and_names_are_taken_out_and_nothing_else(
    text: str, shown: str
) -> None:
    assert REDACTOR(text) == shown


def test_the_text_has_a_line_for_each_row_and_obeys_no_control_character() -> None:
    lines = cli.as_text(ROWS, REDACTOR).splitlines()
    assert "board  ok Raspberry Pi 4 Model B Rev 1.4" in lines
    assert "id     differs pi-…9f2e, serial …9f2e" in lines
    assert "       expected: another" in lines
    assert "HAT    cannot be checked: (name) said\\x1b[2J: no; (address)" in lines
    assert lines[-1] == "1 ok, 1 differs, 1 cannot be checked"


def test_json_says_the_same_and_whole_shows_all() -> None:
    value = json.loads(cli.as_json(ROWS, REDACTOR))
    assert value["rows"][1]["seen"] == "pi-…9f2e, serial …9f2e"
    assert value["whole"] is False
    whole = json.loads(cli.as_json(ROWS, None))
    assert whole["rows"][1]["seen"] == "pi-3d1c9f2e, serial 100000003d1c9f2e"
    assert whole["whole"] is True
