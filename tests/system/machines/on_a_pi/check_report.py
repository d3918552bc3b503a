"""``scripts/try-on-a-pi`` itself: what it says of an emulated board, row by row.

The script runs with PiRack installed as on any board. What only a real one has is
``cannot be checked`` here; docs/tested.md lists it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machines.on_a_pi.registers import Registers

SCRIPT = Path(__file__).parents[4] / "scripts/try-on-a-pi"
PAIR = (20, 21)
"""Not pins of relays in the other checks; no jumper joins them."""


def rows(*words: str, code: int = 0) -> dict[str, dict[str, str]]:
    """What the script says; its rows by name."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--installed", "--json", *words],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["rows"]}


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, str]]:
    return rows("--light")


def test_the_board_is_known_and_nothing_differs(
    told: dict[str, dict[str, str]],
) -> None:
    assert told["board"]["result"] == "ok"
    assert told["board"]["seen"].startswith("Raspberry Pi 3 Model B, revision a02082")
    assert told["id"]["result"] == "ok"
    assert told["id"]["seen"] == "pi-…ef12, serial …ef12"
    assert told["driver gpiod"]["result"] == "ok"
    assert "pinctrl-bcm2835" in told["driver gpiod"]["seen"]
    kept = told["outputs whose process ends"]
    assert kept["result"] == "ok"
    assert kept["seen"] == "stay: pinctrl_bcm2835.persist_gpio_outputs=Y"
    assert not [row for row in told.values() if row["result"] == "differs"]
    assert told["vitals"]["result"] == "ok"
    assert told["light for identify"]["seen"].startswith("ACT, trigger [heartbeat]")
    assert told["light blinks"]["result"] == "ok", told["light blinks"]


def test_what_no_emulator_has_cannot_be_checked_and_says_why(
    told: dict[str, dict[str, str]],
) -> None:
    cannot = {
        name: row["why"]
        for name, row in told.items()
        if row["result"] == "cannot be checked"
    }
    assert cannot.pop("throttle bits") == "vcgencmd is not installed"
    assert cannot.pop("boot order") == "vcgencmd is not installed"
    assert cannot.pop("pulls") == cannot.pop("buses") == "pinctrl is not installed"
    assert cannot.pop("card") == "there is no card in /sys/block"
    assert cannot.pop("jumper").startswith("--jumper names no pins")
    assert set(cannot) <= {
        *("system", "hardware addresses", "clock", "DHCP client", "services"),
        "driver rpi-gpio",
    }


def test_two_pins_without_a_jumper_differ_and_are_inputs_afterwards(
    registers: Registers,
) -> None:
    pair = f"{PAIR[0]}:{PAIR[1]}"
    told = rows("--jumper", pair, "--no-relay", code=1)
    row = told["gpiod 20→21"]
    assert row["result"] == "differs", row
    assert "3 read back" in row["seen"], row
    assert told["pins left as found"]["result"] == "ok", told["pins left as found"]
    assert not any(registers.pin(pin).output for pin in PAIR), (
        "though this kernel keeps"
    )


def test_a_pin_of_the_configuration_is_refused_and_not_touched(
    tmp_path: Path, registers: Registers
) -> None:
    before = [registers.pin(pin) for pin in PAIR]
    file = tmp_path / "pirack.toml"
    file.write_text(
        '[[outlet]]\nname = "attic"\ndriver = "gpiod"\nstack = 1\npin = 21\n'
        "active_low = true\n"
    )
    words = ("--jumper", "20:21", "--no-relay", "--config", str(file))
    row = rows(*words)["jumper"]
    assert row["result"] == "cannot be checked"
    assert row["why"] == "no pin was touched: GPIO21 is a pin of outlet attic"
    assert [registers.pin(pin) for pin in PAIR] == before
