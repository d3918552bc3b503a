"""The second source: leases that the DHCP server wrote.

It hears what a sniffer may miss (a switch that filters, an interface that was down) but
not a board that asks again for what it has, so it only ever adds.
"""

import asyncio
import logging

from broker.common.tasks import Tasks
from provisioning.backends.backend import Backend, Lease
from provisioning.errors import BackendError
from provisioning.hardware import ipv4_text, shown
from provisioning.run.messages import Ask, AskKind
from provisioning.seams import Ear

log = logging.getLogger(__name__)

POLL_S = 0.5
"""Seconds between two looks; a stat and a few kilobytes."""


class LeaseSource:
    """A source that watches the leases of a server.

    Args:
        backend: The server.
        poll_s: Seconds between two looks.
    """

    def __init__(self, backend: Backend, poll_s: float = POLL_S) -> None:
        self._backend = backend
        self._poll_s = poll_s
        self._tasks = Tasks()

    async def start(self, ear: Ear) -> None:
        """Begin to watch; leases that are already there are no news."""
        known = {lease.mac: lease for lease in await self._read()}
        _ = self._tasks.keep_running("watch leases", lambda: self._watch(ear, known))

    async def stop(self) -> None:
        """Stop; calling it twice is fine."""
        await self._tasks.stop()

    async def _watch(self, ear: Ear, known: dict[str, Lease]) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            for lease in await self._read():
                # What was missing for a while is no news: servers write their file in
                # place, so that a reader may meet the first half of it.
                if known.get(lease.mac) != lease:
                    known[lease.mac] = lease
                    ear.heard(heard(lease))

    async def _read(self) -> tuple[Lease, ...]:
        try:
            return await self._backend.leases()
        except BackendError as error:
            log.debug("leases: %s", error)
            return ()


def heard(lease: Lease) -> Ask:
    """Return what a lease says about a board."""
    return Ask(
        mac=lease.mac,
        kind=AskKind.LEASE,
        address=ipv4_text(lease.address),
        hostname=shown(lease.hostname),
    )
