"""Who the board is, its temperature, its throttle bits, and its light.

The agent's own program says all that, as an owner would ask it. What the emulated board
lacks is ``get_throttled``, a file of Raspberry Pi's kernel. So it is put where that
kernel has it, in a mount namespace, in a folder that the device tree made: that the
firmware fills it is not shown.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from node_agent import blink, throttle

if TYPE_CHECKING:
    from tests.system.machines.on_a_pi.registers import Registers

AGENT = str(Path(sys.executable).parent / "pirack-agent")
THROTTLED = "70005"
"""Under-voltage and throttled now, and capped before in this boot."""
READS = """\
from node_agent.vitals import LinuxBoard
bits = LinuxBoard().vitals().throttled
print(*bits.now, "/", *bits.since_boot)
"""
LIGHT = 29
"""The pin of the light, as on a 3B+; see pi3.py."""


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What the agent would report."""
    done = run(AGENT, "--once")
    told: dict[str, Any] = json.loads(done)
    return told


def run(*words: str) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_agent_says_which_board_it_is(shown: dict[str, Any]) -> None:
    details = shown["details"]
    assert shown["id"] == "pi-abcdef12"
    assert details["model"] == "Raspberry Pi 3 Model B"
    assert details["serial"] == "00000000abcdef12"
    assert details["architecture"] == "aarch64"
    assert details["memory_bytes"] > 900_000_000
    assert "unreadable" not in details


def test_the_temperature_is_that_of_the_sensor(shown: dict[str, Any]) -> None:
    [zone] = Path("/sys/class/thermal").glob("thermal_zone*")
    assert (zone / "type").read_text() == "cpu-thermal\n"
    there = int((zone / "temp").read_text()) / 1000
    assert shown["heartbeat"]["temperature_c"] == pytest.approx(there, abs=0.1)


def test_without_the_firmwares_file_the_throttle_bits_are_unknown(
    shown: dict[str, Any],
) -> None:
    told = shown["heartbeat"]["throttled"]
    assert told == {"unknown": "vcgencmd cannot be started: No such file or directory"}


def test_the_throttle_bits_are_read_where_raspberry_pis_kernel_has_them() -> None:
    folder = Path("/", throttle.SYSFS).parent
    assert folder.is_dir(), "of the firmware in the device tree"
    script = f"mount -t tmpfs none {folder} && echo {THROTTLED} >/{throttle.SYSFS}"
    unshare = ("busybox", "unshare", "--mount", "sh", "-ec", f'{script} && exec "$@"')
    told = run(*unshare, "sh", sys.executable, "-c", READS)
    assert (
        told == "under-voltage throttled / under-voltage frequency-capped throttled\n"
    )


def test_identify_is_offered_and_blinks_the_light(
    shown: dict[str, Any], registers: Registers
) -> None:
    assert "identify" not in shown["not_offered"], shown["not_offered"]
    light = blink.find()
    assert light is not None
    assert light.name == "ACT"
    trigger = (light / "trigger").read_text()
    assert "[heartbeat]" in trigger, "as the device tree says"
    words = [sys.executable, "-m", "node_agent.blink", "--seconds", "2"]
    lit = []
    with subprocess.Popen(words) as process:
        while process.poll() is None:
            before = registers.pin(LIGHT).high
            on = (light / "brightness").read_text() != "0\n"
            if on is before is registers.pin(LIGHT).high and untriggered(light):
                lit.append(on)
            time.sleep(0.02)
    assert process.returncode == 0
    flashes = [on for on, _ in itertools.groupby(lit)].count(True)
    assert 3 <= flashes <= 5, "a flash each half second, on the pin as in sysfs"
    assert (light / "trigger").read_text() == trigger


def untriggered(light: Path) -> bool:
    return "[none]" in (light / "trigger").read_text()
