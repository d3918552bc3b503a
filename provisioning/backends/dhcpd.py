"""ISC dhcpd, the original's server; end of life since 2022, for sites that have it.

It is restarted for each new set (some 40 ms, leases stay): its control channel would
keep boards in the lease file, where no person finds them.
"""

import datetime
import re
from collections.abc import Collection
from pathlib import Path

from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.own_backend import FileBackend
from provisioning.common.subnet import Reservation, Subnet

PACKAGE = "isc-dhcp-server"

_BLOCK = re.compile(r"^lease ([0-9.]+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_ENDS = re.compile(r"^\s+ends (?:\d (\S+ \S+)|(never));", re.MULTILINE)
_MAC = re.compile(r"^\s+hardware ethernet (\S+);", re.MULTILINE)
_STATE = re.compile(r"^\s+binding state (\S+);", re.MULTILINE)
_NAME = re.compile(r'^\s+client-hostname "([^"]*)";', re.MULTILINE)


def command(folder: Path, subnet: Subnet) -> list[str]:
    """Returns the command that runs dhcpd on a folder's configuration.

    Raises:
        BackendError: It is not installed.
    """
    program = files.find("dhcpd", PACKAGE)
    file = ["-cf", str(folder / "dhcpd.conf"), "-lf", str(folder / "leases")]
    return [program, "-4", "-f", "-d", "--no-pid", *file, subnet.interface]


class Dhcpd(FileBackend):
    """The back end of ISC dhcpd."""

    name = "dhcpd"

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / "dhcpd.conf"

    def render(self, subnet: Subnet, rows: Collection[Reservation]) -> str:
        """Returns the file's text."""
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

    def test_command(self, draft: Path) -> list[str]:
        """Returns the command that tests a file."""
        return [files.find("dhcpd", PACKAGE), "-4", "-t", "-cf", str(draft)]

    def prepare(self) -> None:
        """Makes the lease file: dhcpd does not start without one."""
        (self._folder / "leases").touch()

    def read_leases(self) -> tuple[Lease, ...]:
        """Returns what is lent, and what has ended."""
        return parse_leases(files.read(self._folder / "leases") or "")

    async def renew(self) -> None:
        """Restarts dhcpd.

        Raises:
            BackendError: It does not come up.
        """
        await self._daemon.restart()

    async def _take_back(self, lease: Lease) -> None:
        """Does nothing: a reserved address goes to its board at once."""


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
    """Returns the leases in dhcpd's file: the last block about an address counts."""
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
    """Returns Unix time of dhcpd's UTC ``2026/11/21 00:30:12``."""
    when = datetime.datetime.strptime(f"{text} +0000", "%Y/%m/%d %H:%M:%S %z")
    return when.timestamp()
