"""What a known node costs the master in memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from broker.contract.messages import (
    Ability,
    Details,
    Heartbeat,
    Throttled,
    decode,
    encode,
)
from broker.contract.topics import Topics
from master_service.incidents.incidents import Incidents
from master_service.presence.node_tracker import NodeTracker
from master_service.presence.verdicts import Verdicts
from master_service.rack.events import Outbox
from master_service.rack.outlet_state import Panel
from master_service.rack.registry import Registry
from master_service.rack.settings import MasterSettings

if TYPE_CHECKING:
    from master_service.rack.node import RackNode

NODES = 500
VERBS = ("ping", "refresh", "run", "temperature", "uptime", "memory", "disk", "reboot")


def details(number: int) -> bytes:
    note = "What it does, in a few words"
    return encode(
        Details(
            session=f"session-{number:08}",
            boot_id=f"3f1c5d0e-0000-4000-8000-{number:012}",
            hostname=f"raspberrypi-{number}",
            interval_s=10.0,
            agent_version="0.1.0",
            model="Raspberry Pi 4 Model B Rev 1.4",
            serial=f"{number:016x}",
            macs=(f"dc:a6:32:{number:06x}",),
            addresses=("10.0.0.7", "fe80::1"),
            os="Debian GNU/Linux 12 (bookworm)",
            kernel="6.6.31+rpt-rpi-v8",
            abilities=tuple(Ability(verb=verb, note=note) for verb in VERBS),
        )
    )


def beat(number: int) -> bytes:
    return encode(
        Heartbeat(
            session=f"session-{number:08}",
            seq=1,
            ts=0.0,
            uptime_s=60.0,
            cpu_percent=5.0,
            load=(0.1, 0.1, 0.1),
            memory_percent=20.0,
            disk_percent=30.0,
            throttled=Throttled(),
        )
    )


def test_a_known_node_takes_at_most_20_kb() -> None:
    payloads = [(details(n), beat(n)) for n in range(NODES)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    registry, outbox = Registry(Topics("lab")), Outbox()
    incidents = Incidents(registry, Panel(()), outbox)
    judging = Verdicts(registry, Panel(()), outbox, MasterSettings(), incidents)
    judging.link_up(0.0, 0.0)
    watch = NodeTracker(registry, judging, outbox, incidents, clock_skew_s=10.0)
    for number, (said, beaten) in enumerate(payloads):
        node: RackNode = registry.add(f"pi-{number:08x}")
        watch.details(node, decode(said, Details), 1.0, stored=False)
        watch.heartbeat(node, decode(beaten, Heartbeat), 1.0)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / NODES <= 20_000
