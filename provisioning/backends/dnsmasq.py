"""dnsmasq, the default: 5 MB, no restart for new boards, known to people with Pis.

Our own configuration and our own process; the system's dnsmasq, if there is one, is not
touched. One file for each board lies in a folder that dnsmasq watches; new files work
at once, changed and deleted ones after SIGHUP, which is sent in any case; measured.
"""

import asyncio
import contextlib
import socket
from collections.abc import Collection
from pathlib import Path

from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.checks import common_problems, require_interface
from provisioning.backends.daemon import Daemon
from provisioning.backends.dnsmasq_config import (
    Netboot,
    configuration,
    host_file,
    host_line,
    options,
)
from provisioning.backends.ledger import Ledger
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, Kind, Op, Option
from provisioning.errors import BackendError
from provisioning.hardware import normal_mac
from provisioning.reservation import Change, Reservation, difference, validate
from provisioning.run.state import Problem
from provisioning.subnet import Subnet

PACKAGE = "dnsmasq-base"
"""The program alone; the package ``dnsmasq`` would start a service of its own."""

_LEASE_FIELDS = 5


def command(folder: Path) -> list[str]:
    """Return the command that runs dnsmasq on a folder's configuration.

    Raises:
        BackendError: It is not installed.
    """
    program = files.find("dnsmasq", PACKAGE)
    return [program, "--keep-in-foreground", f"--conf-file={folder}/dnsmasq.conf"]


class Dnsmasq:
    """The dnsmasq back end.

    Args:
        subnet: The network it serves.
        folder: Its own: configuration, reservations, leases.
        daemon: Runs it.
        netboot: Serve boot files too; None: do not.
    """

    name = "dnsmasq"
    reserves = True

    def __init__(
        self,
        subnet: Subnet,
        folder: Path,
        daemon: Daemon,
        netboot: Netboot | None = None,
    ) -> None:
        self._subnet = subnet
        self._folder = folder
        self._daemon = daemon
        self._netboot = netboot
        self._ledger = Ledger(folder / "reservations.json")
        self._alone = asyncio.Lock()

    async def start(self) -> None:
        """Write the configuration if it is another one, and serve.

        Raises:
            BackendError: It cannot be started.
        """
        require_interface(self._subnet)
        files.make_folder(self._folder)
        files.make_folder(self._hosts)
        await self._write_configuration()
        await self._write_hosts(self._ledger.served())
        await self._daemon.start()

    async def stop(self) -> None:
        """End it; calling it twice is fine."""
        await self._daemon.stop()

    async def check(self, want: Collection[Reservation]) -> tuple[Problem, ...]:
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
        return parse_leases(files.read(self._folder / "leases") or "")

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Serve this set; the last good one stays if it cannot be.

        Raises:
            RefusedError: The set contradicts itself; nothing was changed.
            BackendError: dnsmasq is not there.
        """
        rows = validate(want, self._subnet)
        async with self._alone:  # who waited in vain for an answer asks again
            return await self._serve(rows, brief=brief)

    async def _serve(self, rows: tuple[Reservation, ...], *, brief: bool) -> Change:
        served = self._ledger.served()
        change = difference(served, rows)
        stale = await self._write_hosts(rows, brief=brief)
        if change or stale:
            try:
                await self._daemon.reload()
            except BackendError:
                await self._write_hosts(served)
                raise
        await self._ledger.write(rows)
        await self._take_back(rows)
        return change

    def applied(self) -> tuple[Reservation, ...]:
        """Return the set that is served."""
        return self._ledger.served()

    @property
    def _hosts(self) -> Path:
        return self._folder / "hosts.d"

    async def _write_configuration(self) -> None:
        path = self._folder / "dnsmasq.conf"
        text = configuration(self._subnet, self._folder, self._netboot)
        if files.read(path) == text:
            return
        draft = self._folder / "dnsmasq.conf.draft"
        await files.write(draft, text)
        program = files.find("dnsmasq", PACKAGE)
        try:
            await files.judge([program, "--test", f"--conf-file={draft}"])
        finally:
            draft.unlink(missing_ok=True)
        await files.write(path, text)

    async def _write_hosts(
        self, rows: Collection[Reservation], *, brief: bool = False
    ) -> bool:
        """Make the folder hold exactly these boards; return whether it did not.

        Args:
            rows: The boards.
            brief: They ask again soon.
        """
        renewal, renewals = options(self._subnet, brief=brief), self._folder / "options"
        lines = {row: host_line(row, self._subnet, brief=brief) for row in rows}
        want = {host_file(row): line for row, line in lines.items()}
        try:
            have = {path.name: files.read(path) for path in self._hosts.iterdir()}
            for name in have.keys() - want.keys():
                (self._hosts / name).unlink()
        except OSError as error:
            text = f"{self._hosts} cannot be read or changed: {error.strerror}"
            raise BackendError(text) from error
        for name, line in want.items():
            if have.get(name) != line:
                await files.write(self._hosts / name, line)
        if files.read(renewals) == renewal:
            return have != want
        await files.write(renewals, renewal)
        return True

    async def _take_back(self, rows: Collection[Reservation]) -> None:
        """End leases of reserved addresses that somebody else holds."""
        owners = {row.address: row.mac for row in rows}
        for lease in await self.leases():
            if owners.get(lease.address, lease.mac) != lease.mac:
                release(self._subnet, lease)


def release(subnet: Subnet, lease: Lease) -> None:
    """Give a lease back in the name of its holder, as ``dhcp_release`` does.

    Args:
        subnet: Where the server is; it runs on this machine.
        lease: Which.
    """
    message = Dhcp(
        op=Op.REQUEST,
        kind=Kind.RELEASE,
        mac=lease.mac,
        xid=0,
        ciaddr=lease.address,
        options={Option.SERVER: subnet.own.packed},
    )
    with (
        contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender,
        contextlib.suppress(OSError),  # the lease then ends by itself
    ):
        sender.settimeout(0)
        sender.sendto(dhcp.encode(message), (str(subnet.own), dhcp.SERVER_PORT))


def parse_leases(text: str) -> tuple[Lease, ...]:
    """Return the leases in dnsmasq's file: end, hardware address, address, name, id."""
    leases = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) != _LEASE_FIELDS:
            continue
        ends, mac, address, hostname, _client_id = fields
        with contextlib.suppress(ValueError):
            lease = Lease(
                mac=normal_mac(mac),
                address=address,
                ends=float(ends) or float("inf"),
                hostname="" if hostname == "*" else hostname,
            )
            leases.append(lease)
    return tuple(leases)
