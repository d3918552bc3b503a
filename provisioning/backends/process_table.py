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
        return bool(listening & _own_sockets(pid))
    except OSError:
        return False


def somebody_serves_dhcp() -> bool:
    """Whether any process of this machine has UDP port 67 open."""
    try:
        return bool(_sockets_on_67(Path("/proc/thread-self/net/udp")))
    except OSError:
        return False


def _sockets_on_67(table: Path) -> set[str]:
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return {row[_INODE] for row in rows if row[_LOCAL_ADDRESS].endswith(_PORT_67)}


def _own_sockets(pid: int) -> set[str]:
    """Return the socket inodes a process has open."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # closed in this moment
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found
