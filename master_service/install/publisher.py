"""Publishes what an install run shows: when it changed, and not too often."""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from broker.client.link import Link
from broker.common.errors import LinkError, PayloadError
from broker.contract.messages import InstallState, Payload, encode
from master_service.presence.rack import Rack
from provisioning.run import report
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun
from provisioning.settings import InstallSettings

log = logging.getLogger(__name__)

EVERY_S = 0.1
"""Least time between two rounds of publishing: a run may take many turns at once."""


class InstallPublisher:
    """Publishes ``P/install/state`` and ``P/install/stack/<n>`` when they change.

    Args:
        places: Returns every place of the rack.
    """

    def __init__(
        self,
        rack: Rack,
        link: Link,
        settings: InstallSettings,
        places: Callable[[], tuple[Place, ...]],
    ) -> None:
        self._rack = rack
        self._link = link
        self._settings = settings
        self._places = places
        self._state = InstallState()
        self._run: InstallRun | None = None
        self._said: dict[str, Payload] = {}
        self._due: asyncio.TimerHandle | None = None
        self._last = -float("inf")
        self.trouble = ""
        """Why provisioning does not work; empty: it does, or it is off."""

    def show(self, state: InstallState) -> None:
        """Takes the progress of the run."""
        self._state = state
        self.look()

    def turn(self, run: InstallRun | None) -> None:
        """Takes the run itself, of which the stacks are shown."""
        self._run = run
        self.look()

    def everything(self) -> None:
        """Publishes all of it again: the broker may have lost it."""
        self._said.clear()
        self.look()

    def look(self) -> None:
        """Publishes what changed, soon."""
        if self._due is None:
            loop = asyncio.get_running_loop()
            pause_s = max(0.0, self._last + EVERY_S - loop.time())
            self._due = loop.call_later(pause_s, self._publish)

    def stop(self) -> None:
        """Publishes what waits, and then no more; twice is fine."""
        if self._due is not None:
            self._due.cancel()
            self._publish()

    def _publish(self) -> None:
        self._due = None
        self._last = asyncio.get_running_loop().time()
        if not self._link.connected:
            return
        topics = self._rack.topics
        if self._settings.on:
            for one in report.stack_states(
                self._run, self._places(), self._rack.stacks
            ):
                self._put(topics.install_stack(one.stack), one)
        # Last, so that who reads "done" has every stack as it ended.
        self._put(topics.install_state, self._whole())

    def _whole(self) -> InstallState:
        trouble = (self.trouble,) if self.trouble else ()
        return msgspec.structs.replace(
            self._state,
            backend=self._settings.backend.value if self._settings.on else "",
            interface=self._settings.interface if self._settings.on else "",
            problems=trouble + self._state.problems,
        )

    def _put(self, topic: str, state: Payload) -> None:
        if self._said.get(topic) == state:
            return
        try:
            self._link.publish(topic, encode(state), qos=1, retain=True)
        except (LinkError, PayloadError) as error:
            log.warning("%s is not published: %s", topic, error)
            return
        self._said[topic] = state
