"""A clock that stands still until a test moves it: the fake beside ``time``."""

import asyncio

_TURNS = 20
"""Turns of the loop after which nothing moves any more in what tests build."""


class FakeClock:
    """Monotonic time and sleep for a ``Node`` under test."""

    def __init__(self) -> None:
        self.now = 1000.0
        """What it shows, seconds."""
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def __call__(self) -> float:
        """Return the time, seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until ``advance`` has brought the clock that far."""
        woken = asyncio.Event()
        sleeper = (self.now + seconds, woken)
        self._sleepers.append(sleeper)
        try:
            await woken.wait()
        finally:
            self._sleepers.remove(sleeper)

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its own moment, in order."""
        end = self.now + seconds
        await turns()
        while due := [one for one in self._sleepers if one[0] <= end]:
            moment, woken = min(due, key=lambda one: one[0])
            self.now = max(self.now, moment)
            woken.set()
            await turns()
        self.now = end
        await turns()


async def turns() -> None:
    """Let the loop do all it can do without time passing."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
