"""One timer for everything a simulated rack has to remember to do."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from functools import partial

log = logging.getLogger(__name__)

Action = Callable[[], None]


class Schedule:
    """Things to do later, in order; one loop timer however many there are.

    Args:
        clock: Monotonic clock, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._heap: list[tuple[float, int, Action]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Wake up by the running loop; a test may call ``run_due`` instead."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        """Forget everything; calling it twice is fine."""
        self._heap.clear()
        self._disarm()
        self._loop = None

    def after(self, delay_s: float, action: Action) -> None:
        """Do something ``delay_s`` seconds from now."""
        self.at(self._clock() + delay_s, action)

    def at(self, when_s: float, action: Action) -> None:
        """Do something at a moment of the clock."""
        heapq.heappush(self._heap, (when_s, next(self._count), action))
        if self._heap[0][2] is action:
            self._arm()

    async def sleep(self, delay_s: float) -> None:
        """Wait; a thousand agents that wait so cost the loop one timer."""
        woken = asyncio.get_running_loop().create_future()
        self.after(delay_s, partial(_wake, woken))
        await woken

    def run_due(self) -> None:
        """Do everything whose time has come, oldest first."""
        while self._heap and self._heap[0][0] <= self._clock():
            _, _, action = heapq.heappop(self._heap)
            try:
                action()
            except Exception:
                log.exception("simulator: a scheduled step failed")
        self._arm()

    def _arm(self) -> None:
        self._disarm()
        if self._loop is not None and self._heap:
            delay_s = max(0.0, self._heap[0][0] - self._clock())
            self._timer = self._loop.call_later(delay_s, self.run_due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
