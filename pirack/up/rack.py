"""The running rack: the broker and its parts, started together and stopped in order."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from pirack.up.child import Child, Part, Say, stop_all


class Broker(Protocol):
    """The broker as a child process that is kept running."""

    @property
    def pid(self) -> int | None:
        """Process id now; none while it is not running."""

    async def start(self) -> None:
        """Starts it and returns when it accepts connections.

        Raises:
            BrokerError: It cannot be started.
        """

    async def stop(self) -> None:
        """Stops it; calling it twice is fine."""


class Rack:
    """Broker and parts as one.

    Args:
        broker: Started with the parts, stopped after them.
        parts: What else runs.
        say: Where sentences for the person go.
        changed: Called when a process id is another one.
    """

    def __init__(
        self,
        broker: Broker,
        parts: Sequence[Part],
        say: Say,
        changed: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._children = [Child(part, say, changed) for part in parts]

    def pids(self) -> dict[str, int]:
        """Returns the process ids of what runs now, by name.

        What is about to be started again is left out: somebody may kill what stands
        here, and 0 would be their own process group.
        """
        parts = {child.part.name: child.pid for child in self._children}
        all_pids = {"broker": self._broker.pid or 0} | parts
        return {name: pid for name, pid in all_pids.items() if pid}

    async def start(self) -> None:
        """Starts all at the same time: the parts wait for the broker by themselves.

        Raises:
            BrokerError: The broker cannot be started.
        """
        await asyncio.gather(
            self._broker.start(), *(child.start() for child in self._children)
        )

    async def broken(self) -> None:
        """Waits for what no restart can heal.

        Raises:
            ConfigError: A part refuses its configuration.
        """
        await asyncio.gather(*(child.broken() for child in self._children))

    async def stop(self) -> None:
        """Stops the parts, then the broker: so nodes can say that they leave."""
        await stop_all(self._children)
        await self._broker.stop()
