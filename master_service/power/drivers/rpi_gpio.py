"""The room of RPi.GPIO; rpi-lgpio supplies the same module on a Pi 5.

``initial`` is always given and pins are set up one at a time: without it RPi.GPIO puts
out what is latched, rpi-lgpio claims the line as an input first, and with a list it
gives every pin the first one's level. ``cleanup`` is never called: it makes inputs.
"""

import importlib.metadata
from typing import Protocol, cast

from broker.common.errors import ConfigError
from broker.common.extras import how_to_add
from master_service.power.outlets import PowerFatalError

HIGH, LOW = 1, 0


class RpiGpio(Protocol):
    """What is used of the module."""

    BCM: int
    OUT: int

    def setmode(self, mode: int, /) -> object:
        """Chooses the numbering."""

    def setwarnings(self, value: bool, /) -> object:  # noqa: FBT001  # as in RPi.GPIO
        """Chooses whether a pin that is an output already is worth a warning."""

    def setup(self, channel: int, direction: int, *, initial: int) -> object:
        """Sets direction and level."""

    def output(self, channel: int, value: int, /) -> object:
        """Sets the level."""

    def input(self, channel: int, /) -> int:
        """Reads the level."""


def load() -> RpiGpio:
    """Imports the module.

    Raises:
        ConfigError: It is not installed, or this is not a Raspberry Pi.
    """
    try:
        from RPi import GPIO  # noqa: PLC0415  # importing it fails off a Raspberry Pi
    except ModuleNotFoundError as error:
        text = (
            "driver rpi-gpio: the module RPi.GPIO is not installed: "
            f"{how_to_add('gpio')}; on a Pi 5 the extra gpio-pi5"
        )
        raise ConfigError(text) from error
    except RuntimeError as error:
        text = f"driver rpi-gpio: RPi.GPIO does not work here: {error}"
        raise ConfigError(text) from error
    return cast("RpiGpio", GPIO)


def held_by_kernel() -> bool:
    """Returns whether the module is rpi-lgpio, whose lines end with the process.

    RPi.GPIO itself writes to registers, which are never reset.
    """
    try:
        importlib.metadata.version("rpi-lgpio")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class RpiPins:
    """Pins driven by RPi.GPIO; see ``Pins``.

    Args:
        module: RPi.GPIO, or what stands in for it.
    """

    def __init__(self, module: RpiGpio) -> None:
        self._module = module
        self._mine: set[int] = set()
        lgpio = getattr(module, "lgpio", None)
        own = getattr(lgpio, "error", OSError)  # rpi-lgpio lets these through
        self._errors: tuple[type[Exception], ...] = (
            OSError,
            RuntimeError,
            ValueError,
            own,
        )

    def place(self) -> str:
        """Returns which module it is."""
        module = "rpi-lgpio" if hasattr(self._module, "lgpio") else "RPi.GPIO"
        return f"{module} {getattr(self._module, 'VERSION', '')}".strip()

    def drive(self, pin: int, *, high: bool) -> None:
        """Sets a pin up at its level the first time, then only its level."""
        level = HIGH if high else LOW
        try:
            if pin in self._mine:
                self._module.output(pin, level)
                return
            self._module.setmode(self._module.BCM)
            self._module.setwarnings(False)  # noqa: FBT003  # as in RPi.GPIO
            self._module.setup(pin, self._module.OUT, initial=level)
        except self._errors as error:
            raise _failed(pin, error) from error
        self._mine.add(pin)

    def look(self, pin: int) -> bool | None:  # noqa: ARG002  # no pin can be looked at
        """Returns None: this module reads no pin that it has not set up."""
        return None

    def level(self, pin: int) -> bool:
        """Reads an output back."""
        try:
            return bool(self._module.input(pin))
        except self._errors as error:
            raise _failed(pin, error) from error

    def close(self) -> None:
        """Forgets the pins; they stay outputs at their levels."""
        self._mine.clear()


def _failed(pin: int, error: Exception) -> PowerFatalError:
    text = (
        f"GPIO{pin}: {error}; is the user in the group gpio, and the pin free "
        "(see: pinctrl get)?"
    )
    return PowerFatalError(text)
