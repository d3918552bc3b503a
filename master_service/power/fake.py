"""Outlets without wires: they latch like real relays, in a file of their own.

The file stands for the hardware: it outlives the process, so that a master which is
killed and comes back finds every outlet as it was. It also remembers each switching,
which is how a test sees that there was none. In between is what a Pi has: the driver of
RPi.GPIO, on the stand-in for its module.
"""

import asyncio
import time
from pathlib import Path

import msgspec

from broker.common import atomic
from broker.contract.messages import Power
from master_service.power.drivers.gpio import GpioOutlets, Ledger, Wire
from master_service.power.drivers.rpi_gpio import RpiPins
from master_service.power.outlets import PowerFatalError, PowerRetryableError, unknown
from master_service.power.stand_in.header import Header, What
from master_service.power.stand_in.rpi_gpio import StandInGpio

FACTORY_LEVEL = Power.ON
"""What an outlet nobody ever switched is: the boards are already running."""
REMEMBERED = 1_000
"""Switchings kept in the file."""


class Switching(msgspec.Struct, frozen=True):
    """One call that could have moved a relay.

    Args:
        outlet: Which.
        on: To what.
        ts: Unix time, seconds.
    """

    outlet: str
    on: bool
    ts: float


class Relays(msgspec.Struct, frozen=True):
    """What stands in the file.

    Args:
        levels: By outlet.
        switchings: Oldest first.
    """

    levels: dict[str, Power] = {}
    switchings: tuple[Switching, ...] = ()


class FakeOutlets:
    """Outlets that are remembered in a file; see ``Outlets``.

    Args:
        path: The file; its folder must exist.
        names: The outlets there are.
    """

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path = path
        self._pins = {name: pin for pin, name in enumerate(names)}
        self.header = Header(pins=len(names))
        """The pins, and every call on them by this process."""
        self._driver = GpioOutlets(
            RpiPins(StandInGpio(self.header)),
            {name: Wire(pin, active_low=False) for name, pin in self._pins.items()},
            Ledger(),
        )
        self._lock = asyncio.Lock()
        self.fails: dict[str, str] = {}
        """Outlets that refuse to switch, and why; tests fill this and what follows."""
        self.silent: set[str] = set()
        """Outlets that are away: they neither move nor answer."""
        self.lost_answers: set[str] = set()
        """Outlets that move when they are told, and whose answer is lost."""
        self.late_s: dict[str, float] = {}
        """Outlets that take so many seconds for what they are told."""

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # a latching relay keeps its level by itself
        """Claim the pin at the level in the file."""
        self._check(outlet)
        async with self._lock:
            await self._take(outlet)

    async def read(self, outlet: str) -> Power:
        """Return the level in the file, by way of the pin."""
        self._check(outlet)
        self._answer(outlet)
        async with self._lock:
            await self._take(outlet)
            return await self._driver.read(outlet)

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Set the pin, and write the level and the switching to the file."""
        self._check(outlet)
        if outlet in self.fails:
            raise PowerFatalError(self.fails[outlet])
        self._answer(outlet)
        await asyncio.sleep(self.late_s.get(outlet, 0.0))
        async with self._lock:
            await self._take(outlet)
            await self._driver.switch(outlet, on=on)
            await asyncio.to_thread(self._write, outlet, Power.ON if on else Power.OFF)
        if outlet in self.lost_answers:
            raise _no_answer(outlet)

    async def close(self) -> None:
        """Let go of the pins; a latching relay needs nobody."""
        await self._driver.close()

    def relays(self) -> Relays:
        """Return what stands in the file.

        Raises:
            PowerFatalError: It cannot be read.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Relays)
        except FileNotFoundError:
            return Relays()
        except msgspec.MsgspecError as error:
            atomic.put_aside(self._path, error, "every fake outlet is on again")
            return Relays()
        except OSError as error:
            text = f"{self._path}: the fake outlets cannot be read: {error}"
            raise PowerFatalError(text) from error

    async def _take(self, outlet: str) -> None:
        """Bring the pin to the level in the file; another process may have set it."""
        relays = await asyncio.to_thread(self.relays)
        level = relays.levels.get(outlet, FACTORY_LEVEL)
        await self._driver.claim(outlet, level)
        pin, high = self._pins[outlet], level is Power.ON
        if self.header.level(pin) is not high:
            self.header.do(What.BY_HAND, pin, high=high)

    def _write(self, outlet: str, level: Power) -> None:
        before = self.relays()
        done = Switching(outlet, level is Power.ON, time.time())
        after = Relays(
            levels={**before.levels, outlet: level},
            switchings=(*before.switchings, done)[-REMEMBERED:],
        )
        try:
            atomic.replace(self._path, msgspec.json.encode(after), shared=True)
        except OSError as error:
            text = f"{self._path}: the fake outlets cannot be written: {error}"
            raise PowerFatalError(text) from error

    def _answer(self, outlet: str) -> None:
        if outlet in self.silent:
            raise _no_answer(outlet)

    def _check(self, outlet: str) -> None:
        if outlet not in self._pins:
            raise unknown(outlet, self._pins)


def _no_answer(outlet: str) -> PowerRetryableError:
    return PowerRetryableError(f"outlet {outlet} does not answer")
