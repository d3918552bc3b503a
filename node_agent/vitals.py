"""This machine as a ``Board``: from psutil, the device tree, sysfs and procfs.

Everything read here is in memory, so a reading takes a few milliseconds and is done on
the loop; what would wait (``vcgencmd``) is started and collected later. Each value is
read on its own: one that cannot be read costs that value, never the heartbeat.
"""

import contextlib
import fnmatch
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from broker.common import kernel_clock
from node_agent import disk, identity, report
from node_agent.board import MachineFacts, Vitals
from node_agent.throttle import Ask, Throttle, Vcgencmd

log = logging.getLogger(__name__)

T = TypeVar("T")

_CPU_ZONES = (
    "cpu-thermal",
    "cpu_thermal",
    "soc-thermal",
    "x86_pkg_temp",
    "acpitz",
    "cpu*",
    "*cpu-therm*",
    "bigcore*",
    "littlecore*",
    "soc*",
)
"""Types of thermal zones that are a processor, in lower case, the best first."""
_NO_ZONES = ("pmic*",)
"""Sensors of the supply, which always say the same or something else."""

LONGEST_UPTIME_S = 1e9
"""Thirty years: more is nonsense."""
_THOUSANDTHS = re.compile(r"-?[0-9]{1,9}")

_DEFAULT_ROUTE = ("00000000", "00000000")


class LinuxBoard:
    """The machine this process runs on; a Raspberry Pi or any other Linux.

    Args:
        root: Where its file systems are; anything but ``/`` is a recorded tree.
        ask: Starts the program that asks the firmware for its throttle bits.
        clock_synced: Says whether the clock is set.
        temperature: Type of the thermal zone to read; empty chooses one.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        clock: Callable[[], float] = time.monotonic,
        ask: Ask = Vcgencmd,
        clock_synced: Callable[[], bool | None] = kernel_clock.synced,
        temperature: str = "",
    ) -> None:
        self._root = root
        self._clock_synced = clock_synced
        self._throttle = Throttle(
            root=root, raspberry=identity.is_raspberry(root), clock=clock, ask=ask
        )
        self._wanted_zone = temperature
        self._zone = _cpu_zone(root, temperature)
        self._cpu_before: psutil._pslinux.scputimes | None = None
        self._failing: dict[str, str] = {}
        """Why a vital could not be read the last time, by name."""
        self._failed: dict[str, str] = {}
        """The same since details were asked for: one that comes and goes is listed."""
        self._logged: set[str] = set()
        self.vitals()

    def facts(self) -> MachineFacts:
        """Returns what changes rarely."""
        with _psutil_reads(self._root / "proc"):
            return self._facts(self._root)

    def _facts(self, root: Path) -> MachineFacts:
        if self._zone is None:
            self._zone = _cpu_zone(root, self._wanted_zone)
        mounts = disk.mounts_of(root)
        unreadable, self._failed = self._failed, dict(self._failing)
        return MachineFacts(
            boot_id=identity.read_text(root / "proc/sys/kernel/random/boot_id")
            or "unknown",
            hostname=identity.read_text(root / "proc/sys/kernel/hostname"),
            model=identity.model(root),
            serial=identity.serial(root),
            macs=identity.hardware_addresses(root),
            addresses=_or((), lambda: _addresses(root)),
            os=_os_name(identity.read_text(root / "etc/os-release")),
            kernel=identity.read_text(root / "proc/sys/kernel/osrelease"),
            architecture=architecture(os.uname().machine),
            cpu_count=_or(0, lambda: psutil.cpu_count() or 0),
            memory_bytes=_or(0, lambda: psutil.virtual_memory().total),
            disk_bytes=_or(
                0, lambda: psutil.disk_usage(disk.measured_path(root, mounts)).total
            ),
            clock_synced=self._clock_synced(),
            disk_errors=disk.recorded_errors(root, mounts),
            unreadable=unreadable,
        )

    def vitals(self) -> Vitals:
        """Returns what changes from one heartbeat to the next."""
        with _psutil_reads(self._root / "proc"):
            return self._vitals(self._root)

    def _vitals(self, root: Path) -> Vitals:
        read, mounts = self._read, disk.mounts_of(root)
        received, sent = read(lambda: _network_bytes(root), "rx_bytes", "tx_bytes") or (
            None,
            None,
        )
        return Vitals(
            uptime_s=_uptime_s(root),
            cpu_percent=read(self._cpu_percent, "cpu_percent"),
            load=read(lambda: _load(root), "load"),
            memory_percent=read(
                lambda: _memory_percent(root, mounts), "memory_percent"
            ),
            swap_percent=read(lambda: psutil.swap_memory().percent, "swap_percent"),
            disk_percent=read(lambda: _disk_percent(root, mounts), "disk_percent"),
            disk_read_only=read(lambda: disk.takes_no_writes(mounts), "disk_read_only"),
            temperature_c=read(self._temperature, "temperature_c"),
            throttled=read(self._throttle.read, "throttled"),
            rx_bytes=received,
            tx_bytes=sent,
            disk_written_bytes=read(lambda: _written_bytes(root), "disk_written_bytes"),
        )

    def wall_time(self) -> float:
        """Returns the machine's own clock, Unix seconds."""
        return time.time()

    def _read(self, reading: Callable[[], T], *names: str) -> T | None:
        """Returns one or more vitals; None and a reason in details if that fails."""
        try:
            value = reading()
        except Exception as error:  # noqa: BLE001  # psutil raises anything for a file it does not know
            for name in names:
                self._note_failure(name, error)
            return None
        for name in names:
            self._failing.pop(name, None)
        return value

    def _note_failure(self, name: str, error: Exception) -> None:
        # The first reason stays: one with a counter in it would change all the time.
        reason = self._failing.setdefault(name, _reason(error))
        self._failed[name] = reason
        if name not in self._logged:
            self._logged.add(name)
            log.warning("%s cannot be read: %s (logged once)", name, reason)

    def _cpu_percent(self) -> float | None:
        """Returns the busy share since the last reading; None for the first."""
        before, now = self._cpu_before, psutil.cpu_times()
        self._cpu_before = now
        if before is None:
            return None
        # The kernel counts a guest's time in user and nice as well.
        total = (sum(now) - _guest(now)) - (sum(before) - _guest(before))
        idle = (now.idle + now.iowait) - (before.idle + before.iowait)
        return 0.0 if total <= 0 else min(100.0, max(0.0, 100 * (1 - idle / total)))

    def _temperature(self) -> float | None:
        if self._zone is None:
            if self._wanted_zone:
                text = f"no thermal zone is of type {self._wanted_zone!r}"
                raise LookupError(text)
            return None
        text = (self._zone / "temp").read_text(encoding="utf-8").strip()
        value = int(text) / 1000 if _THOUSANDTHS.fullmatch(text) else 0.0
        # Exactly 0 is what many sensors say when they could not measure.
        if value == 0 or not report.COLDEST_C <= value <= report.HOTTEST_C:
            kind = identity.read_text(self._zone / "type")
            text = f"{kind} says {text[:20]!r} thousandths of a degree"
            raise ValueError(text)
        return value


@contextlib.contextmanager
def _psutil_reads(proc: Path) -> Iterator[None]:
    """Makes psutil read another ``proc``: it knows one for the whole process."""
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(proc)
    try:
        yield
    finally:
        psutil.PROCFS_PATH = before


def architecture(machine: str, *, wide: bool = sys.maxsize > 2**32) -> str:
    """Returns the kernel's machine type; with the programs' where that differs.

    Args:
        machine: As ``uname`` says.
        wide: Whether this very program has 64 bits.
    """
    if machine.endswith(("64", "64le", "s390x", "alpha", "64be")) == wide:
        return machine
    return f"{machine} ({64 if wide else 32}-bit programs)"


def _or(otherwise: T, reading: Callable[[], T]) -> T:
    try:
        return reading()
    except Exception as error:  # noqa: BLE001  # as in LinuxBoard._read
        log.debug("a fact cannot be read: %r", error)
        return otherwise


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error) or type(error).__name__


def _guest(times: psutil._pslinux.scputimes) -> float:
    return float(times.guest + times.guest_nice)


def _cpu_zone(root: Path, wanted: str = "") -> Path | None:
    """Returns the thermal zone of the processor, the first one if no type is known.

    Args:
        wanted: Its type; empty looks for the processor's.
    """
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    kinds = [(identity.read_text(zone / "type").lower(), zone) for zone in zones]
    for pattern in (wanted.lower(),) if wanted else _CPU_ZONES:
        for kind, zone in kinds:
            if kind == pattern or (not wanted and fnmatch.fnmatchcase(kind, pattern)):
                return zone
    others = [
        zone
        for kind, zone in kinds
        if not any(fnmatch.fnmatchcase(kind, pattern) for pattern in _NO_ZONES)
    ]
    return others[0] if others and not wanted else None


def _uptime_s(root: Path) -> float:
    """Returns the uptime; from the kernel's clock where the file cannot be read."""
    try:
        uptime_s = float(identity.read_text(root / "proc/uptime").split()[0])
    except (ValueError, IndexError):
        uptime_s = -1.0
    if 0 <= uptime_s < LONGEST_UPTIME_S:
        return uptime_s
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _load(root: Path) -> tuple[float, float, float]:
    path = root / "proc/loadavg"
    words = path.read_text(encoding="utf-8").split()
    try:
        one, five, fifteen = map(float, words[:3])
    except ValueError as error:
        text = f"{path}: {' '.join(words)[:40]!r} does not begin with three numbers"
        raise ValueError(text) from error
    return one, five, fifteen


def _memory_percent(root: Path, mounts: Sequence[disk.Mount]) -> float:
    """Returns the memory in use, without what ZFS gives back when it is wanted."""
    memory = psutil.virtual_memory()
    if memory.total <= 0:
        text = "meminfo says that there is no memory"
        raise ValueError(text)
    cached = _zfs_cache(root, mounts)
    if not cached:
        return float(memory.percent)
    free = min(memory.total, memory.available + cached)
    return round(100 * (memory.total - free) / memory.total, 1)


def _disk_percent(root: Path, mounts: Sequence[disk.Mount]) -> float:
    path = disk.measured_path(root, mounts)
    usage = psutil.disk_usage(path)
    if usage.total <= 0:
        text = f"{path} says that it has no size"
        raise ValueError(text)
    return float(usage.percent)


def _zfs_cache(root: Path, mounts: Sequence[disk.Mount]) -> int:
    """Returns how many bytes the ARC of ZFS would give back; 0 in a container.

    There ``meminfo`` is lxcfs's, which does not count the host's cache as used.
    """
    lines = identity.read_text(root / "proc/spl/kstat/zfs/arcstats").splitlines()
    rows = [line.split() for line in lines]
    numbers = {row[0]: row[-1] for row in rows if row and row[-1].isdecimal()}
    if "size" not in numbers:
        return 0
    if any(one.point == "/proc/meminfo" and "lxcfs" in one.kind for one in mounts):
        return 0
    return max(0, int(numbers["size"]) - int(numbers.get("c_min", "0")))


# -- traffic, disks, addresses ----------------------------------------------------


def _network_bytes(root: Path) -> tuple[int, int]:
    """Returns bytes received and sent by the interfaces that lead out of the machine.

    Those with a device; in a container, where none has one, all that are not bridges,
    tunnels or cables to further containers. What passes such a one passes an interface
    with a device too, and would count twice.
    """
    net = root / "sys/class/net"
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    if not counters:
        text = "/proc/net/dev lists no interface"
        raise LookupError(text)
    counted = [one for name, one in counters.items() if _has_device(net / name)]
    if not counted:
        counted = [
            one
            for name, one in counters.items()
            if not identity.leads_inside(net / name)
        ]
    return (
        sum(one.bytes_recv for one in counted),
        sum(one.bytes_sent for one in counted),
    )


def _has_device(directory: Path) -> bool:
    return (directory / "device").exists()


def _written_bytes(root: Path) -> int:
    """Returns bytes written to real disks; a partition or a loop would count twice."""
    counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    block = root / "sys/block"
    return sum(
        one.write_bytes for name, one in counters.items() if _has_device(block / name)
    )


def _addresses(root: Path) -> tuple[str, ...]:
    """Returns IP addresses without loopback and link-local, the likeliest first.

    That of the interface with the default route; then those with a device, wired ones
    first; those of container networks last.
    """
    outward = _default_interface(root)
    preferred = [one.name for one in identity.interfaces(root)]
    net = root / "sys/class/net"
    found: list[tuple[bool, bool, int, bool, str]] = []
    for name, addresses in psutil.net_if_addrs().items():
        rank = preferred.index(name) if name in preferred else len(preferred)
        inside = identity.named_inside(name) and not _has_device(net / name)
        found.extend(
            (name != outward, inside, rank, one.family == socket.AF_INET6, one.address)
            for one in addresses
            if one.family in {socket.AF_INET, socket.AF_INET6}
            and report.is_address(one.address)
        )
    return tuple(dict.fromkeys(address for *_, address in sorted(found)))


def _default_interface(root: Path) -> str:
    """Returns the interface with the default route; empty if none has it."""
    lines = identity.read_text(root / "proc/net/route").splitlines()[1:]
    rows = [line.split() for line in lines]
    default = [
        (int(row[6]), row[0])
        for row in rows
        if len(row) > 7 and (row[1], row[7]) == _DEFAULT_ROUTE and row[6].isdecimal()  # noqa: PLR2004  # columns of the file
    ]
    return min(default)[1] if default else ""


def _os_name(release: str) -> str:
    """Returns the distribution's own name for itself, from ``os-release``."""
    for line in release.splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip("\"'")
    return ""
