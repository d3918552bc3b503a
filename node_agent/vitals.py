"""This machine as a ``Board``: from psutil, the device tree, sysfs and procfs.

Everything read here is in memory, so a reading takes a few milliseconds and is done on
the loop; what would wait (``vcgencmd``) is started and collected later.
"""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from node_agent import identity, kernel_clock
from node_agent.board import Facts, Vitals
from node_agent.throttle import Ask, Throttle, ask_firmware

_CPU_ZONES = ("cpu-thermal", "cpu_thermal", "soc-thermal", "x86_pkg_temp", "acpitz")
"""Types of thermal zones that are a processor, the best first."""


class LinuxBoard:
    """The machine this process runs on; a Raspberry Pi or any other Linux.

    Args:
        root: Where its file systems are. Anything but ``/`` is a recorded tree, and
            makes psutil read its ``proc`` too, in the whole process.
        clock: Monotonic clock, seconds.
        ask: Starts the program that asks the firmware for its throttle bits.
        clock_synced: Says whether the clock is set.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        clock: Callable[[], float] = time.monotonic,
        ask: Ask = ask_firmware,
        clock_synced: Callable[[], bool | None] = kernel_clock.synced,
    ) -> None:
        self._root = root
        self._clock_synced = clock_synced
        psutil.PROCFS_PATH = str(root / "proc")
        self._throttle = Throttle(
            root=root, raspberry=identity.is_raspberry(root), clock=clock, ask=ask
        )
        self._zone = _cpu_zone(root)
        self._cpu_before = psutil.cpu_times()
        self._throttle.read()

    def facts(self) -> Facts:
        """Return what changes rarely."""
        root = self._root
        interfaces = identity.interfaces(root)
        return Facts(
            boot_id=identity.read_text(root / "proc/sys/kernel/random/boot_id")
            or "unknown",
            hostname=identity.read_text(root / "proc/sys/kernel/hostname"),
            model=identity.model(root),
            serial=identity.serial(root),
            macs=tuple(interface.mac for interface in interfaces),
            addresses=_addresses([interface.name for interface in interfaces]),
            os=_os_name(identity.read_text(root / "etc/os-release")),
            kernel=identity.read_text(root / "proc/sys/kernel/osrelease"),
            architecture=os.uname().machine,
            cpu_count=psutil.cpu_count() or 0,
            memory_bytes=psutil.virtual_memory().total,
            disk_bytes=psutil.disk_usage(str(root)).total,
            clock_synced=self._clock_synced(),
        )

    def vitals(self) -> Vitals:
        """Return what changes from one heartbeat to the next."""
        root = self._root
        received, sent = _network_bytes()
        return Vitals(
            uptime_s=float(_first_word(root / "proc/uptime") or 0),
            cpu_percent=self._cpu_percent(),
            load=_load(root),
            memory_percent=psutil.virtual_memory().percent,
            swap_percent=psutil.swap_memory().percent,
            disk_percent=psutil.disk_usage(str(root)).percent,
            disk_read_only=_read_only_root(identity.read_text(root / "proc/mounts")),
            temperature_c=self._temperature(),
            throttled=self._throttle.read(),
            rx_bytes=received,
            tx_bytes=sent,
            disk_written_bytes=_written_bytes(root),
        )

    def wall_time(self) -> float:
        """Return the machine's own clock, Unix seconds."""
        return time.time()

    def _cpu_percent(self) -> float:
        """Return the busy share since the last reading."""
        before, now = self._cpu_before, psutil.cpu_times()
        self._cpu_before = now
        # The kernel counts a guest's time in user and nice as well.
        total = (sum(now) - _guest(now)) - (sum(before) - _guest(before))
        idle = (now.idle + now.iowait) - (before.idle + before.iowait)
        return 0.0 if total <= 0 else min(100.0, max(0.0, 100 * (1 - idle / total)))

    def _temperature(self) -> float | None:
        if self._zone is None:
            return None
        try:
            return int(identity.read_text(self._zone)) / 1000
        except ValueError:
            return None


def _guest(times: psutil._pslinux.scputimes) -> float:
    return float(times.guest + times.guest_nice)


def _cpu_zone(root: Path) -> Path | None:
    """Return the temperature file of the processor, the first zone if none says so."""
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    kinds = {identity.read_text(zone / "type"): zone for zone in reversed(zones)}
    named = (kinds[kind] for kind in _CPU_ZONES if kind in kinds)
    zone = next(named, zones[0] if zones else None)
    return None if zone is None else zone / "temp"


def _first_word(path: Path) -> str:
    return identity.read_text(path).partition(" ")[0]


def _load(root: Path) -> tuple[float, float, float]:
    words = identity.read_text(root / "proc/loadavg").split()
    one, five, fifteen = (float(word) for word in words[:3] or ("0", "0", "0"))
    return one, five, fifteen


def _read_only_root(mounts: str) -> bool:
    """Whether what is mounted last on ``/`` is read-only."""
    options = ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if words[1:2] == ["/"]:
            options = words[3]
    return "ro" in options.split(",")


def _network_bytes() -> tuple[int, int]:
    """Return bytes received and sent by all interfaces but loopback."""
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    counted = [one for name, one in counters.items() if name != "lo"]
    return (
        sum(one.bytes_recv for one in counted),
        sum(one.bytes_sent for one in counted),
    )


def _written_bytes(root: Path) -> int:
    """Return bytes written to real disks; a partition or a loop would count twice."""
    counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    block = root / "sys/block"
    return sum(
        one.write_bytes
        for name, one in counters.items()
        if (block / name / "device").exists()
    )


def _addresses(preferred: list[str]) -> tuple[str, ...]:
    """Return IP addresses without loopback and link-local, wired interfaces first."""
    found: list[tuple[int, bool, str]] = []
    for name, addresses in psutil.net_if_addrs().items():
        rank = preferred.index(name) if name in preferred else len(preferred)
        found.extend(
            (rank, one.family == socket.AF_INET6, one.address)
            for one in addresses
            if one.family in {socket.AF_INET, socket.AF_INET6}
            and not one.address.startswith(("127.", "fe80:", "169.254."))
            and one.address != "::1"
        )
    return tuple(address for _, _, address in sorted(found))


def _os_name(release: str) -> str:
    """Return the distribution's own name for itself, from ``os-release``."""
    for line in release.splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip("\"'")
    return ""
