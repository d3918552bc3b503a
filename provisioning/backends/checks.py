"""What can be checked on this machine: the interface, and who serves DHCP here."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from provisioning.common.errors import BackendError, ConfigurationRefusedError, Problem
from provisioning.common.subnet import Reservation, Subnet, validate
from provisioning.discovery.packet_socket import carrier, interface_addresses

_PORT_67 = "0043"
_LOCAL_ADDRESS, _INODE = 1, 9
"""Columns of ``/proc/net/udp``."""


def require_interface(subnet: Subnet) -> None:
    """Refuses to serve on an interface that is missing, before a server is started.

    Raises:
        BackendError: It is not there, or down.
    """
    if carrier(subnet.interface) is None:
        raise BackendError(interface_missing(subnet))


def interface_missing(subnet: Subnet) -> str:
    """Returns the text for an interface that is missing or down."""
    return f"interface {subnet.interface} is not there or down; bring it up"


def own_address_problems(subnet: Subnet, *, fatal: bool = True) -> tuple[Problem, ...]:
    """Returns whether the master has no address in the network that it asks in.

    Args:
        subnet: The network, as configured.
        fatal: No run begins without it.
    """
    try:
        ours = interface_addresses(subnet.interface)
    except OSError as error:
        text = f"the addresses of {subnet.interface} cannot be read: {error.strerror}"
        return (Problem(text=text),)
    if any(one.network.overlaps(subnet.network) for one in ours):
        return ()
    text = (
        f"interface {subnet.interface} has no address in {subnet.network} yet, so no "
        f"board can be asked there; give it {subnet.address}"
    )
    return (Problem(text=text, fatal=fatal),)


def address_problems(
    want: Collection[Reservation], subnet: Subnet
) -> tuple[Problem, ...]:
    """Returns why a set of reservations would be refused.

    Args:
        subnet: The network, which may be another one than when they were planned.
    """
    try:
        validate(want, subnet)
    except ConfigurationRefusedError as error:
        text = (
            f"{error}; set [install] back, or move install.sqlite out of its data_dir "
            "while the master is stopped: every board is then found and addressed "
            "from the start"
        )
        return (Problem(text=text, fatal=True),)
    return ()


def serving_problems(
    want: Collection[Reservation], subnet: Subnet, *, serving: bool, log: str
) -> tuple[Problem, ...]:
    """Returns what prevents our server from serving reservations on an interface.

    Args:
        serving: Whether our own server runs.
        log: Where a person reads its output.
    """
    problems = []
    link = carrier(subnet.interface)
    if link is None:
        problems.append(Problem(text=interface_missing(subnet), fatal=True))
    elif not link:
        text = f"interface {subnet.interface} has no link; check cable and switch"
        problems.append(Problem(text=text, passing=True))
    if not serving:
        why = f"see {log}"
        if somebody_serves_dhcp():
            why = "another program has UDP port 67; `pirack doctor` says which"
        text = f"our DHCP server does not run: {why}"
        problems.append(Problem(text=text, fatal=True))
    if link is not None:
        problems += own_address_problems(subnet)
    return (*problems, *address_problems(want, subnet))


# --- the process table ----------------------------------------------------------------


def is_running(pid: int, argv: Sequence[str]) -> bool:
    """Whether a process is this very command, and not another one with its pid."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return raw.rstrip(b"\0").split(b"\0") == [os.fsencode(word) for word in argv]


def serves_dhcp(pid: int) -> bool:
    """Whether a process of ours has UDP port 67 open."""
    try:
        listening = _sockets_on_67(Path(f"/proc/{pid}/net/udp"))
        return bool(listening & _own_sockets(Path(f"/proc/{pid}")))
    except OSError:
        return False


def somebody_serves_dhcp() -> bool:
    """Whether any process of this machine has UDP port 67 open."""
    try:
        return bool(_sockets_on_67(Path("/proc/thread-self/net/udp")))
    except OSError:
        return False


def dhcp_servers(proc: Path = Path("/proc")) -> tuple[tuple[int, str], ...]:
    """Returns who has UDP port 67 open: process id and command line.

    A process we may not look into is reported as 0, without a command line.
    """
    try:
        left = _sockets_on_67(proc / "net/udp")
    except OSError:
        return ()
    found = []
    for process in sorted(proc.glob("[0-9]*")) if left else ():
        try:
            mine = left & _own_sockets(process)
            line = (process / "cmdline").read_bytes() if mine else b""
        except OSError:
            continue  # ended, or not ours to look into
        if mine:
            left -= mine
            words = line.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            found.append((int(process.name), words))
    return (*found, (0, "")) if left else tuple(found)


def _sockets_on_67(table: Path) -> set[str]:
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return {row[_INODE] for row in rows if row[_LOCAL_ADDRESS].endswith(_PORT_67)}


def _own_sockets(process: Path) -> set[str]:
    """Returns the socket inodes a process has open."""
    found = set()
    for descriptor in (process / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # closed in this moment
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found
