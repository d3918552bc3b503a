"""Outlets without wires: they latch like real relays, in a file of their own.

The file stands for the hardware: it outlives the process, so that a master which is
killed and comes back finds every outlet as it was. It also remembers each switching,
which is how a test sees that there was none.
"""

import asyncio
import time
from pathlib import Path

import msgspec

from broker import atomic
from broker.messages import Power
from master_service.power.outlets import PowerError

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
        self._names = frozenset(names)
        self._lock = asyncio.Lock()
        self.fails: dict[str, str] = {}
        """Outlets that refuse to switch, and why; tests fill it."""

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # a latching relay keeps its level by itself
        """Check that there is such an outlet."""
        self._check(outlet)

    async def read(self, outlet: str) -> Power:
        """Return the level in the file."""
        self._check(outlet)
        relays = await asyncio.to_thread(self.relays)
        return relays.levels.get(outlet, FACTORY_LEVEL)

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Write the level and the switching to the file."""
        self._check(outlet)
        if outlet in self.fails:
            raise PowerError(self.fails[outlet])
        async with self._lock:
            await asyncio.to_thread(self._write, outlet, Power.ON if on else Power.OFF)

    async def close(self) -> None:
        """Do nothing: a latching relay needs nobody."""

    def relays(self) -> Relays:
        """Return what stands in the file.

        Raises:
            PowerError: It cannot be read.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Relays)
        except FileNotFoundError:
            return Relays()
        except (OSError, msgspec.MsgspecError) as error:
            text = f"{self._path}: the fake outlets cannot be read: {error}"
            raise PowerError(text) from error

    def _write(self, outlet: str, level: Power) -> None:
        before = self.relays()
        done = Switching(outlet, level is Power.ON, time.time())
        after = Relays(
            levels={**before.levels, outlet: level},
            switchings=(*before.switchings, done)[-REMEMBERED:],
        )
        try:
            atomic.replace(self._path, msgspec.json.encode(after))
        except OSError as error:
            text = f"{self._path}: the fake outlets cannot be written: {error}"
            raise PowerError(text) from error

    def _check(self, outlet: str) -> None:
        if outlet not in self._names:
            known = ", ".join(sorted(self._names)) or "none"
            text = f"there is no outlet {outlet!r}; known: {known}"
            raise PowerError(text)
