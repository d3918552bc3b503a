"""Invented nodes and what they say, as the contract spells it."""

import random

from broker.contract.messages import Ability, Details, Heartbeat, Throttled, encode
from broker.contract.topics import NodeLeaf, Topics

RACK = "bench"
TOPICS = Topics(RACK)

_ALIASES = ("identify", "reboot", "refresh", "shutdown", "temperature", "update")


def node_id(number: int) -> str:
    """Returns the id of an invented node, counted from 0."""
    return f"pi-{0x5200_0000 + number:08x}"


def topic(number: int, leaf: NodeLeaf) -> str:
    """Returns one of an invented node's topics."""
    return TOPICS.node(node_id(number), leaf)


def session(number: int) -> str:
    """Returns the id of an invented node's only connection."""
    return f"{number:016x}"


def details(number: int, interval_s: float) -> bytes:
    """Returns what an invented node says about its board, about 900 bytes."""
    mac = (
        f"dc:a6:32:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    )
    return encode(
        Details(
            session=session(number),
            boot_id=f"3f1c5d0e-0000-4000-8000-{number:012x}",
            hostname=f"node-{number}",
            interval_s=interval_s,
            agent_version="0.1.0",
            model="Raspberry Pi 4 Model B Rev 1.4",
            serial=f"{0x5200_0000 + number:016x}",
            macs=(mac,),
            addresses=(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",),
            os="Debian GNU/Linux 12 (bookworm)",
            kernel="6.6.31+rpt-rpi-v8",
            architecture="aarch64",
            cpu_count=4,
            memory_bytes=4 << 30,
            disk_bytes=32 << 30,
            abilities=tuple(Ability(verb=alias) for alias in _ALIASES),
            clock_synced=True,
            simulated=True,
        )
    )


def heartbeat(
    number: int, seq: int, rng: random.Random, *, temperature_c: float | None = None
) -> bytes:
    """Returns a heartbeat of about 300 bytes.

    Args:
        number: Of the node.
        seq: Of the heartbeat.
        rng: Source of the vitals.
        temperature_c: In °C; None for an invented one.
    """
    if temperature_c is None:
        temperature_c = round(rng.uniform(40, 60), 1)
    return encode(
        Heartbeat(
            session=session(number),
            seq=seq,
            ts=1_700_000_000.0 + seq,
            uptime_s=1_000.0 + seq,
            cpu_percent=round(rng.uniform(1, 60), 1),
            load=(0.52, 0.58, 0.59),
            memory_percent=round(rng.uniform(20, 60), 1),
            swap_percent=0.0,
            disk_percent=41.5,
            disk_read_only=False,
            temperature_c=temperature_c,
            throttled=Throttled(),
            rx_bytes=10_000 * seq,
            tx_bytes=7_000 * seq,
            disk_written_bytes=512 * seq,
        )
    )
