"""What Linux knows about a process: processor time, memory, bytes written."""

import re
import time
from pathlib import Path

_CPUCLOCK_SCHED = 2


def cpu_s(pid: int) -> float:
    """Return the processor time of all threads of a process, seconds.

    The kernel's clock of another process (``clock_getcpuclockid``), in nanoseconds;
    ``/proc/<pid>/stat`` counts in hundredths of a second, more than a heartbeat takes.
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def pss_bytes(pid: int) -> int:
    """Return the memory of a process, with each shared page split among its users."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") * 1024


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process, shared pages counted in full."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") * 1024


def written_bytes(pid: int) -> int:
    """Return how much a process has made dirty on block devices since it began.

    Sockets do not count, pipes and tmpfs neither; a log on disk does.
    """
    return _number(Path(f"/proc/{pid}/io"), "write_bytes")


def passed_to_write_bytes(pid: int) -> int:
    """Return how much a process gave to ``write(2)``: files and pipes, not sockets."""
    return _number(Path(f"/proc/{pid}/io"), "wchar")


def _number(path: Path, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+)", path.read_text(), re.MULTILINE)
    if found is None:
        text = f"{path} has no line {key!r}"
        raise LookupError(text)
    return int(found[1])


_kilobytes = _number
