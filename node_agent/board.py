"""What a node can say about its machine: one interface, a real one and invented ones.

``node_agent.vitals.LinuxBoard`` reads this machine, the simulator invents a board, and
``FakeBoard`` says what a test tells it to.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from broker.contract.messages import Throttled


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What changes rarely; the board's share of ``Details``.

    Args:
        boot_id: The kernel's random id of this boot.
        hostname: As the machine calls itself; no identity, for cloned cards share it.
        model: Board model; empty where the machine has no device tree.
        serial: Board serial, 16 hex digits; empty where the machine has none.
        macs: Hardware addresses, wired first, ``aa:bb:cc:dd:ee:ff``.
        addresses: IP addresses, of wired interfaces first, without loopback.
        os: Distribution and version.
        kernel: Kernel release.
        disk_bytes: Size of the root file system, bytes.
        clock_synced: Whether the kernel says its clock is set; None if not known.
        disk_errors: Errors that the root file system has recorded; None where none are
            counted.
        unreadable: Vitals that cannot be read, and why, by name.
        simulated: True for an invented board.
    """

    boot_id: str
    hostname: str
    model: str = ""
    serial: str = ""
    macs: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    os: str = ""
    kernel: str = ""
    architecture: str = ""
    cpu_count: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    clock_synced: bool | None = None
    disk_errors: int | None = None
    unreadable: Mapping[str, str] = {}
    simulated: bool = False


Facts = MachineFacts
"""The name of earlier releases, for nodes of users that import it."""


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What changes from one heartbeat to the next; the board's share of ``Heartbeat``.

    Any value but the uptime is None where it cannot be read.

    Args:
        uptime_s: Seconds since boot.
        cpu_percent: Busy share of all processors since the last reading.
        load: Load averages over 1, 5 and 15 minutes.
        memory_percent: Memory in use.
        disk_percent: Root file system in use.
        swap_percent: Swap in use.
        disk_read_only: The root file system is mounted read-only.
        temperature_c: Processor temperature in °C; None where there is no sensor.
        throttled: Throttle bits; None on a machine without that firmware.
        rx_bytes: Received since boot, on the interfaces that lead out of the machine.
        tx_bytes: Sent since boot, on the same interfaces.
        disk_written_bytes: Written to block devices since boot.
    """

    uptime_s: float
    cpu_percent: float | None = None
    load: tuple[float, float, float] | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None
    swap_percent: float | None = None
    disk_read_only: bool | None = None
    temperature_c: float | None = None
    throttled: Throttled | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    disk_written_bytes: int | None = None


class Board(Protocol):
    """A machine that is asked about itself on the agent's loop: answers are quick."""

    def facts(self) -> MachineFacts:
        """Returns what changes rarely; asked at every connect."""

    def vitals(self) -> Vitals:
        """Returns what changes; asked once a heartbeat."""

    def wall_time(self) -> float:
        """Returns the node's own clock, Unix seconds; it may be wrong."""


class FakeBoard:
    """A board that says what a test tells it to: assign to its attributes."""

    def __init__(self) -> None:
        self.facts_now = MachineFacts(
            boot_id="3f1c5d0e-0000-4000-8000-000000000001",
            hostname="raspberrypi",
            clock_synced=True,
        )
        self.vitals_now = Vitals(
            uptime_s=60.0,
            cpu_percent=12.5,
            load=(0.1, 0.2, 0.3),
            memory_percent=40.0,
            disk_percent=30.0,
            temperature_c=48.5,
        )
        self.now = 1_700_000_000.0
        """What its clock shows, Unix seconds."""

    def facts(self) -> MachineFacts:
        """Returns ``facts_now``."""
        return self.facts_now

    def vitals(self) -> Vitals:
        """Returns ``vitals_now``."""
        return self.vitals_now

    def wall_time(self) -> float:
        """Returns ``now``."""
        return self.now
