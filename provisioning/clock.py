"""The real clocks of a service on an event loop."""

import asyncio
import time


class LoopClock:
    """Monotonic time of the running loop, and the machine's wall clock."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        """Return Unix time, seconds."""
        return time.time()
