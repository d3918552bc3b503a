"""Wiring that cannot be right is refused, or named, before a pin moves."""

import re
from pathlib import Path

import pytest

from broker.common.config import Document, load
from broker.common.errors import ConfigError
from master_service.power import wiring
from master_service.power.wiring import read
from master_service.rack.settings import parse

GOOD = """
[rack]
stacks = 3
[[node]]
id = "pi-00000001"
stack = 3
[[outlet]]
name = "a"
driver = "rpi-gpio"
stack = 1
pin = 17
active_low = false
[[outlet]]
name = "b"
driver = "gpiod"
stack = 2
pin = 5
active_low = true
"""


def settings(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "pirack.toml"
    path.write_text(text)
    return load(path)


def named(tmp_path: Path, text: str) -> list[wiring.Mistake]:
    return list(wiring.mistakes(parse(settings(tmp_path, text))))


def test_right_wiring_has_no_mistake(tmp_path: Path) -> None:
    assert named(tmp_path, GOOD) == []
    read(settings(tmp_path, GOOD))


OUTLET = '\n[[outlet]]\nname = "c"\nstack = 3\n'
PIN = f'{OUTLET}driver = "gpiod"\n'
PLUG = f'{OUTLET}driver = "mqtt"\nplug = '

FATAL = {
    "a pin twice": (f"{PIN}pin = 17\nactive_low = false", "also the pin of outlet 'a'"),
    "no pin": (f"{PIN}active_low = true", "needs a pin"),
    "no active_low": (f"{PIN}pin = 22", "active_low is not given.*most blue"),
    "the pins of the HAT": (f"{PIN}pin = 1\nactive_low = true", "1 is reserved"),
    "a pin that is none": (f"{PIN}pin = 28\nactive_low = true", "not on the header"),
    "a negative pin": (f"{PIN}pin = -1\nactive_low = true", "not on the header"),
    "a pin for a fake": (f"{OUTLET}pin = 22\nactive_low = true", "has no pin"),
    "a plug for a pin": (
        f'{PIN}pin = 22\nactive_low = false\nplug = {{device = "x"}}',
        "has no plug",
    ),
    "no plug": (f'{OUTLET}driver = "mqtt"', "needs plug"),
    "no commands": (f'{OUTLET}driver = "command"', "needs commands"),
    "a plug without topics": (f'{PLUG}{{device = "x"}}', "no command_topic"),
    "a preset without plug": (f'{PLUG}{{preset = "tasmota"}}', "needs the plug"),
    "a wildcard": (
        f'{PLUG}{{preset = "tasmota", device = "x/#"}}',
        "without \\+ or #",
    ),
    "a command without words": (
        f'{OUTLET}driver = "command"\ncommands = {{on = "", off = "x", status = "x"}}',
        "at least a program",
    ),
    "a quotation that does not end": (
        (
            f'{OUTLET}driver = "command"\n'
            "commands = {on = \"a 'b\", off = 'x', status = 'x'}"
        ),
        "No closing quotation",
    ),
    "one plug twice": (
        (
            f'{PLUG}{{preset = "tasmota", device = "x"}}\n[[outlet]]\nname = "d"\n'
            'driver = "mqtt"\nplug = {preset = "tasmota", device = "x"}'
        ),
        "same relay as outlet 'c'",
    ),
    "a stack that is not there": (
        '\n[[outlet]]\nname = "c"\nstack = 12',
        "feeds stack 12, which the rack does not have; the rack has 1, 2, 3",
    ),
    "a node fed twice": (
        f'{OUTLET}[[outlet]]\nname = "d"\nnodes = ["pi-00000001"]',
        "also fed by outlet 'c', with all of stack 3",
    ),
    "a driver for all": ('\n[power]\ndriver = "gpiod"', "cannot be guessed"),
}


@pytest.mark.parametrize("case", FATAL, ids=str)
def test_what_cannot_be_right_is_refused(tmp_path: Path, case: str) -> None:
    more, words = FATAL[case]
    with pytest.raises(ConfigError, match=words):
        read(settings(tmp_path, GOOD + more))


WARNED = {
    "pulled the wrong way, low": (
        f"{PIN}pin = 9\nactive_low = true",
        r"GPIO9 is pulled down .* blip on .* from 2 to 8.* gpio=9=op,dh",
    ),
    "pulled the wrong way, high": (
        f"{PIN}pin = 8\nactive_low = false",
        r"GPIO8 is pulled up .* blip on .* from 9 to 27.* gpio=8=op,dl",
    ),
    "nobody fed": ('\n[[outlet]]\nname = "c"', "it feeds nobody"),
    "a node that is not there": (
        '\n[[outlet]]\nname = "c"\nnodes = ["pi-00000009"]',
        r"node pi-00000009, for which there is no \[\[node\]\]",
    ),
}


@pytest.mark.parametrize("case", WARNED, ids=str)
def test_what_will_surprise_is_named_and_allowed(tmp_path: Path, case: str) -> None:
    more, words = WARNED[case]
    (mistake,) = named(tmp_path, GOOD + more)
    assert not mistake.fatal
    assert re.search(words, str(mistake))
    read(settings(tmp_path, GOOD + more))


@pytest.mark.parametrize(
    ("pin", "device"),
    [(2, "/dev/i2c-1"), (10, "/dev/spidev0.0"), (14, "/dev/serial0")],
)
def test_a_pin_that_a_bus_of_this_machine_uses_is_refused(
    tmp_path: Path, pin: int, device: str
) -> None:
    text = f"{GOOD}{PIN}pin = {pin}\nactive_low = {str(pin < 9).lower()}"
    rows = parse(settings(tmp_path, text)).outlets
    assert list(wiring.bus_conflicts(rows, lambda _: False)) == []
    (mistake,) = wiring.bus_conflicts(rows, lambda path: path == device)
    assert f"GPIO{pin} is in use by" in mistake.text
    assert "config.txt" in mistake.right


def test_an_unknown_word_in_a_plug_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown field `devise`"):
        read(settings(tmp_path, f'{GOOD}{PLUG}{{devise = "x"}}'))


def test_where_no_stack_is_named_any_outlet_may_feed_one(tmp_path: Path) -> None:
    read(settings(tmp_path, '[[outlet]]\nname = "a"\nstack = 7\n'))
