"""The rack's own Mosquitto, started again when it dies."""

from collections.abc import Callable

from broker.common.errors import BrokerError
from broker.common.processes import Process
from broker.common.supervised import End, Supervised
from broker.mosquitto.child import STOP_TIMEOUT_S, MosquittoChild
from pirack.up.child import PAUSES, Say

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
        self._supervised = Supervised(
            NAME,
            self._launch,
            pauses=PAUSES,
            on_end=self._ended,
            on_start=self._runs_again,
            failures=(BrokerError,),
        )

    @property
    def pid(self) -> int | None:
        """Process id now; none while it is not running."""
        return self._supervised.pid

    async def start(self) -> None:
        """Starts it and returns when it accepts connections.

        Raises:
            BrokerError: It cannot be started.
        """
        await self._supervised.start()

    async def stop(self) -> None:
        """Stops it; calling it twice is fine."""
        if not await self._supervised.stop(STOP_TIMEOUT_S):
            self._say(f"{NAME} did not end within {STOP_TIMEOUT_S:g} s; killed")

    async def _launch(self) -> Process:
        return await self._child.launch()

    def _ended(self, end: End) -> None:
        how = f" ended ({end.why})" if end.exit_code is not None else f": {end.why}"
        self._say(f"{NAME}{how}; starting it again in {end.pause_s:.0f} s")
        self._changed()

    def _runs_again(self) -> None:
        self._say(f"{NAME} runs again (process {self.pid})")
        self._changed()
