"""Pins by way of gpiod 2.x: lines of the kernel's character device.

The chip is found by its label, never by its number: the pins of a Pi 5 were gpiochip4,
then gpiochip0 from kernel 6.6.45 on (raspberrypi/linux#6144).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.common.errors import ConfigError
from broker.common.extras import how_to_add
from master_service.power.outlets import PowerFatalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType

    import gpiod  # an extra; where it is not installed, nothing here has its types

PI_LABELS = (
    "pinctrl-rp1",
    "pinctrl-bcm2711",
    "pinctrl-bcm2835",
)
"""Labels of the chip behind the 40-pin connector: Pi 5, Pi 4, all before."""
CONSUMER = "pirack"
"""What ``gpioinfo`` shows as the holder of our lines."""


def load() -> ModuleType:
    """Imports the module.

    Raises:
        ConfigError: It is not installed, or is the incompatible version 1.
    """
    try:
        import gpiod  # noqa: PLC0415  # an extra: only who uses it needs it
    except ModuleNotFoundError as error:
        text = f"driver gpiod: not installed: {how_to_add('gpiod')}"
        raise ConfigError(text) from error
    if not hasattr(gpiod, "LineSettings"):
        text = f"driver gpiod: version 2 is needed: {how_to_add('gpiod')}"
        raise ConfigError(text)
    module: ModuleType = gpiod
    return module


def devices() -> list[str]:
    """Returns the paths at which chips may be."""
    return sorted(str(path) for path in Path("/dev").glob("gpiochip*"))


def find_chip(
    module: ModuleType, labels: Iterable[str], paths: Iterable[str]
) -> tuple[str, str]:
    """Returns path and label of the first chip with one of some labels.

    Raises:
        PowerFatalError: There is none; says which there are.
    """
    seen: dict[str, str] = {}
    for path in paths:
        try:
            if not module.is_gpiochip_device(path):
                continue
            chip = module.Chip(path)
            seen[chip.get_info().label] = path
            chip.close()
        except OSError as error:
            seen[f"{path}: {error.strerror}"] = path
    for label in labels:
        if label in seen:
            return seen[label], label
    text = (
        f"no GPIO chip is labelled {' or '.join(labels)}; found: "
        f"{', '.join(seen) or 'none'}; is the user in the group gpio?"
    )
    raise PowerFatalError(text)


class GpiodPins:
    """Pins driven through gpiod, one request for each; see ``Pins``.

    Args:
        module: gpiod, or what stands in for it.
        paths: Returns the paths at which chips may be.
    """

    def __init__(
        self,
        module: ModuleType,
        *,
        paths: Callable[[], Iterable[str]] = devices,
    ) -> None:
        self._module = module
        self._paths = paths
        self._chip: gpiod.Chip | None = None
        self._requests: dict[int, gpiod.LineRequest] = {}
        self._outputs: set[int] = set()

    def place(self) -> str:
        """Returns path and label of the chip."""
        path, label = find_chip(self._module, PI_LABELS, self._paths())
        return f"{path} ({label})"

    def drive(self, pin: int, *, high: bool) -> None:
        """Requests or reconfigures a line as an output at a level in one step."""
        values = self._module.line.Value
        value = values.ACTIVE if high else values.INACTIVE
        output = {pin: self._settings(self._module.line.Direction.OUTPUT, value)}
        try:
            if pin in self._outputs:
                self._requests[pin].set_value(pin, value)
            elif pin in self._requests:
                self._requests[pin].reconfigure_lines(output)
            else:
                self._requests[pin] = self._request(output)
        except (OSError, ValueError) as error:
            raise _failed(pin, error) from error
        self._outputs.add(pin)

    def look(self, pin: int) -> bool | None:
        """Reads a line as it is; that changes neither direction nor level."""
        values = self._module.line.Value
        if pin not in self._requests:
            as_is = self._settings(self._module.line.Direction.AS_IS, values.INACTIVE)
            try:
                self._requests[pin] = self._request({pin: as_is})
            except (OSError, ValueError) as error:
                raise _failed(pin, error) from error
        return self.level(pin)

    def level(self, pin: int) -> bool:
        """Reads a line back."""
        try:
            value = self._requests[pin].get_value(pin)
        except OSError as error:
            raise _failed(pin, error) from error
        return bool(value == self._module.line.Value.ACTIVE)

    def close(self) -> None:
        """Releases every line."""
        for request in self._requests.values():
            request.release()
        self._requests.clear()
        self._outputs.clear()
        if self._chip is not None:
            self._chip.close()
            self._chip = None

    def _settings(self, direction: object, value: object) -> gpiod.LineSettings:
        return self._module.LineSettings(direction=direction, output_value=value)

    def _request(self, config: Mapping[int, gpiod.LineSettings]) -> gpiod.LineRequest:
        if self._chip is None:
            path, _ = find_chip(self._module, PI_LABELS, self._paths())
            self._chip = self._module.Chip(path)
        return self._chip.request_lines(config, consumer=CONSUMER)


def _failed(pin: int, error: Exception) -> PowerFatalError:
    text = f"GPIO{pin}: {error}; who holds it? see: gpioinfo"
    return PowerFatalError(text)
