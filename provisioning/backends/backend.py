"""One interface for every DHCP server; ``tests/system`` runs one suite on all.

Beside it stand the back end that serves nothing (``observe``), and the source that
hears boards by the leases of any back end.
"""

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import msgspec

from broker.common.tasks import Tasks
from provisioning.backends import files
from provisioning.backends.checks import (
    address_problems,
    interface_missing,
    own_address_problems,
)
from provisioning.common.errors import BackendError, Problem
from provisioning.common.hardware import ipv4_text, shown
from provisioning.common.network import BoardHeard, HeardKind, SightingHandler
from provisioning.common.subnet import Change, Reservation, Subnet, difference, validate
from provisioning.discovery.packet_socket import carrier

log = logging.getLogger(__name__)

POLL_S = 0.5
"""Seconds between two reads of the leases; a stat and a few kilobytes."""


class Lease(msgspec.Struct, frozen=True):
    """An address that is lent at this moment.

    Args:
        mac: Hardware address of its holder.
        ends: Unix time it ends, seconds; infinite for one that never does.
        hostname: What the board calls itself; empty if it did not say.
    """

    mac: str
    address: str
    ends: float
    hostname: str = ""


class Backend(Protocol):
    """A DHCP server that knows our boards, or that we only live beside.

    The whole set of reservations is given each time: files, JSON and a database then
    all work alike, and doing it again after a crash is harmless.
    """

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    @property
    def reserves(self) -> bool:
        """Whether it takes reservations; False for a server that is not ours."""

    async def start(self) -> None:
        """Writes its configuration and begins to serve what was last applied.

        Raises:
            BackendError: It cannot be started.
        """

    async def stop(self) -> None:
        """Ends what was started; calling it twice is fine."""

    async def check(self, want: Collection[Reservation]) -> tuple[Problem, ...]:
        """Returns what prevents it from serving a set; touches nothing."""

    async def alive(self) -> bool:
        """Whether the server is there."""

    async def leases(self) -> tuple[Lease, ...]:
        """Returns what is lent now.

        Raises:
            BackendError: It cannot be read.
        """

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Serves this set of reservations and no other; effective when it returns.

        A reserved address that is lent to another board is taken back.

        Args:
            brief: Leases are as short as those of the pool, so that boards soon hear
                of the next set; until the next call, or start.

        Raises:
            ConfigurationRefusedError: The set contradicts itself; nothing was changed.
            BackendError: The server did not accept it; the last good set is served.
        """

    def applied(self) -> tuple[Reservation, ...]:
        """Returns the set that is served."""


class Observe:
    """A DHCP server that is not ours: boards are found and placed, nothing is served.

    It keeps the set it is given, for a person who copies it into the other server.
    """

    name = "observe"
    reserves = False

    def __init__(self, subnet: Subnet, folder: Path) -> None:
        self._subnet = subnet
        self._folder = folder
        self._served = files.ReservationFile(folder / "reservations.json")

    async def start(self) -> None:
        """Makes the folder."""
        files.make_folder(self._folder)

    async def stop(self) -> None:
        """Does nothing."""

    async def check(self, want: Collection[Reservation]) -> tuple[Problem, ...]:
        """Returns what prevents us from listening."""
        if carrier(self._subnet.interface) is None:
            return (Problem(text=interface_missing(self._subnet), fatal=True),)
        return (
            *own_address_problems(self._subnet, fatal=False),
            *address_problems(want, self._subnet),
        )

    async def alive(self) -> bool:
        """Returns True: there is no process that could end."""
        return True

    async def leases(self) -> tuple[Lease, ...]:
        """Returns nothing: the other server does not tell."""
        return ()

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Keeps the set."""
        del brief
        rows = validate(want, self._subnet)
        change = difference(self._served.read(), rows)
        await self._served.write(rows)
        return change

    def applied(self) -> tuple[Reservation, ...]:
        """Returns the set that was kept."""
        return self._served.read()


class LeaseSource:
    """Hears boards by the leases that a DHCP server writes.

    It hears what a sniffer may miss (a switch that filters, an interface that was down)
    but not a board that asks again for what it has, so it only ever adds.

    Args:
        poll_s: Seconds between two reads.
    """

    def __init__(self, backend: Backend, poll_s: float = POLL_S) -> None:
        self._backend = backend
        self._poll_s = poll_s
        self._tasks = Tasks()

    async def start(self, handler: SightingHandler) -> None:
        """Begins to watch; leases that are already there are not reported."""
        known = {lease.mac: lease for lease in await self._read()}
        _ = self._tasks.keep_running(
            "watch leases", lambda: self._watch(handler, known)
        )

    async def stop(self) -> None:
        """Stops watching; calling it twice is fine."""
        await self._tasks.stop()

    async def _watch(self, handler: SightingHandler, known: dict[str, Lease]) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            for lease in await self._read():
                # A lease that was missing for a while is not new: servers write their
                # file in place, so that a reader may meet the first half of it.
                if known.get(lease.mac) != lease:
                    known[lease.mac] = lease
                    handler.heard(lease_heard(lease))

    async def _read(self) -> tuple[Lease, ...]:
        try:
            return await self._backend.leases()
        except BackendError as error:
            log.debug("leases: %s", error)
            return ()


def lease_heard(lease: Lease) -> BoardHeard:
    """Returns what a lease says about a board."""
    return BoardHeard(
        mac=lease.mac,
        kind=HeardKind.LEASE,
        address=ipv4_text(lease.address),
        hostname=shown(lease.hostname),
    )
