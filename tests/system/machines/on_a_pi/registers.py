"""The pins of a Raspberry Pi to Pi 4 past every driver: registers and kernel trace.

Registers say what is now, whoever drives the pins; source: "BCM2835 ARM Peripherals",
chapter 6. The trace says what the kernel did to them in between, without a gap, but not
what RPi.GPIO does, which writes to the registers itself. Both need root; the registers
need a kernel that is started with ``iomem=relaxed``, too.
"""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path
from typing import NamedTuple

BASES = {"Raspberry Pi 3": 0x3F20_0000, "Raspberry Pi 4": 0xFE20_0000}
LABEL = "pinctrl-bcm2835"
_SELECT, _SET, _CLEAR, _LEVEL = 0, 7, 10, 13
"""GPFSEL0, GPSET0, GPCLR0 and GPLEV0, counted in words of 32 bits."""
_OUTPUT = 1
_PULLED_UP = range(9)
TRACING = Path("/sys/kernel/tracing")
_EVENT = re.compile(r"gpio_(value|direction): (\d+)\s+(set|out)\s+\(?(\d+)\)?")


class Pin(NamedTuple):
    """One pin at a moment."""

    output: bool
    high: bool


class Registers:
    """The GPIO registers of this board."""

    def __init__(self) -> None:
        model = Path("/proc/device-tree/model").read_text()
        base = next(base for name, base in BASES.items() if model.startswith(name))
        memory = os.open("/dev/mem", os.O_RDWR | os.O_SYNC)
        self._page = mmap.mmap(memory, mmap.PAGESIZE, offset=base)
        os.close(memory)
        self._words = memoryview(self._page).cast("I")

    def pin(self, pin: int) -> Pin:
        """Returns direction and level of a pin."""
        selected = self._words[_SELECT + pin // 10] >> 3 * (pin % 10) & 7
        high = self._words[_LEVEL + pin // 32] >> pin % 32 & 1
        return Pin(selected == _OUTPUT, bool(high))

    def wire(self, pin: int) -> bool:
        """Returns whether what is connected to a pin sees it high.

        An input is where its pull resistor holds it: up on GPIO0 to 8, down on the
        rest. A board of QEMU has no resistors; its inputs keep the level they had.
        """
        now = self.pin(pin)
        return now.high if now.output else pin in _PULLED_UP

    def latch(self, pin: int, *, high: bool) -> None:
        """Sets what a pin puts out once it is an output."""
        word = _SET if high else _CLEAR
        self._words[word + pin // 32] = 1 << pin % 32


class Event(NamedTuple):
    """What the kernel did: set a pin's ``value``, or its ``direction`` to output."""

    what: str
    pin: int
    number: int
    """The level that was set; 0 for a direction that could be set, else an error."""


class Trace:
    """What the kernel does to pins from now on."""

    def __init__(self) -> None:
        chips = Path("/sys/class/gpio").glob("gpiochip*")
        [chip] = [one for one in chips if (one / "label").read_text().strip() == LABEL]
        self._first = int((chip / "base").read_text())
        (TRACING / "events/gpio/enable").write_text("1")
        self.drain()

    def drain(self) -> list[Event]:
        """Returns what happened since the last call; reads of levels are left out."""
        file = TRACING / "trace"
        found = [_EVENT.search(line) for line in file.read_text().splitlines()]
        file.write_text("")
        return [
            Event(one[1], int(one[2]) - self._first, int(one[4]))
            for one in found
            if one
        ]
