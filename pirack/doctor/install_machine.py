"""This machine as the checks of ``[install]`` see it; a test gives another one."""

import asyncio
import functools
import json
import pwd
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from provisioning.backends import files
from provisioning.common.errors import NetworkError
from provisioning.common.network import ForeignServer
from provisioning.common.subnet import Subnet
from provisioning.discovery.prober import NetworkProber
from provisioning.discovery.sources import open_dhcp_socket
from provisioning.effects import SEARCH_S

IP_S = 5.0


class Machine(msgspec.Struct, frozen=True):
    """What is asked of a machine beside its files.

    Args:
        root: Where its files are, for a test.
        addresses: Returns an interface's IPv4 addresses with their prefixes.
        user_id: Returns the id of a user; None: there is none.
        listens: Opens a packet socket on an interface.
        servers: Returns the DHCP servers that answer and are not ours.
        program: Returns the path of a program of a package, or raises BackendError.
    """

    root: Path
    addresses: Callable[[str], tuple[str, ...]]
    user_id: Callable[[str], int | None]
    listens: Callable[[str], None]
    servers: Callable[[Subnet], tuple[ForeignServer, ...]]
    program: Callable[[str, str], str]

    def read(self, path: str) -> str:
        """Returns the text of a file; empty when there is none, or not for us."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def interfaces(self) -> tuple[str, ...]:
        """Returns the names of its network interfaces."""
        return tuple(sorted(one.name for one in self.root.glob("sys/class/net/*")))

    def flags(self, interface: str) -> int:
        """Returns the kernel's flags of an interface."""
        return int(self.read(f"sys/class/net/{interface}/flags") or "0", 16)

    def unit(self, name: str) -> dict[str, str] | None:
        """Returns the last value of each setting of a unit; None: it is not there."""
        text = self.read(f"etc/systemd/system/{name}")
        rows = (line.partition("=") for line in text.splitlines() if line[:1] != "#")
        found = {key: value for key, equals, value in rows if equals}
        return found or None


def here(search_s: float = SEARCH_S) -> Machine:
    """Returns this machine.

    Args:
        search_s: How long to wait for answers of DHCP servers, seconds.
    """
    return Machine(
        root=Path("/"),
        addresses=_addresses,
        user_id=_user_id,
        listens=_listens,
        servers=functools.partial(_servers, search_s),
        program=files.find,
    )


def _addresses(interface: str) -> tuple[str, ...]:
    command = ["ip", "-json", "-4", "address", "show", "dev", interface]
    try:
        done = subprocess.run(  # noqa: S603  # a name that `check` found to be one
            command, capture_output=True, timeout=IP_S, check=True
        )
        rows = json.loads(done.stdout or "[]")
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
    return tuple(
        f"{one['local']}/{one['prefixlen']}"
        for row in rows
        for one in row.get("addr_info", ())
    )


def _user_id(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _listens(interface: str) -> None:
    open_dhcp_socket(interface).close()


def _servers(search_s: float, subnet: Subnet) -> tuple[ForeignServer, ...]:
    wire = NetworkProber(subnet.interface, str(subnet.own), secrets.randbits)
    try:
        return asyncio.run(wire.servers(within_s=search_s))
    except NetworkError:
        return ()  # the interface's own finding says why
