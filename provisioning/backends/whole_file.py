"""What dhcpd and Kea share: one file with everything, checked, replaced, read again."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from broker.common.tasks import Tasks
from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.checks import (
    address_problems,
    common_problems,
    require_interface,
)
from provisioning.backends.daemon import Daemon
from provisioning.backends.ledger import Ledger
from provisioning.discovery.packet_socket import interface_index
from provisioning.errors import BackendError
from provisioning.reservation import Change, Reservation, difference, validate
from provisioning.run.state import Problem
from provisioning.subnet import Subnet

log = logging.getLogger(__name__)

Rows = Collection[Reservation]

LOOK_S = 1.0
"""Seconds between two looks whether the interface is another one by now."""


class Dialect(Protocol):
    """How one server wants its file, and how it says what is lent."""

    @property
    def name(self) -> str:
        """What it is called in the configuration."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables the program needs."""

    def path(self, folder: Path) -> Path:
        """Return where the file lies."""

    def render(self, subnet: Subnet, folder: Path, rows: Rows) -> str:
        """Return the file's text."""

    def test(self, draft: Path) -> list[str]:
        """Return the command that judges a file."""

    def prepare(self, folder: Path) -> None:
        """Make what the server wants to find beside its file."""

    def leases(self, folder: Path) -> tuple[Lease, ...]:
        """Return what is lent now."""

    async def renew(self, daemon: Daemon, folder: Path) -> None:
        """Let the server read the file again; effective when it returns.

        Raises:
            BackendError: It would not.
        """

    async def take_back(self, lease: Lease, folder: Path) -> None:
        """End a lease of an address that is now reserved for somebody else."""


class WholeFile:
    """A back end whose server reads one file.

    Args:
        dialect: Which server.
        subnet: The network it serves.
        folder: Its own: configuration, reservations, leases.
        daemon: Runs it.
        now: Returns Unix time, seconds.
    """

    reserves = True

    def __init__(
        self,
        dialect: Dialect,
        subnet: Subnet,
        folder: Path,
        daemon: Daemon,
        now: Callable[[], float],
    ) -> None:
        self._dialect = dialect
        self._subnet = subnet
        self._folder = folder
        self._daemon = daemon
        self._now = now
        self._ledger = Ledger(folder / "reservations.json")
        self._alone = asyncio.Lock()
        self._index = 0
        self._tasks = Tasks()

    @property
    def name(self) -> str:
        """What it is called in the configuration."""
        return self._dialect.name

    async def start(self) -> None:
        """Write the configuration with what was last applied, and serve.

        Raises:
            BackendError: It cannot be started.
        """
        require_interface(self._subnet)
        files.make_folder(self._folder)
        self._dialect.prepare(self._folder)
        served = self._ledger.served()
        # Kea does not start with what was planned for another network.
        await self._put(() if address_problems(served, self._subnet) else served)
        self._index = interface_index(self._subnet.interface)
        await self._daemon.start()
        name = f"look for interface {self._subnet.interface}"
        _ = self._tasks.keep_running(name, self._look)

    async def stop(self) -> None:
        """End it; calling it twice is fine."""
        await self._tasks.stop()
        await self._daemon.stop()

    async def _look(self) -> None:
        """Start it anew with its interface: it stays bound to the one that was there.

        When an adapter is pulled out and put in again, dhcpd and Kea run on and lend
        nothing to anybody (tried on both).
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

    async def check(self, want: Rows) -> tuple[Problem, ...]:
        """Return what stands in the way of serving."""
        serving = await self._daemon.alive()
        return common_problems(
            want, self._subnet, serving=serving, log=self._daemon.log
        )

    async def alive(self) -> bool:
        """Whether it runs."""
        return await self._daemon.alive()

    async def leases(self) -> tuple[Lease, ...]:
        """Return what is lent now."""
        now = self._now()
        return tuple(
            lease for lease in self._dialect.leases(self._folder) if lease.ends > now
        )

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Serve this set; the last good one stays if it cannot be.

        Raises:
            RefusedError: The set contradicts itself, or the server says so.
            BackendError: The server did not come back with it.
        """
        rows = validate(want, self._subnet)
        async with self._alone:  # who waited in vain for an answer asks again
            return await self._serve(rows, brief=brief)

    async def _serve(self, rows: tuple[Reservation, ...], *, brief: bool) -> Change:
        served = self._ledger.served()
        if await self._put(rows, brief=brief):
            try:
                await self._dialect.renew(self._daemon, self._folder)
            except BackendError:
                await self._go_back(served)
                raise
        await self._ledger.write(rows)
        await self._take_back(rows)
        return difference(served, rows)

    def applied(self) -> tuple[Reservation, ...]:
        """Return the set that is served."""
        return self._ledger.served()

    async def _put(self, rows: Rows, *, brief: bool = False) -> bool:
        """Replace the file once the program finds it right; return whether it changed.

        A file Kea finds wrong must never be loaded: Kea 2.2 then serves nobody until a
        good one is (measured).
        """
        path, subnet = self._dialect.path(self._folder), self._subnet
        if brief:
            subnet = msgspec.structs.replace(subnet, lease_s=subnet.pool_lease_s)
        text = self._dialect.render(subnet, self._folder, rows)
        if files.read(path) == text:
            return False
        draft = path.with_name(f"{path.name}.draft")
        await files.write(draft, text)
        try:
            await files.judge(self._dialect.test(draft), self._dialect.environment)
        finally:
            draft.unlink(missing_ok=True)
        await files.write(path, text)
        return True

    async def _go_back(self, rows: Rows) -> None:
        text = self._dialect.render(self._subnet, self._folder, rows)
        await files.write(self._dialect.path(self._folder), text)
        await self._daemon.restart()

    async def _take_back(self, rows: Rows) -> None:
        owners = {row.address: row.mac for row in rows}
        for lease in await self.leases():
            if owners.get(lease.address, lease.mac) != lease.mac:
                await self._dialect.take_back(lease, self._folder)
