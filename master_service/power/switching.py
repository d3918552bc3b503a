"""Bringing an outlet to a level: tried again where that can help, and read back."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from broker.contract.messages import Power
from master_service.power.outlets import Outlets, PowerError, PowerRetryableError

log = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_S = 0.5
"""Before the second attempt; twice that before the third."""
ATTEMPT_S = 30.0
"""Seconds a driver may take for one call; each gives up by itself before that."""

T = TypeVar("T")


class SwitchResult(msgspec.Struct, frozen=True):
    """Result of a switching or a reading.

    Args:
        level: As read back last; None: it could not be read, or the outlet did not
            answer when it was switched and may still move.
        error: Why the outlet is not where it should be; empty if it is, or if it does
            not tell and nothing went wrong.
        already: It was read before it was switched, and was there already.
    """

    level: Power | None
    error: str = ""
    already: bool = False


class Switcher:
    """Brings outlets to levels.

    Args:
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        outlets: Outlets,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outlets = outlets
        self._sleep = sleep
        self._halted = False
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def halt(self) -> None:
        """Lets the attempt under way be the last of its outlet."""
        self._halted = True

    async def bring(self, outlet: str, *, on: bool, look: bool = False) -> SwitchResult:
        """Switches and reads back; what may work in a moment is tried again.

        Args:
            look: Read it first, and leave it if it is there already.
        """
        wanted = Power.ON if on else Power.OFF
        async with self._turns[outlet]:
            if look and await self._look(outlet) is wanted:
                return SwitchResult(wanted, already=True)
            return await self._bring(outlet, on=on)

    async def look(self, outlet: str) -> SwitchResult:
        """Reads an outlet; not while it is switched, for then nothing holds yet."""
        async with self._turns[outlet]:
            try:
                return SwitchResult(await self._read(outlet))
            except PowerError as error:
                return SwitchResult(None, str(error))

    async def _bring(self, outlet: str, *, on: bool) -> SwitchResult:
        wanted = Power.ON if on else Power.OFF
        error, answered = "", True
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1 and self._halted:
                break
            if attempt > 1:
                await self._sleep(PAUSE_S * (attempt - 1))
                if await self._look(outlet) is wanted:
                    return SwitchResult(wanted)
            try:
                level = await self._attempt(outlet, on=on)
            except PowerRetryableError as busy:
                error = f"{busy} (tried {attempt} times)"
                answered = False
                continue
            except PowerError as fatal:
                error = str(fatal)
                break
            if level in {wanted, Power.UNKNOWN}:
                return SwitchResult(level)
            answered = True
            error = f"outlet {outlet} reads {level}, not {wanted}"
            error += f" (tried {attempt} times)"
        found = await self._look(outlet)
        if found is wanted and not answered:
            return SwitchResult(wanted)
        # What did not answer may still do what it was told: its present level is no
        # result, and a late answer to an earlier question is none either.
        return SwitchResult(found if answered else None, error)

    async def _attempt(self, outlet: str, *, on: bool) -> Power:
        """Switches and reads once.

        Raises:
            PowerError: It did not work.
        """
        await within(ATTEMPT_S, outlet, self._outlets.switch(outlet, on=on))
        return await self._read(outlet)

    async def _read(self, outlet: str) -> Power:
        return await within(ATTEMPT_S, outlet, self._outlets.read(outlet))

    async def _look(self, outlet: str) -> Power | None:
        """Reads an outlet after a failure; the failure is what is told."""
        try:
            return await self._read(outlet)
        except PowerError:
            return None


async def within(seconds: float, outlet: str, call: Awaitable[T]) -> T:
    """Waits for a driver, but not for ever; any error becomes a PowerError.

    Args:
        seconds: How long.
        outlet: Which outlet it is about.
        call: What the driver does.

    Raises:
        PowerError: It did not work, in time.
    """
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        text = f"outlet {outlet} did not answer in {seconds:.0f} s"
        raise PowerRetryableError(text) from error
    except PowerError:
        raise
    except Exception as error:  # a driver's bug must not leave a command open
        log.exception("the driver of outlet %s failed", outlet)
        text = f"the driver of outlet {outlet} failed: {error!r}; see the log"
        raise PowerError(text) from error
