"""Relays on GPIO pins: polarity, and what is on disk before a pin moves.

One driver for every way to reach a pin (``Pins``): RPi.GPIO or rpi-lgpio, gpiod, and
the stand-ins of both. A pin is claimed directly as an output at the level it is to
have, direction and level in one call, one pin at a time; it is never read as an input
first and never cleaned up, for each of these makes a relay drop out.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from broker.common import atomic
from broker.contract.messages import Power
from master_service.power.outlets import PowerError, PowerFatalError, unknown


class RelayWiring(msgspec.Struct, frozen=True):
    """How one outlet's relay is connected.

    Args:
        pin: BCM number.
        active_low: Whether the relay is on when the pin is low.
    """

    pin: int
    active_low: bool

    def high(self, *, on: bool) -> bool:
        """Returns whether the pin must be high for the outlet to be on or off."""
        return on is not self.active_low

    def power(self, *, high: bool) -> Power:
        """Returns what the outlet is when the pin is high or low."""
        return Power.ON if high is not self.active_low else Power.OFF


class Pins(Protocol):
    """Pins that can be driven. Calls return at once; errors are ``PowerError``."""

    def place(self) -> str:
        """Returns where the pins are, in words, and touches none."""

    def drive(self, pin: int, *, high: bool) -> None:
        """Makes a pin an output at a level in one step; an output changes its level."""

    def look(self, pin: int) -> bool | None:
        """Returns whether a pin is high without touching it; None: that cannot be."""

    def level(self, pin: int) -> bool:
        """Returns whether a pin that was driven or looked at is high."""

    def close(self) -> None:
        """Releases every pin without changing any."""


class PinLevels:
    """The level each outlet was last asked to have, on disk before its pin moves.

    Args:
        path: The file, in a folder that exists; None keeps nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._levels: dict[str, Power] = {}
        self._loaded = path is None
        self._writing = asyncio.Lock()
        self._loading = asyncio.Lock()

    async def level(self, outlet: str) -> Power:
        """Returns what is written about an outlet; unknown if nothing is.

        Raises:
            PowerFatalError: The file cannot be read.
        """
        await self._load()
        return self._levels.get(outlet, Power.UNKNOWN)

    async def write(self, outlet: str, level: Power) -> None:
        """Puts an outlet's level on disk.

        Raises:
            PowerFatalError: It cannot be written, so the pin must not move.
        """
        await self._load()
        async with self._writing:
            if self._levels.get(outlet) is level:
                return
            levels = {**self._levels, outlet: level}
            if self._path is not None:
                await asyncio.to_thread(self._replace, self._path, levels)
            self._levels = levels

    async def _load(self) -> None:
        # All outlets claim at once: a second reader would undo what was written since.
        async with self._loading:
            if not self._loaded and self._path is not None:
                self._levels = await asyncio.to_thread(_read, self._path)
                self._loaded = True

    @staticmethod
    def _replace(path: Path, levels: dict[str, Power]) -> None:
        try:
            atomic.replace(path, msgspec.json.encode(levels) + b"\n", shared=True)
        except OSError as error:
            text = f"{path}: not switched, for the level cannot be put on disk: {error}"
            raise PowerFatalError(text) from error


def _read(path: Path) -> dict[str, Power]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Power])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        atomic.put_aside(path, error, "pins are claimed as the database says")
        return {}
    except OSError as error:
        text = (
            f"{path}: the levels of the outlets cannot be read: {error}; when every "
            "relay is as it should be, remove the file"
        )
        raise PowerFatalError(text) from error


class GpioOutlets:
    """Outlets on pins; see ``Outlets``.

    Args:
        wires: By outlet.
        levels: Where levels are written first.
    """

    def __init__(
        self, pins: Pins, wires: Mapping[str, RelayWiring], levels: PinLevels
    ) -> None:
        self._pins = pins
        self._wires = dict(wires)
        self._ledger = levels
        self._driven: set[str] = set()
        self._seen: set[str] = set()

    async def claim(self, outlet: str, level: Power) -> None:
        """Drives the pin at the level on disk, else at ``level``.

        A pin whose level is not known is left as it is until the first switching.
        """
        wire = self._wire(outlet)
        if outlet in self._driven:
            return
        written = await self._ledger.level(outlet)
        known = level if written is Power.UNKNOWN else written
        if known is Power.UNKNOWN:
            self._look(outlet, wire)
            return
        await self._drive(outlet, wire, known)

    async def read(self, outlet: str) -> Power:
        """Reads the pin back; unknown while it is not driven and not readable."""
        wire = self._wire(outlet)
        if outlet not in self._driven and not self._look(outlet, wire):
            return Power.UNKNOWN
        return wire.power(high=self._pins.level(wire.pin))

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Writes the level down, then sets it."""
        wire = self._wire(outlet)
        await self._drive(outlet, wire, Power.ON if on else Power.OFF)

    async def close(self) -> None:
        """Releases the pins; the kernel decides what becomes of their levels."""
        self._pins.close()
        self._driven.clear()
        self._seen.clear()

    async def _drive(self, outlet: str, wire: RelayWiring, level: Power) -> None:
        before = await self._ledger.level(outlet)
        await self._ledger.write(outlet, level)
        try:
            self._pins.drive(wire.pin, high=wire.high(on=level is Power.ON))
        except PowerError:
            await self._ledger.write(outlet, before)  # it did not move
            raise
        self._driven.add(outlet)

    def _look(self, outlet: str, wire: RelayWiring) -> bool:
        if outlet not in self._seen and self._pins.look(wire.pin) is not None:
            self._seen.add(outlet)
        return outlet in self._seen

    def _wire(self, outlet: str) -> RelayWiring:
        try:
            return self._wires[outlet]
        except KeyError:
            raise unknown(outlet, self._wires) from None
