"""Pins without a Raspberry Pi: they behave like real ones and write every call down.

``PIRACK_STAND_IN_PINS=<file>`` in the environment puts them in the place of RPi.GPIO
and gpiod, in every process that has it: for trying a configuration, and for tests. What
a relay would do follows from the pins alone: one that is not an output is pulled, up
below GPIO9 and down from there, and each change of level is an edge. A header with a
file outlives its process, as real pins do.
"""

import enum
import errno
import os
from pathlib import Path

import msgspec

from master_service.power.outlets import PowerFatalError
from master_service.power.wiring import PULLED_UP_BELOW
from master_service.rack.settings import Driver

PINS = 54
"""What RPi.GPIO lets through; the connector carries the first 28."""


class PinAction(enum.StrEnum):
    """What was done to a pin."""

    OUTPUT = "output"
    """Direction and level in one."""
    OUTPUT_AS_LATCHED = "output as latched"
    """Direction alone: what the latch holds comes out, LOW after a reset."""
    LEVEL = "level"
    INPUT = "input"
    READ = "read"
    LOOK = "look"
    """Asked for without touching direction or level."""
    RELEASE = "release"
    CLEANUP = "cleanup"


_DROPPING = {PinAction.INPUT, PinAction.CLEANUP}
_DRIVING = {PinAction.OUTPUT, PinAction.LEVEL}


class PinCall(msgspec.Struct, frozen=True):
    """One call on one pin.

    Args:
        what: What was done.
        pin: BCM number.
        high: The level set or read; None where there is none.
    """

    what: PinAction
    pin: int
    high: bool | None = None


class PinEdge(msgspec.Struct, frozen=True):
    """A change of level: what a relay hears.

    Args:
        pin: BCM number.
        high: What it became.
    """

    pin: int
    high: bool


class SimulatedHeader:
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
        self.calls: list[PinCall] = []
        self.edges: list[PinEdge] = []
        self.broken: set[int] = set()
        """Pins on which every call but the last fails; tests fill it."""
        self._persists = persists
        self._path = path
        self._latch: dict[int, bool] = {}
        self._outputs: set[int] = set()
        if path is not None and path.exists():
            for line in path.read_bytes().splitlines():
                self._apply(msgspec.json.decode(line, type=PinCall))

    def level(self, pin: int) -> bool:
        """Returns what a relay on a pin sees."""
        if pin in self._outputs:
            return self._latch.get(pin, False)
        return pin < PULLED_UP_BELOW

    def is_output(self, pin: int) -> bool:
        """Returns whether a pin is driven."""
        return pin in self._outputs

    def do(self, what: PinAction, pin: int, *, high: bool | None = None) -> None:
        """Does something to a pin and writes it down.

        Raises:
            OSError: The pin is broken.
        """
        if pin in self.broken and what is not PinAction.RELEASE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        call = PinCall(what, pin, high)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(call) + b"\n")
        self._apply(call)

    def _apply(self, call: PinCall) -> None:
        self.calls.append(call)
        before = self.level(call.pin)
        if call.what in _DRIVING and call.high is not None:
            self._latch[call.pin] = call.high
        if call.what in {PinAction.OUTPUT, PinAction.OUTPUT_AS_LATCHED}:
            self._outputs.add(call.pin)
        released = call.what is PinAction.RELEASE and not self._persists
        if call.what in _DROPPING or released:
            self._outputs.discard(call.pin)
        after = self.level(call.pin)
        if after is not before:
            self.edges.append(PinEdge(call.pin, after))


class SimulatedPins:
    """Simulated pins as a driver reaches them; see ``Pins``.

    Args:
        driver: Whose limits they have: RPi.GPIO reads no pin that it did not set up,
            gpiod gives every line back at the end.
    """

    def __init__(self, header: SimulatedHeader, driver: Driver) -> None:
        self._header = header
        self._driver = driver
        self._driven: set[int] = set()
        self._taken: set[int] = set()

    def place(self) -> str:
        """Returns that they are simulated."""
        return f"{self._driver}, simulated"

    def drive(self, pin: int, *, high: bool) -> None:
        """Sets direction and level together the first time, then only the level."""
        what = PinAction.LEVEL if pin in self._driven else PinAction.OUTPUT
        self._do(what, pin, high=high)
        self._driven.add(pin)
        self._taken.add(pin)

    def look(self, pin: int) -> bool | None:
        """Reads a pin as it is; None where the driver cannot."""
        if self._driver is not Driver.GPIOD:
            return None
        if pin not in self._taken:
            self._do(PinAction.LOOK, pin)
            self._taken.add(pin)
        return self.level(pin)

    def level(self, pin: int) -> bool:
        """Reads a pin back."""
        high = self._header.level(pin)
        self._do(PinAction.READ, pin, high=high)
        return high

    def close(self) -> None:
        """Gives the lines of gpiod back; outputs of RPi.GPIO just stay."""
        if self._driver is Driver.GPIOD:
            for pin in self._taken:
                self._header.do(PinAction.RELEASE, pin)
        self._driven.clear()
        self._taken.clear()

    def _do(self, what: PinAction, pin: int, *, high: bool | None = None) -> None:
        try:
            self._header.do(what, pin, high=high)
        except OSError as error:
            text = f"GPIO{pin}: {error}"
            raise PowerFatalError(text) from error
