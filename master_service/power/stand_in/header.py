"""The pins of a Raspberry Pi as electricity sees them, with every call written down.

Below the stand-ins for RPi.GPIO and gpiod. What a relay would do follows from it
alone: a pin that is no output is pulled, up below GPIO9 and down from there, and each
change of level is an edge. A header with a file outlives its process, as real pins do.
"""

import enum
import errno
import os
from pathlib import Path

import msgspec

from master_service.power.wiring import PULLED_UP_BELOW

PINS = 54
"""What RPi.GPIO lets through; the connector carries the first 28."""


class What(enum.StrEnum):
    """What was done to a pin."""

    OUTPUT = "output"
    """Direction and level in one."""
    OUTPUT_AS_LATCHED = "output as latched"
    """Direction alone: whatever the latch holds comes out, LOW after a reset."""
    LEVEL = "level"
    INPUT = "input"
    READ = "read"
    LOOK = "look"
    """Asked for without touching direction or level."""
    RELEASE = "release"
    CLEANUP = "cleanup"
    BY_HAND = "by hand"
    """Somebody else moved the relay."""


_DROPPING = {What.INPUT, What.CLEANUP}
_DRIVING = {What.OUTPUT, What.LEVEL, What.BY_HAND}


class Call(msgspec.Struct, frozen=True):
    """One call on one pin.

    Args:
        what: What was done.
        pin: BCM number.
        high: The level set or read; None where there is none.
    """

    what: What
    pin: int
    high: bool | None = None


class Edge(msgspec.Struct, frozen=True):
    """A pin changed its level: what a relay hears.

    Args:
        pin: BCM number.
        high: What it became.
    """

    pin: int
    high: bool


class Header:
    """Some pins, and all that was done to them.

    Args:
        pins: How many.
        persists: Whether outputs stay when they are released, as on the kernels of
            Raspberry Pi; the mainline kernel makes them inputs.
        path: File that remembers every call over the end of the process; None: none.
    """

    def __init__(
        self, *, pins: int = PINS, persists: bool = True, path: Path | None = None
    ) -> None:
        self.pins = pins
        self.calls: list[Call] = []
        self.edges: list[Edge] = []
        self.broken: set[int] = set()
        """Pins on which every call but the last fails; tests fill it."""
        self._persists = persists
        self._path = path
        self._latch: dict[int, bool] = {}
        self._outputs: set[int] = set()
        if path is not None and path.exists():
            for line in path.read_bytes().splitlines():
                self._apply(msgspec.json.decode(line, type=Call))

    def level(self, pin: int) -> bool:
        """Return what a relay on a pin sees."""
        if pin in self._outputs:
            return self._latch.get(pin, False)
        return pin < PULLED_UP_BELOW

    def is_output(self, pin: int) -> bool:
        """Return whether a pin is driven."""
        return pin in self._outputs

    def do(self, what: What, pin: int, *, high: bool | None = None) -> None:
        """Do something to a pin and write it down.

        Raises:
            OSError: The pin is broken.
        """
        if pin in self.broken and what is not What.RELEASE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        call = Call(what, pin, high)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(call) + b"\n")
        self._apply(call)

    def _apply(self, call: Call) -> None:
        self.calls.append(call)
        before = self.level(call.pin)
        if call.what in _DRIVING and call.high is not None:
            self._latch[call.pin] = call.high
        if call.what in {What.OUTPUT, What.OUTPUT_AS_LATCHED}:
            self._outputs.add(call.pin)
        if call.what in _DROPPING or (call.what is What.RELEASE and not self._persists):
            self._outputs.discard(call.pin)
        after = self.level(call.pin)
        if after is not before:
            self.edges.append(Edge(call.pin, after))
