"""ISC dhcpd, the original's server; end of life since 2022, for sites that have it.

It is restarted for each new set (some 40 ms, leases stay): its control channel keeps
boards in the lease file, where no person finds them.
"""

import datetime
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.daemon import Daemon
from provisioning.reservation import Reservation
from provisioning.subnet import Subnet

PACKAGE = "isc-dhcp-server"

_BLOCK = re.compile(r"^lease ([0-9.]+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_ENDS = re.compile(r"^\s+ends (?:\d (\S+ \S+)|(never));", re.MULTILINE)
_MAC = re.compile(r"^\s+hardware ethernet (\S+);", re.MULTILINE)
_STATE = re.compile(r"^\s+binding state (\S+);", re.MULTILINE)
_NAME = re.compile(r'^\s+client-hostname "([^"]*)";', re.MULTILINE)


def command(folder: Path, subnet: Subnet) -> list[str]:
    """Return the command that runs dhcpd on a folder's configuration.

    Raises:
        BackendError: It is not installed.
    """
    program = files.find("dhcpd", PACKAGE)
    file = ["-cf", str(folder / "dhcpd.conf"), "-lf", str(folder / "leases")]
    return [program, "-4", "-f", "-d", "--no-pid", *file, subnet.interface]


class Dhcpd:
    """dhcpd's file and leases."""

    name = "dhcpd"
    environment: Mapping[str, str] = {}

    def path(self, folder: Path) -> Path:
        """Return where the file lies."""
        return folder / "dhcpd.conf"

    def render(
        self, subnet: Subnet, folder: Path, rows: Collection[Reservation]
    ) -> str:
        """Return the file's text."""
        del folder
        network = subnet.network
        lines = [
            "# Written by PiRack with every set of reservations; changes are lost.",
            "authoritative;",
            "ddns-update-style none;",
            # Cards are cloned, and their client identifiers with them.
            "ignore-client-uids true;",
            # Its ping delays every answer by a second; we probe by ARP.
            "ping-check false;",
            "update-static-leases false;",
            f"default-lease-time {subnet.pool_lease_s};",
            f"max-lease-time {subnet.pool_lease_s};",
            *_options(subnet),
            f"subnet {network.network_address} netmask {network.netmask} {{",
            f"  range {subnet.pool_first} {subnet.pool_last};",
            "}",
            *(_host(row, subnet) for row in rows),
        ]
        return "\n".join(lines) + "\n"

    def test(self, draft: Path) -> list[str]:
        """Return the command that judges a file."""
        return [files.find("dhcpd", PACKAGE), "-4", "-t", "-cf", str(draft)]

    def prepare(self, folder: Path) -> None:
        """Make the lease file: dhcpd does not start without one."""
        (folder / "leases").touch()

    def leases(self, folder: Path) -> tuple[Lease, ...]:
        """Return what is lent; also what has ended, with its end."""
        return parse_leases(files.read(folder / "leases") or "")

    async def renew(self, daemon: Daemon, folder: Path) -> None:
        """Start dhcpd again.

        Raises:
            BackendError: It does not come up.
        """
        del folder
        await daemon.restart()

    async def take_back(self, lease: Lease, folder: Path) -> None:
        """Do nothing: dhcpd gives a reserved address to its board at once."""


def _options(subnet: Subnet) -> list[str]:
    options = {"routers": subnet.gateway, "domain-name-servers": ", ".join(subnet.dns)}
    return [f"option {name} {value};" for name, value in options.items() if value]


def _host(row: Reservation, subnet: Subnet) -> str:
    return (
        f"host {row.name} {{ hardware ethernet {row.mac}; fixed-address {row.address}; "
        f'option host-name "{row.name}"; default-lease-time {subnet.lease_s}; '
        f"max-lease-time {subnet.lease_s}; }}"
    )


def parse_leases(text: str) -> tuple[Lease, ...]:
    """Return the leases in dhcpd's file: the last block about an address holds."""
    leases: dict[str, Lease] = {}
    for address, body in _BLOCK.findall(text):
        mac, state, ends = (one.search(body) for one in (_MAC, _STATE, _ENDS))
        leases.pop(address, None)
        if mac and ends and state and state[1] == "active":
            name = _NAME.search(body)
            leases[address] = Lease(
                mac=mac[1],
                address=address,
                ends=_unix(ends[1]) if ends[1] else float("inf"),
                hostname=name[1] if name else "",
            )
    return tuple(leases.values())


def _unix(text: str) -> float:
    """Return Unix time of dhcpd's UTC ``2026/11/21 00:30:12``."""
    when = datetime.datetime.strptime(f"{text} +0000", "%Y/%m/%d %H:%M:%S %z")
    return when.timestamp()
