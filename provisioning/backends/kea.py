"""Kea, ISC's successor of dhcpd: Debian 12 has version 2.2, Debian 13 version 2.6.

Its hook for single reservations came with 3.0, so the whole file is written and read
again (20 to 40 ms, leases stay). Kea gives up on an interface without a link when it
starts, which is what a rack that is switched off looks like: it is told to try again.
"""

import asyncio
import csv
import json
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.daemon import Daemon
from provisioning.backends.own_backend import FileBackend
from provisioning.common.errors import BackendError, ConfigurationRefusedError
from provisioning.common.subnet import Reservation, Subnet

PACKAGE = "kea-dhcp4-server"
CONTROL_S = 10.0
FOLDER_MODE = 0o750
_ACTIVE = "0"
_HOOKS = "/usr/lib/*/kea/hooks/libdhcp_lease_cmds.so"


def command(folder: Path) -> list[str]:
    """Returns the command that runs Kea on a folder's configuration.

    Raises:
        BackendError: It is not installed.
    """
    return [files.find("kea-dhcp4", PACKAGE), "-c", str(folder / "kea.json")]


def environment(folder: Path) -> dict[str, str]:
    """Returns the variables that keep Kea's files in our folder.

    Kea 2.6 refuses a control socket and a lease file elsewhere than where these say;
    ``kea-dhcp4 -t`` does not look at that, so a server that starts without them ends.
    """
    names = ("PIDFILE", "LOCKFILE", "CONTROL_SOCKET", "DHCP_DATA")
    return {f"KEA_{name}_DIR": str(folder) for name in names}


class Kea(FileBackend):
    """The back end of Kea.

    Args:
        unit: Whether a systemd unit runs Kea, and sets the mode of the folder.
    """

    name = "kea"

    def __init__(
        self, subnet: Subnet, folder: Path, daemon: Daemon, *, unit: bool = False
    ) -> None:
        super().__init__(subnet, folder, daemon)
        self._unit = unit
        self.environment = environment(folder)

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / "kea.json"

    def render(self, subnet: Subnet, rows: Collection[Reservation]) -> str:
        """Returns the file's text."""
        dhcp4 = {
            "interfaces-config": {
                "interfaces": [subnet.interface],
                "service-sockets-max-retries": 86_400,
                "service-sockets-retry-wait-time": 1000,
            },
            "control-socket": {
                "socket-type": "unix",
                "socket-name": str(self._folder / "control"),
            },
            "lease-database": {
                "type": "memfile",
                "persist": True,
                "name": str(self._folder / "leases.csv"),
                "lfc-interval": 3600,
            },
            "hooks-libraries": _lease_commands(),
            "loggers": [
                {
                    "name": "kea-dhcp4",
                    "severity": "INFO",
                    "output_options": [{"output": "stdout"}],
                }
            ],
            "authoritative": True,
            # Cards are cloned, and their client identifiers with them.
            "match-client-id": False,
            "host-reservation-identifiers": ["hw-address"],
            "valid-lifetime": subnet.pool_lease_s,
            "subnet4": [_subnet(subnet, rows)],
        }
        return json.dumps({"Dhcp4": dhcp4}, indent=1) + "\n"

    def test_command(self, draft: Path) -> list[str]:
        """Returns the command that tests a file."""
        return [files.find("kea-dhcp4", PACKAGE), "-t", str(draft)]

    def prepare(self) -> None:
        """Gives the folder the only mode in which Kea 2.6 makes its control socket.

        Raises:
            BackendError: It belongs to another user.
        """
        folder = self._folder
        if self._unit or stat.S_IMODE(folder.stat().st_mode) == FOLDER_MODE:
            return
        try:
            folder.chmod(FOLDER_MODE)
        except OSError as error:
            text = f"{folder}: Kea needs its mode to be 0750: {error.strerror}"
            raise BackendError(text) from error

    def read_leases(self) -> tuple[Lease, ...]:
        """Returns what is lent, and what has ended."""
        return parse_leases(files.read(self._folder / "leases.csv") or "")

    async def renew(self) -> None:
        """Makes Kea read its file again; restarts it where it does not answer.

        Raises:
            BackendError: It refuses the file, or does not come up.
        """
        try:
            await control(self._folder, "config-reload")
        except ConfigurationRefusedError:
            raise
        except BackendError:
            await self._daemon.restart()

    async def _take_back(self, lease: Lease) -> None:
        """Ends the lease: Kea would let its holder keep a reserved address."""
        await control(self._folder, "lease4-del", {"ip-address": lease.address})


def _lease_commands() -> list[dict[str, str]]:
    """Returns the hook that ends single leases, where it is installed."""
    found = sorted(Path("/").glob(_HOOKS.lstrip("/")))
    return [{"library": str(found[0])}] if found else []


def _subnet(subnet: Subnet, rows: Collection[Reservation]) -> dict[str, Any]:
    options = {"routers": subnet.gateway, "domain-name-servers": ", ".join(subnet.dns)}
    return {
        "subnet": str(subnet.network),
        "id": 1,
        "interface": subnet.interface,
        "pools": [{"pool": f"{subnet.pool_first} - {subnet.pool_last}"}],
        "option-data": [
            {"name": name, "data": value} for name, value in options.items() if value
        ],
        "reservations-in-subnet": True,
        # Reservations lie outside the pool: fewer look-ups, and none gets mixed up.
        "reservations-out-of-pool": True,
        "reservations": [
            {"hw-address": row.mac, "ip-address": row.address, "hostname": row.name}
            for row in rows
        ],
    }


async def control(
    folder: Path, verb: str, arguments: Mapping[str, object] | None = None
) -> None:
    """Sends a command to Kea over its control socket.

    Raises:
        ConfigurationRefusedError: Kea refuses it.
        BackendError: Kea does not answer.
    """
    question = {"command": verb, "arguments": dict(arguments or {})}
    try:
        async with asyncio.timeout(CONTROL_S):
            reader, writer = await asyncio.open_unix_connection(folder / "control")
            try:
                writer.write(json.dumps(question).encode())
                writer.write_eof()
                answer = json.loads(await reader.read())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        why = str(error) or f"nothing within {CONTROL_S:g} s"
        text = f"Kea does not answer to {verb}: {why}"
        raise BackendError(text) from error
    # 3: there is nothing to delete, so it is as wanted.
    if answer.get("result") not in {0, 3}:
        text = f"Kea refuses {verb}: {answer.get('text')}"
        raise ConfigurationRefusedError(text)


def parse_leases(text: str) -> tuple[Lease, ...]:
    """Returns the leases in Kea's file: the last row about an address counts."""
    leases: dict[str, Lease] = {}
    for row in csv.DictReader(text.splitlines()):
        address = row.get("address", "")
        leases.pop(address, None)
        lifetime, expire = row.get("valid_lifetime"), row.get("expire")
        if row.get("state") != _ACTIVE or not row.get("hwaddr") or lifetime == "0":
            continue
        leases[address] = Lease(
            mac=row["hwaddr"],
            address=address,
            ends=float(expire or 0),
            hostname=row.get("hostname", "").rstrip("."),
        )
    return tuple(leases.values())
