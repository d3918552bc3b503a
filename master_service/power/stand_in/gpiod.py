"""A stand-in for the module ``gpiod`` 2.x, on pins that write everything down.

A line belongs to whoever requested it until it is released; two requests of one line
are refused as the kernel refuses them.
"""

import enum
import errno
import os
from collections.abc import Mapping

import msgspec

from master_service.power.stand_in.header import Header, What

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

    def __init__(self, header: Header, chips: Mapping[str, str] | None = None) -> None:
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
                    header.do(What.OUTPUT, pin, high=high)
                case Direction.INPUT:
                    header.do(What.INPUT, pin)
                case Direction.AS_IS:
                    header.do(What.LOOK, pin)

    def get_value(self, line: int) -> Value:
        """Read a line."""
        high = self._module.header.level(line)
        self._module.header.do(What.READ, line, high=high)
        return Value.ACTIVE if high else Value.INACTIVE

    def set_value(self, line: int, value: Value) -> None:
        """Set the level of an output; the kernel refuses for an input."""
        if not self._module.header.is_output(line):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        self._module.header.do(What.LEVEL, line, high=value is Value.ACTIVE)

    def release(self) -> None:
        """Give the lines back: what becomes of outputs is the kernel's choice."""
        for pin in self._pins:
            self._module.held.discard(pin)
            self._module.header.do(What.RELEASE, pin)
