"""Stand-ins for the modules RPi.GPIO and gpiod, on pins that write everything down.

That of RPi.GPIO behaves as 0.7.1 does, or as rpi-lgpio 0.6 where the two differ: the
numbering must be set first, a channel must be set up before it is used, by this
process, and an output that is set up without ``initial`` glitches, each in its own way.
In that of gpiod 2.x a line belongs to whoever requested it until it is released; two
requests of one line are refused as the kernel refuses them.
"""

import enum
import errno
import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import cast

import msgspec

from master_service.power.drivers.gpio import Pins
from master_service.power.drivers.gpio_machine import GpioMachine, simulated
from master_service.power.drivers.gpiod_lines import GpiodPins
from master_service.power.drivers.rpi_gpio import RpiPins
from master_service.power.simulated_pins import PinAction, SimulatedHeader
from master_service.rack.settings import Driver

INVALID = "The channel sent is invalid on a Raspberry Pi"


class StandInGpio:
    """The module; its attributes are the module's names.

    Args:
        header: The pins.
        lgpio: Behave as rpi-lgpio.
    """

    BOARD = 10
    BCM = 11
    OUT = 0
    IN = 1
    LOW = 0
    HIGH = 1

    def __init__(self, header: SimulatedHeader, *, lgpio: bool = False) -> None:
        self._header = header
        self._lgpio = lgpio
        self._mode: int | None = None
        self._set_up: dict[int, int] = {}

    def setmode(self, mode: int) -> None:
        """Choose the numbering, once; only BCM is known here."""
        if self._mode not in {None, mode}:
            text = "A different mode has already been set!"
            raise ValueError(text)
        if mode != self.BCM:
            text = "An invalid mode was passed to setmode()"
            raise ValueError(text)
        self._mode = mode

    def setwarnings(self, value: bool) -> None:  # noqa: FBT001  # as in RPi.GPIO
        """Take that nobody wants to be warned; there are no warnings here."""

    def setup(
        self, channel: int, direction: int, *, initial: int | None = None
    ) -> None:
        """Make a channel an input or an output."""
        pin = self._pin(channel)
        if direction == self.IN:
            self._header.do(PinAction.INPUT, pin)
        elif initial is not None:
            self._header.do(PinAction.OUTPUT, pin, high=bool(initial))
        elif self._lgpio:
            # gpio_read claims a line that is not ours as an input first.
            self._header.do(PinAction.INPUT, pin)
            self._header.do(PinAction.OUTPUT, pin, high=self._header.level(pin))
        else:
            self._header.do(PinAction.OUTPUT_AS_LATCHED, pin)
        self._set_up[pin] = direction

    def output(self, channel: int, value: int) -> None:
        """Set the level of an output."""
        pin = self._pin(channel)
        if self._set_up.get(pin) != self.OUT:
            text = "The GPIO channel has not been set up as an OUTPUT"
            raise RuntimeError(text)
        self._header.do(PinAction.LEVEL, pin, high=bool(value))

    def input(self, channel: int) -> int:
        """Read the level of a channel that was set up."""
        pin = self._pin(channel)
        if pin not in self._set_up:
            text = "You must setup() the GPIO channel first"
            raise RuntimeError(text)
        high = self._header.level(pin)
        self._header.do(PinAction.READ, pin, high=high)
        return int(high)

    def cleanup(self, channels: Iterable[int] | None = None) -> None:
        """Make channels inputs: every relay on them moves."""
        for pin in list(self._set_up) if channels is None else channels:
            self._header.do(PinAction.CLEANUP, pin)
            self._set_up.pop(pin, None)

    def _pin(self, channel: int) -> int:
        if self._mode is None:
            text = (
                "Please set pin numbering mode using GPIO.setmode(GPIO.BOARD) or "
                "GPIO.setmode(GPIO.BCM)"
            )
            raise RuntimeError(text)
        if not 0 <= channel < self._header.pins:
            raise ValueError(INVALID)
        return channel


MODEL_CHIPS = {
    "/dev/gpiochip0": "gpio-brcmstb@107d508500",
    "/dev/gpiochip4": "pinctrl-rp1",
}
"""A Pi 5 on a kernel where the pins are not the first chip."""


class Value(enum.Enum):
    """``gpiod.line.Value``."""

    INACTIVE = 0
    ACTIVE = 1


class Direction(enum.Enum):
    """``gpiod.line.Direction``."""

    AS_IS = 1
    INPUT = 2
    OUTPUT = 3


class Line:
    """``gpiod.line``."""

    Value = Value
    Direction = Direction


class LineSettings(msgspec.Struct, frozen=True):
    """``gpiod.LineSettings``; polarity and bias are never ours to change here."""

    direction: Direction = Direction.AS_IS
    output_value: Value = Value.INACTIVE


class ChipInfo(msgspec.Struct, frozen=True):
    """``gpiod.ChipInfo``."""

    name: str
    label: str
    num_lines: int


class StandInGpiod:
    """The module; its attributes are the module's names.

    Args:
        header: The pins of the chip that has a Raspberry Pi's label.
        chips: Label by path.
    """

    line = Line
    LineSettings = LineSettings

    def __init__(
        self, header: SimulatedHeader, chips: Mapping[str, str] | None = None
    ) -> None:
        self.header = header
        self.chips = dict(MODEL_CHIPS if chips is None else chips)
        self.held: set[int] = set()

    def is_gpiochip_device(self, path: str) -> bool:
        """Return whether there is a chip at a path."""
        return path in self.chips

    def Chip(self, path: str) -> "StandInChip":  # noqa: N802  # the name of the module's class
        """Open a chip."""
        if path not in self.chips:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return StandInChip(self, path)


class StandInChip:
    """``gpiod.Chip``."""

    def __init__(self, module: StandInGpiod, path: str) -> None:
        self._module = module
        self._path = path

    def get_info(self) -> ChipInfo:
        """Return what the chip calls itself."""
        name = self._path.rpartition("/")[2]
        return ChipInfo(name, self._module.chips[self._path], self._module.header.pins)

    def request_lines(
        self, config: Mapping[int, LineSettings], *, consumer: str
    ) -> "StandInRequest":
        """Take lines for this process alone."""
        del consumer
        for pin in config:
            if not 0 <= pin < self._module.header.pins:
                text = "line offset of out range"
                raise ValueError(text)
            if pin in self._module.held:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        request = StandInRequest(self._module, tuple(config))
        request.reconfigure_lines(config)
        return request

    def close(self) -> None:
        """Close the chip; its requests go on."""


class StandInRequest:
    """``gpiod.LineRequest``."""

    def __init__(self, module: StandInGpiod, pins: tuple[int, ...]) -> None:
        self._module = module
        self._pins = pins
        module.held.update(pins)

    def reconfigure_lines(self, config: Mapping[int, LineSettings]) -> None:
        """Apply settings, direction and level together."""
        header = self._module.header
        for pin, settings in config.items():
            match settings.direction:
                case Direction.OUTPUT:
                    high = settings.output_value is Value.ACTIVE
                    header.do(PinAction.OUTPUT, pin, high=high)
                case Direction.INPUT:
                    header.do(PinAction.INPUT, pin)
                case Direction.AS_IS:
                    header.do(PinAction.LOOK, pin)

    def get_value(self, line: int) -> Value:
        """Read a line."""
        high = self._module.header.level(line)
        self._module.header.do(PinAction.READ, line, high=high)
        return Value.ACTIVE if high else Value.INACTIVE

    def set_value(self, line: int, value: Value) -> None:
        """Set the level of an output; the kernel refuses for an input."""
        if not self._module.header.is_output(line):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        self._module.header.do(PinAction.LEVEL, line, high=value is Value.ACTIVE)

    def release(self) -> None:
        """Give the lines back: what becomes of outputs is the kernel's choice."""
        for pin in self._pins:
            self._module.held.discard(pin)
            self._module.header.do(PinAction.RELEASE, pin)


def stand_in(header: SimulatedHeader, *, keeps: bool = True) -> GpioMachine:
    """Return a machine with the real drivers, on stand-ins for their modules."""

    def pins(driver: Driver) -> Pins:
        if driver is Driver.GPIOD:
            module = StandInGpiod(header)
            # Its enumerations are its own, as those of the real module are.
            return GpiodPins(cast("ModuleType", module), paths=lambda: module.chips)
        return RpiPins(StandInGpio(header))

    machine = simulated(header, keeps=keeps)
    return GpioMachine(pins, machine.keeping, machine.exists)
