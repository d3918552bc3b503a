"""The rack's own Mosquitto, started again when it dies."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from broker.errors import BrokerError
from broker.mosquitto_child import MosquittoChild
from pirack.up.child import SETTLED_S, Say, how_it_ended, restart_delay_s

NAME = "broker"


class KeptBroker:
    """A Mosquitto that is kept running until it is stopped.

    Args:
        child: The process.
        say: Where sentences for the person go.
        changed: Called when the process id is another one.
    """

    def __init__(
        self, child: MosquittoChild, say: Say, changed: Callable[[], None]
    ) -> None:
        self._child = child
        self._say = say
        self._changed = changed
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id now; none while it is not running."""
        return self._child.pid

    async def start(self) -> None:
        """Start it and return when it accepts connections.

        Raises:
            BrokerError: It cannot be started.
        """
        await self._child.start()
        self._keeper = asyncio.create_task(self._keep(), name="keep broker")

    async def stop(self) -> None:
        """Stop it; calling it twice is fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._child.stop()

    async def _keep(self) -> None:
        deaths = 0
        while True:
            began = time.monotonic()
            code = await self._child.wait()
            deaths = 1 if time.monotonic() - began > SETTLED_S else deaths + 1
            self._say(f"{NAME} ended ({how_it_ended(code)}); starting it again")
            self._changed()
            while not await self._again(deaths):
                deaths += 1
            self._say(f"{NAME} runs again (process {self.pid})")
            self._changed()

    async def _again(self, deaths: int) -> bool:
        """Wait, try to start it, and return whether it runs."""
        await asyncio.sleep(restart_delay_s(deaths, random.random()))  # noqa: S311  # jitter
        try:
            await self._child.start()
        except BrokerError as error:
            self._say(f"{NAME}: {error}")
            return False
        return True
