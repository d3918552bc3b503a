"""What a node says about itself: presence, details, heartbeat."""

import enum
from typing import Annotated

import msgspec

from broker.contract.messages.codec import (
    Celsius,
    Count,
    IpAddress,
    Load,
    MacAddress,
    Number,
    Payload,
    Percent,
    Seconds,
    ShortText,
    Token,
    UnixTime,
)

MAX_EXTRAS = 32
"""How many numbers of its own a node may add to a heartbeat."""

Extras = Annotated[dict[Token, Number], msgspec.Meta(max_length=MAX_EXTRAS)]


class Status(enum.StrEnum):
    """The plain text of ``status``; readable by Home Assistant without a template."""

    ONLINE = "online"
    OFFLINE = "offline"


class Ability(Payload, frozen=True, kw_only=True):
    """One order the node can really perform.

    Args:
        verb: Verb or alias.
        placeholders: Argument names the alias takes, in the order they appear.
        note: What it does, from the command file; may be empty.
    """

    verb: Token
    placeholders: tuple[ShortText, ...] = ()
    note: ShortText = ""


class Details(Payload, frozen=True, kw_only=True):
    """What changes rarely; retained on ``P/node/<id>/details``.

    Args:
        session: The connection that says this; every connection has its own.
        boot_id: The kernel's random id of this boot; empty: not known.
        hostname: As the node calls itself; cloned cards share it, so it is not an id.
        model: Board model, for example ``Raspberry Pi 4 Model B Rev 1.4``.
        serial: Board serial, hex; empty where the machine has none.
        macs: Hardware addresses, wired first, ``aa:bb:cc:dd:ee:ff``.
        addresses: IP addresses, the one that reaches the broker first.
        os: Distribution and version.
        kernel: Kernel release.
        architecture: Machine type, for example ``aarch64``.
        cpu_count: Logical processors.
        memory_bytes: Installed memory, bytes.
        disk_bytes: Size of the root file system, bytes.
        agent_version: Version of PiRack on the node.
        abilities: What it was probed to be able to do.
        unable: Why it cannot do what its command file has besides, by alias.
        unprobed: Aliases of which it is not known yet whether they work, and why, by
            alias. They are probed again; an order for one is tried.
        unreadable: Vitals that cannot be read, and why, by their name in the
            heartbeat, where they are null; ``vitals`` for all of them, ``extra`` for
            the node's own, ``commands`` for its command file.
        disk_errors: Errors that the root file system has recorded, ext4 only; None
            where none are counted.
        interval_s: Seconds between heartbeats; 0: as the rack expects them.
        clock_synced: Whether the kernel says its clock is set; None if not known.
        reason: Why the node says ``offline`` right after this; empty while online.
        simulated: True for an invented board.
        ts: Unix time of the node's clock, seconds; may be wrong.
    """

    session: Token
    boot_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    hostname: ShortText = ""
    interval_s: Seconds = 0.0
    agent_version: ShortText = ""
    model: ShortText = ""
    serial: ShortText = ""
    macs: tuple[MacAddress, ...] = ()
    addresses: tuple[IpAddress, ...] = ()
    os: ShortText = ""
    kernel: ShortText = ""
    architecture: ShortText = ""
    cpu_count: Count = 0
    memory_bytes: Count = 0
    disk_bytes: Count = 0
    abilities: tuple[Ability, ...] = ()
    unable: dict[Token, ShortText] = msgspec.field(default_factory=dict)
    unprobed: dict[Token, ShortText] = msgspec.field(default_factory=dict)
    unreadable: dict[Token, ShortText] = msgspec.field(default_factory=dict)
    disk_errors: Count | None = None
    clock_synced: bool | None = None
    reason: ShortText = ""
    simulated: bool = False
    ts: UnixTime = 0.0


class ThrottleFlag(enum.StrEnum):
    """What the Raspberry Pi firmware can complain about (bits 0-3 of get_throttled)."""

    UNDER_VOLTAGE = "under-voltage"
    FREQUENCY_CAPPED = "frequency-capped"
    THROTTLED = "throttled"
    SOFT_TEMPERATURE_LIMIT = "soft-temperature-limit"


class Throttled(Payload, frozen=True, kw_only=True):
    """The firmware's throttle bits.

    Args:
        now: What holds at this moment (bits 0-3).
        since_boot: What has held since boot (bits 16-19).
        unknown: Why they cannot be read, for example ``no permission``; when set, the
            other two say nothing: unknown is not ok.
    """

    now: tuple[ThrottleFlag, ...] = ()
    since_boot: tuple[ThrottleFlag, ...] = ()
    unknown: ShortText = ""


class Heartbeat(Payload, frozen=True, kw_only=True, omit_defaults=False):
    """The vitals of one moment; not retained, on ``P/node/<id>/heartbeat``.

    Any vital is null where it cannot be read; details then say why in ``unreadable``.

    Args:
        session: The connection that says this.
        seq: Counts up by one from 1 within a session.
        ts: Unix time of the node's clock, seconds; may be wrong.
        uptime_s: Seconds since boot.
        cpu_percent: Busy share of all processors since the last heartbeat.
        load: Load averages over 1, 5 and 15 minutes.
        memory_percent: Memory in use.
        swap_percent: Swap in use.
        disk_percent: Root file system in use.
        disk_read_only: The root file system is mounted read-only.
        temperature_c: Processor temperature in °C; None without a sensor, or if
            it reads less than -40 or more than 150.
        throttled: Throttle bits; None on a machine without that firmware.
        rx_bytes: Received since boot, on the interfaces that lead out of the machine.
        tx_bytes: Sent since boot, on the same interfaces.
        disk_written_bytes: Written to block devices since boot.
        extra: Numbers of the node's own, by name with the unit in it (``fan_rpm``);
            at most 32. What a node that does more reports.
    """

    session: Token
    seq: Count
    ts: UnixTime
    uptime_s: Seconds
    cpu_percent: Percent | None = None
    load: tuple[Load, Load, Load] | None = None
    memory_percent: Percent | None = None
    disk_percent: Percent | None = None
    swap_percent: Percent | None = None
    disk_read_only: bool | None = None
    temperature_c: Celsius | None = None
    throttled: Throttled | None = None
    rx_bytes: Count | None = None
    tx_bytes: Count | None = None
    disk_written_bytes: Count | None = None
    extra: Extras = msgspec.field(default_factory=dict)

    @property
    def has_vitals(self) -> bool:
        """Whether it tells anything of the board but its uptime."""
        return not (
            self.cpu_percent is None
            and self.memory_percent is None
            and self.disk_percent is None
            and self.temperature_c is None
            and self.load is None
        )
