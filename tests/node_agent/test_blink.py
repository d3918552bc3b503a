"""The light blinks, and gets its trigger back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node_agent import blink


def test_the_act_light_of_a_pi_is_found(machine: Callable[[str], Path]) -> None:
    root = machine("pi4")
    assert blink.find(root) == root / "sys/class/leds/ACT"


def test_a_pc_says_that_it_has_no_light(machine: Callable[[str], Path]) -> None:
    led = blink.find(machine("pc"))
    assert "no ACT light" in blink.why_not(led)


def test_a_light_that_may_not_be_written_says_so(
    machine: Callable[[str], Path],
) -> None:
    led = machine("pi4") / "sys/class/leds/ACT"
    assert blink.why_not(led) == ""
    why = blink.why_not(led, may_write=lambda file: file.name != "brightness")
    assert why == f"no permission to write {led / 'brightness'}"


def test_it_goes_on_and_off_without_its_trigger(machine: Callable[[str], Path]) -> None:
    led = machine("pi4") / "sys/class/leds/ACT"
    seen: list[tuple[str, str]] = []

    def look(_: float) -> None:
        seen.append(((led / "trigger").read_text(), (led / "brightness").read_text()))

    blink.blink(led, 1.0, look)
    assert seen == [("none", "255"), ("none", "0")] * 2
    assert (led / "trigger").read_text() == "mmc0"


def test_an_interrupted_blink_gives_the_trigger_back(
    machine: Callable[[str], Path],
) -> None:
    led = machine("pi4") / "sys/class/leds/ACT"

    def interrupt(_: float) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        blink.blink(led, 1.0, interrupt)
    assert (led / "trigger").read_text() == "mmc0"
