"""What ``/proc`` tells about servers: who runs, and who listens for DHCP."""

import os
from collections.abc import Sequence
from pathlib import Path

_PORT_67 = "0043"
_LOCAL_ADDRESS, _INODE = 1, 9


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
    """Return who has UDP port 67 open: process id and command line.

    Whose processes cannot be looked into is told as process 0 without a command line.

    Args:
        proc: Where the process table is.
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
    """Return the socket inodes a process has open."""
    found = set()
    for descriptor in (process / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # closed in this moment
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found
