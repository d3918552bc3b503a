"""What Linux knows about a process: processor time, memory, bytes written."""

import re
import time
from pathlib import Path

_CPUCLOCK_SCHED = 2
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(?P<file>.*)")
_SHARE = re.compile(r"(?P<which>Rss|Pss):\s+(?P<kilobytes>\d+) kB")


def cpu_s(pid: int) -> float:
    """Returns the processor time of all threads of a process, seconds.

    The kernel's clock of another process (``clock_getcpuclockid``), in nanoseconds;
    ``/proc/<pid>/stat`` counts in hundredths of a second, more than a heartbeat takes.
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def pss_bytes(pid: int) -> int:
    """Returns the memory of a process, with each shared page split among its users."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") * 1024


def alone_bytes(pid: int) -> int:
    """Returns what ``pss_bytes`` would be if no other Python ran on the machine.

    The interpreter and its extensions count in full; the C library, OpenSSL and what
    else the system's programs use are split among their users as they are.
    """
    counted, total = "Pss", 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if mapping := _MAPPING.fullmatch(line):
            counted = "Rss" if "python" in mapping["file"] else "Pss"
        elif (share := _SHARE.fullmatch(line)) and share["which"] == counted:
            total += int(share["kilobytes"])
    return total * 1024


def rss_bytes(pid: int) -> int:
    """Returns the resident memory of a process, shared pages counted in full."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") * 1024


def written_bytes(pid: int) -> int:
    """Returns how much a process has made dirty on block devices since it began.

    Sockets do not count, pipes and tmpfs neither; a log on disk does.
    """
    return _number(Path(f"/proc/{pid}/io"), "write_bytes")


def passed_to_write_bytes(pid: int) -> int:
    """Returns how much a process gave to ``write(2)``: files and pipes, not sockets."""
    return _number(Path(f"/proc/{pid}/io"), "wchar")


def _number(path: Path, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+)", path.read_text(), re.MULTILINE)
    if found is None:
        text = f"{path} has no line {key!r}"
        raise LookupError(text)
    return int(found[1])


_kilobytes = _number
