"""What the servers that we run share, and what those with one big file share."""

import abc
import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from broker.common.tasks import Tasks
from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.checks import (
    address_problems,
    require_interface,
    serving_problems,
)
from provisioning.backends.daemon import Daemon
from provisioning.common.errors import BackendError, Problem
from provisioning.common.subnet import Change, Reservation, Subnet, difference, validate
from provisioning.discovery.packet_socket import interface_index

log = logging.getLogger(__name__)

Rows = Collection[Reservation]

LOOK_S = 1.0
"""Seconds between two checks whether the interface was replaced."""


class OwnBackend(abc.ABC):
    """A server that we configure and run.

    Args:
        folder: For its configuration, reservations and leases.
        daemon: Runs it.
    """

    name = ""
    reserves = True

    def __init__(self, subnet: Subnet, folder: Path, daemon: Daemon) -> None:
        self._subnet = subnet
        self._folder = folder
        self._daemon = daemon
        self._served = files.ReservationFile(folder / "reservations.json")
        self._alone = asyncio.Lock()

    @abc.abstractmethod
    async def start(self) -> None:
        """Writes the configuration with what was last applied, and serves."""

    async def stop(self) -> None:
        """Ends it; calling it twice is fine."""
        await self._daemon.stop()

    async def check(self, want: Rows) -> tuple[Problem, ...]:
        """Returns what prevents it from serving a set."""
        serving = await self._daemon.alive()
        return serving_problems(
            want, self._subnet, serving=serving, log=self._daemon.log
        )

    async def alive(self) -> bool:
        """Whether it runs."""
        return await self._daemon.alive()

    @abc.abstractmethod
    async def leases(self) -> tuple[Lease, ...]:
        """Returns what is lent now."""

    async def apply(self, want: Rows, *, brief: bool = False) -> Change:
        """Serves this set; the last good one stays if that fails."""
        rows = validate(want, self._subnet)
        async with self._alone:  # a run that got no answer in time asks again
            served = self._served.read()
            await self._serve(rows, served, brief=brief)
            await self._served.write(rows)
            owners = {row.address: row.mac for row in rows}
            for lease in await self.leases():
                if owners.get(lease.address, lease.mac) != lease.mac:
                    await self._take_back(lease)
            return difference(served, rows)

    @abc.abstractmethod
    async def _serve(self, rows: Rows, served: Rows, *, brief: bool) -> None:
        """Makes the server serve a set instead of the one that was served.

        Raises:
            BackendError: It did not; it serves the old set.
        """

    @abc.abstractmethod
    async def _take_back(self, lease: Lease) -> None:
        """Ends a lease of an address that is now reserved for another board."""

    def applied(self) -> tuple[Reservation, ...]:
        """Returns the set that is served."""
        return self._served.read()


class FileBackend(OwnBackend):
    """A server that reads one file with everything."""

    environment: Mapping[str, str] = {}
    """Variables the program needs beside ours."""

    def __init__(self, subnet: Subnet, folder: Path, daemon: Daemon) -> None:
        super().__init__(subnet, folder, daemon)
        self._index = 0
        self._tasks = Tasks()

    @property
    @abc.abstractmethod
    def path(self) -> Path:
        """The file."""

    @abc.abstractmethod
    def render(self, subnet: Subnet, rows: Rows) -> str:
        """Returns the file's text."""

    @abc.abstractmethod
    def test_command(self, draft: Path) -> list[str]:
        """Returns the command that tests a file."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Makes what the server wants to find beside its file."""

    @abc.abstractmethod
    def read_leases(self) -> tuple[Lease, ...]:
        """Returns what is lent, and what has ended."""

    @abc.abstractmethod
    async def renew(self) -> None:
        """Makes the server read the file again; effective when it returns.

        Raises:
            BackendError: It did not.
        """

    async def start(self) -> None:
        """Writes the configuration with what was last applied, and serves."""
        require_interface(self._subnet)
        files.make_folder(self._folder)
        self.prepare()
        served = self._served.read()
        # Kea does not start with what was planned for another network.
        await self._put(() if address_problems(served, self._subnet) else served)
        self._index = interface_index(self._subnet.interface)
        await self._daemon.start()
        name = f"look for interface {self._subnet.interface}"
        _ = self._tasks.keep_running(name, self._follow_interface)

    async def stop(self) -> None:
        """Ends it; calling it twice is fine."""
        await self._tasks.stop()
        await self._daemon.stop()

    async def _follow_interface(self) -> None:
        """Restarts the server when its interface was replaced.

        When an adapter is pulled out and put in again, dhcpd and Kea stay bound to the
        old interface: they run on and lend nothing (tried on both).
        """
        while True:
            await asyncio.sleep(LOOK_S)
            index = interface_index(self._subnet.interface)
            if index in {0, self._index}:
                continue
            try:
                async with self._alone:
                    await self._daemon.restart()
            except BackendError as error:  # the interface may have no address yet
                log.warning("%s", error)
            else:
                self._index = index

    async def leases(self) -> tuple[Lease, ...]:
        """Returns what is lent now."""
        now = time.time()
        return tuple(lease for lease in self.read_leases() if lease.ends > now)

    async def _serve(self, rows: Rows, served: Rows, *, brief: bool) -> None:
        if await self._put(rows, brief=brief):
            try:
                await self.renew()
            except BackendError:
                await files.write(self.path, self.render(self._subnet, served))
                await self._daemon.restart()
                raise

    async def _put(self, rows: Rows, *, brief: bool = False) -> bool:
        subnet = self._subnet
        if brief:
            subnet = msgspec.structs.replace(subnet, lease_s=subnet.pool_lease_s)
        text = self.render(subnet, rows)
        return await files.replace_tested(
            self.path, text, self.test_command, self.environment
        )
