"""Bringing an outlet to a level: tried again where that can help, and read back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from broker.messages import Power
from master_service.power.outlets import Outlets, PowerError, PowerRetryableError

log = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_S = 0.5
"""Before the second attempt; twice that before the third."""
ATTEMPT_S = 30.0
"""Seconds a driver may take for one call; each gives up by itself before that."""


class Brought(msgspec.Struct, frozen=True):
    """What came of it.

    Args:
        level: As read back last; None: it could not be read.
        error: Why the outlet is not where it should be; empty if it is, or if it does
            not tell and nothing went wrong.
    """

    level: Power | None
    error: str = ""


class Switcher:
    """Brings outlets to levels.

    Args:
        outlets: The driver.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        outlets: Outlets,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outlets = outlets
        self._sleep = sleep

    async def bring(self, outlet: str, *, on: bool) -> Brought:
        """Switch and read back; what may work in a moment is tried again."""
        wanted = Power.ON if on else Power.OFF
        error = ""
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                await self._sleep(PAUSE_S * (attempt - 1))
                if await self._look(outlet) is wanted:
                    return Brought(wanted)
            try:
                level = await self._attempt(outlet, on=on)
            except PowerRetryableError as busy:
                error = f"{busy} (tried {attempt} times)"
                continue
            except PowerError as fatal:
                error = str(fatal)
                break
            if level in {wanted, Power.UNKNOWN}:
                return Brought(level)
            error = f"outlet {outlet} reads {level}, not {wanted}"
            error += f" (tried {attempt} times)"
        return Brought(await self._look(outlet), error)

    async def _attempt(self, outlet: str, *, on: bool) -> Power:
        """Switch and read once.

        Raises:
            PowerError: It did not work.
        """
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._outlets.switch(outlet, on=on)
            async with asyncio.timeout(ATTEMPT_S):
                return await self._outlets.read(outlet)
        except TimeoutError as error:
            text = f"outlet {outlet} did not answer in {ATTEMPT_S:.0f} s"
            raise PowerRetryableError(text) from error
        except PowerError:
            raise
        except Exception as error:  # a driver's bug must not leave a command open
            log.exception("the driver of outlet %s failed", outlet)
            text = f"the driver of outlet {outlet} failed: {error!r}; see the log"
            raise PowerError(text) from error

    async def _look(self, outlet: str) -> Power | None:
        """Read an outlet after a failure; the failure is what is told."""
        try:
            async with asyncio.timeout(ATTEMPT_S):
                return await self._outlets.read(outlet)
        except (PowerError, TimeoutError):
            return None
