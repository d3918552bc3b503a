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
from provisioning.errors import BackendError, RefusedError
from provisioning.reservation import Reservation
from provisioning.subnet import Subnet

PACKAGE = "kea-dhcp4-server"
CONTROL_S = 10.0
FOLDER_MODE = 0o750
_ACTIVE = "0"
_HOOKS = "/usr/lib/*/kea/hooks/libdhcp_lease_cmds.so"


def command(folder: Path) -> list[str]:
    """Return the command that runs Kea on a folder's configuration.

    Raises:
        BackendError: It is not installed.
    """
    return [files.find("kea-dhcp4", PACKAGE), "-c", str(folder / "kea.json")]


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep Kea's files in our folder.

    Kea 2.6 refuses a control socket and a lease file elsewhere than where these say;
    ``kea-dhcp4 -t`` does not look at that, so a server that starts without them ends.
    """
    names = ("PIDFILE", "LOCKFILE", "CONTROL_SOCKET", "DHCP_DATA")
    return {f"KEA_{name}_DIR": str(folder) for name in names}


class Kea:
    """Kea's file, control socket and leases.

    Args:
        folder: Where they are.
        unit: Whether a unit of the system runs Kea, and sets the mode of the folder.
    """

    name = "kea"

    def __init__(self, folder: Path, *, unit: bool = False) -> None:
        self._unit = unit
        self.environment: Mapping[str, str] = environment(folder)

    def path(self, folder: Path) -> Path:
        """Return where the file lies."""
        return folder / "kea.json"

    def render(
        self, subnet: Subnet, folder: Path, rows: Collection[Reservation]
    ) -> str:
        """Return the file's text."""
        dhcp4 = {
            "interfaces-config": {
                "interfaces": [subnet.interface],
                "service-sockets-max-retries": 86_400,
                "service-sockets-retry-wait-time": 1000,
            },
            "control-socket": {
                "socket-type": "unix",
                "socket-name": str(folder / "control"),
            },
            "lease-database": {
                "type": "memfile",
                "persist": True,
                "name": str(folder / "leases.csv"),
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

    def test(self, draft: Path) -> list[str]:
        """Return the command that judges a file."""
        return [files.find("kea-dhcp4", PACKAGE), "-t", str(draft)]

    def prepare(self, folder: Path) -> None:
        """Gives the folder the one mode in which Kea 2.6 makes its control socket.

        Raises:
            BackendError: It belongs to another user.
        """
        if self._unit or stat.S_IMODE(folder.stat().st_mode) == FOLDER_MODE:
            return
        try:
            folder.chmod(FOLDER_MODE)
        except OSError as error:
            text = f"{folder}: Kea needs its mode to be 0750: {error.strerror}"
            raise BackendError(text) from error

    def leases(self, folder: Path) -> tuple[Lease, ...]:
        """Return what is lent; also what has ended, with its end."""
        return parse_leases(files.read(folder / "leases.csv") or "")

    async def renew(self, daemon: Daemon, folder: Path) -> None:
        """Let Kea read its file again; start it again where it does not answer.

        Raises:
            BackendError: It would not, or does not come up.
        """
        try:
            await control(folder, "config-reload")
        except RefusedError:
            raise
        except BackendError:
            await daemon.restart()

    async def take_back(self, lease: Lease, folder: Path) -> None:
        """End the lease: Kea would let its holder keep a reserved address."""
        await control(folder, "lease4-del", {"ip-address": lease.address})


def _lease_commands() -> list[dict[str, str]]:
    """Return the hook that ends single leases, where it is installed."""
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
    """Say something to Kea over its control socket.

    Args:
        folder: Where the socket is.
        verb: Kea's own word.
        arguments: Of the verb.

    Raises:
        RefusedError: Kea would not.
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
        raise RefusedError(text)


def parse_leases(text: str) -> tuple[Lease, ...]:
    """Return the leases in Kea's file: the last row about an address holds."""
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
