"""Outlets without wires: levels in a file, which latch like real relays.

The file stands for the hardware: it outlives the process, so that a master which is
killed and comes back finds every outlet as it was. It also remembers each switching,
which is how a test sees that there was none.
"""

import asyncio
import time
from pathlib import Path

import msgspec

from broker.common import atomic
from broker.contract.messages import Power
from master_service.power.outlets import PowerFatalError, PowerRetryableError, unknown

FACTORY_LEVEL = Power.ON
"""What an outlet is that was never switched: the boards are already running."""
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


class FakeRelays(msgspec.Struct, frozen=True):
    """What is in the file.

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
        self._names = names
        self._turn = asyncio.Lock()
        self.fails: dict[str, str] = {}
        """Outlets that refuse to switch, and why; tests fill this and what follows."""
        self.silent: set[str] = set()
        """Outlets that are away: they neither move nor answer."""
        self.lost_answers: set[str] = set()
        """Outlets that move when they are told, and whose answer is lost."""
        self.late_s: dict[str, float] = {}
        """Outlets that take so many seconds for what they are told."""

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # a latching relay keeps its level by itself
        """Checks that the file can be read."""
        await self._level(outlet)

    async def read(self, outlet: str) -> Power:
        """Returns the level in the file."""
        self._answer(outlet)
        return await self._level(outlet)

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Writes the level and the switching to the file."""
        self._check(outlet)
        if outlet in self.fails:
            raise PowerFatalError(self.fails[outlet])
        self._answer(outlet)
        await asyncio.sleep(self.late_s.get(outlet, 0.0))
        async with self._turn:
            await asyncio.to_thread(self._write, outlet, Power.ON if on else Power.OFF)
        if outlet in self.lost_answers:
            raise _no_answer(outlet)

    async def close(self) -> None:
        """Does nothing: a latching relay needs no process."""

    def relays(self) -> FakeRelays:
        """Returns what is in the file.

        Raises:
            PowerFatalError: It cannot be read.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=FakeRelays)
        except FileNotFoundError:
            return FakeRelays()
        except msgspec.MsgspecError as error:
            atomic.put_aside(self._path, error, "every fake outlet is on again")
            return FakeRelays()
        except OSError as error:
            text = f"{self._path}: the fake outlets cannot be read: {error}"
            raise PowerFatalError(text) from error

    async def _level(self, outlet: str) -> Power:
        self._check(outlet)
        async with self._turn:  # another process may have set it: it is read each time
            relays = await asyncio.to_thread(self.relays)
        return relays.levels.get(outlet, FACTORY_LEVEL)

    def _write(self, outlet: str, level: Power) -> None:
        before = self.relays()
        done = Switching(outlet, level is Power.ON, time.time())
        after = FakeRelays(
            levels={**before.levels, outlet: level},
            switchings=(*before.switchings, done)[-REMEMBERED:],
        )
        try:
            atomic.replace(self._path, msgspec.json.encode(after), shared=True)
        except OSError as error:
            text = f"{self._path}: the fake outlets cannot be written: {error}"
            raise PowerFatalError(text) from error

    def _answer(self, outlet: str) -> None:
        self._check(outlet)
        if outlet in self.silent:
            raise _no_answer(outlet)

    def _check(self, outlet: str) -> None:
        if outlet not in self._names:
            raise unknown(outlet, self._names)


def _no_answer(outlet: str) -> PowerRetryableError:
    return PowerRetryableError(f"outlet {outlet} does not answer")
