"""dnsmasq, the default: 5 MB, no restart for new boards, known to people with Pis.

Our own configuration and our own process; the system's dnsmasq, if there is one, is not
touched. One file for each board lies in a folder that dnsmasq watches; new files work
at once, changed and deleted ones after SIGHUP, which is sent in any case; measured.
"""

import contextlib
import os
import socket
from collections.abc import Collection
from pathlib import Path

import msgspec

from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.checks import require_interface
from provisioning.backends.daemon import Daemon
from provisioning.backends.own_backend import OwnBackend
from provisioning.common.errors import BackendError
from provisioning.common.hardware import normal_mac
from provisioning.common.subnet import Reservation, Subnet
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, DhcpKind, Op, Option

PACKAGE = "dnsmasq-base"
"""The program alone; the package ``dnsmasq`` would start a service of its own."""

_LEASE_FIELDS = 5


def command(folder: Path) -> list[str]:
    """Returns the command that runs dnsmasq on a folder's configuration.

    Raises:
        BackendError: It is not installed.
    """
    program = files.find("dnsmasq", PACKAGE)
    return [program, "--keep-in-foreground", f"--conf-file={folder}/dnsmasq.conf"]


class Netboot(msgspec.Struct, frozen=True):
    """Boot files for boards that boot over the network.

    Args:
        root: Folder TFTP serves. A board asks below its serial (``51000101/``), or its
            hardware address, as its boot EEPROM's ``TFTP_PREFIX`` says; a Pi 3 first
            asks for ``bootcode.bin`` in the folder itself.
    """

    root: Path


class Dnsmasq(OwnBackend):
    """The dnsmasq back end.

    Args:
        folder: For its configuration, reservations and leases.
        daemon: Runs it.
        netboot: Boot files to serve too; None: none.
    """

    name = "dnsmasq"

    def __init__(
        self,
        subnet: Subnet,
        folder: Path,
        daemon: Daemon,
        netboot: Netboot | None = None,
    ) -> None:
        super().__init__(subnet, folder, daemon)
        self._netboot = netboot

    async def start(self) -> None:
        """Writes the configuration if it changed, and serves."""
        require_interface(self._subnet)
        files.make_folder(self._folder)
        files.make_folder(self._hosts)
        await self._write_configuration()
        await self._write_hosts(self._served.read())
        await self._daemon.start()

    async def leases(self) -> tuple[Lease, ...]:
        """Returns what is lent now."""
        return parse_leases(files.read(self._folder / "leases") or "")

    async def _serve(
        self,
        rows: Collection[Reservation],
        served: Collection[Reservation],
        *,
        brief: bool,
    ) -> None:
        if await self._write_hosts(rows, brief=brief) or rows != served:
            try:
                await self._daemon.reload()
            except BackendError:
                await self._write_hosts(served)
                raise

    @property
    def _hosts(self) -> Path:
        return self._folder / "hosts.d"

    async def _write_configuration(self) -> None:
        program = files.find("dnsmasq", PACKAGE)
        await files.replace_tested(
            self._folder / "dnsmasq.conf",
            configuration(self._subnet, self._folder, self._netboot),
            lambda draft: [program, "--test", f"--conf-file={draft}"],
        )

    async def _write_hosts(
        self, rows: Collection[Reservation], *, brief: bool = False
    ) -> bool:
        """Makes the folder hold exactly these boards; returns whether it changed.

        Args:
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

    async def _take_back(self, lease: Lease) -> None:
        """Gives a lease back in the name of its holder, as ``dhcp_release`` does."""
        message = Dhcp(
            op=Op.REQUEST,
            kind=DhcpKind.RELEASE,
            mac=lease.mac,
            xid=0,
            ciaddr=lease.address,
            options={Option.SERVER: self._subnet.own.packed},
        )
        server = (str(self._subnet.own), dhcp.SERVER_PORT)  # on this machine
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Where sending fails, the lease ends by itself.
        with contextlib.closing(sender), contextlib.suppress(OSError):
            sender.settimeout(0)
            sender.sendto(dhcp.encode(message), server)


def parse_leases(text: str) -> tuple[Lease, ...]:
    """Returns the leases in dnsmasq's file: end, MAC, address, name, client id."""
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


# --- the text of its files ------------------------------------------------------------


def configuration(subnet: Subnet, folder: Path, netboot: Netboot | None = None) -> str:
    """Returns ``dnsmasq.conf``; its other files are in the folder."""
    dns = "".join(f",{address}" for address in subnet.dns)
    gateway = f",{subnet.gateway}" if subnet.gateway else ""
    pool = f"{subnet.pool_first},{subnet.pool_last}"
    lines = [
        "# Written by PiRack at every start; changes are lost.",
        "port=0",  # no DNS
        f"interface={subnet.interface}",
        "bind-interfaces",
        "except-interface=lo",
        "no-hosts",
        "no-resolv",
        *_user(),
        "pid-file=",
        "log-facility=-",
        "dhcp-authoritative",
        # Cards are cloned, and their client identifiers with them: without this three
        # boards got one address (measured).
        "dhcp-ignore-clid",
        # Its ping blocks the server for 3 s for each new board; we probe by ARP.
        "no-ping",
        f"dhcp-range={pool},{subnet.network.netmask},{subnet.pool_lease_s}s",
        f"dhcp-option=3{gateway}",
        f"dhcp-option=6{dns}",
        *(f"dhcp-option={one}" for one in _renewal(subnet, "!known")),
        f"dhcp-optsfile={folder}/options",
        f"dhcp-hostsdir={folder}/hosts.d",
        f"dhcp-leasefile={folder}/leases",
    ]
    if netboot is not None:
        lines += _netboot(netboot)
    return "\n".join(lines) + "\n"


def options(subnet: Subnet, *, brief: bool = False) -> str:
    """Returns the file of options, which dnsmasq reads again after SIGHUP.

    They are not options of a tag that each board sets for itself: dnsmasq 2.90 chains
    tags of its own, on its stack, behind one when it answers, and frees them when it
    reads the board's file again. That kills it (measured; imp/dnsmasq#20).

    Args:
        brief: Boards with a fixed address ask again as soon as those without one.
    """
    lines = _renewal(subnet, "known") if brief else []
    return "".join(f"{line}\n" for line in lines)


def _renewal(subnet: Subnet, tag: str) -> list[str]:
    """Returns how soon boards of a tag ask again.

    dhcpcd and systemd-networkd do not hear a NAK while they renew (T1): it is a
    broadcast, and their socket is bound to their address. They hear it while they
    rebind (T2), so both are short (measured).
    """
    times = ((58, subnet.renew_s), (59, subnet.rebind_s))
    return [f"tag:{tag},{option},{seconds}" for option, seconds in times]


def _user() -> list[str]:
    """Keeps it root where we are root: another user could not read our folder."""
    return ["user=root"] if os.geteuid() == 0 else []


def _netboot(netboot: Netboot) -> list[str]:
    return [
        "enable-tftp",
        f"tftp-root={netboot.root}",
        # Option 43: a Pi 3's boot ROM goes on only if it finds this very text, with
        # the three spaces at its end (boot-net.adoc).
        'pxe-service=0,"Raspberry Pi Boot   "',
    ]


def host_file(row: Reservation) -> str:
    """Returns the name of a board's file."""
    return row.mac.replace(":", "-")


def host_line(row: Reservation, subnet: Subnet, *, brief: bool = False) -> str:
    """Returns what a board's file says; ``brief``: its lease is short."""
    lease_s = subnet.pool_lease_s if brief else subnet.lease_s
    return f"{row.mac},{row.address},{row.name},{lease_s}\n"
