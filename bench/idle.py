"""What the master's Pi pays while nothing happens: each service at rest."""

import time

import msgspec

from bench import process, services
from bench.bus import Bus
from bench.figures import Figure
from bench.invented import TOPICS
from bench.sandbox import Sandbox, free_port
from bench.servers import dashboard_table
from broker.contract.topics import NodeLeaf

CASE = "idle"
STACKS = 12
BOARDS = 4
REST_S = 10.0
WINDOW_S = 30.0
BROKER = "mosquitto"
SERVICES = ("master", "dashboard", "simulate")


class Rest(msgspec.Struct, frozen=True):
    """What a service takes at rest: percent of one core, and memory (PSS) in MB."""

    cpu_percent: float
    pss_mb: float


def measure() -> list[Figure]:
    """Watches the services of a resting rack of 48 simulated boards."""
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        settings = services.config(
            sandbox,
            port,
            services.master_table(sandbox),
            services.rack_tables(STACKS, BOARDS),
            dashboard_table(sandbox, free_port()),
        )
        services.start_master(sandbox, port, settings)
        for name in SERVICES[1:]:
            services.start(sandbox, name, settings)
        with Bus(port, TOPICS.node("+", NodeLeaf.STATE)) as bus:
            services.wait_online(bus, STACKS * BOARDS)
        time.sleep(REST_S)
        rests = _watch(
            {name: sandbox.children[name].pid for name in (*SERVICES, BROKER)}
        )
    return _figures(rests)


def _watch(pids: dict[str, int]) -> dict[str, Rest]:
    before = {name: process.cpu_s(pid) for name, pid in pids.items()}
    time.sleep(WINDOW_S)
    return {
        name: Rest(
            100 * (process.cpu_s(pid) - before[name]) / WINDOW_S,
            process.pss_bytes(pid) / 1e6,
        )
        for name, pid in pids.items()
    }


def _figures(rests: dict[str, Rest]) -> list[Figure]:
    floor = rests[BROKER]
    note = f"{STACKS * BOARDS} nodes at 10 s, no browser, over {WINDOW_S:g} s"
    found = []
    for name in SERVICES:
        rest = rests[name]
        found += [
            Figure(
                case=CASE,
                what=f"{name}: CPU",
                ours=rest.cpu_percent,
                unit="%",
                beside={"Mosquitto": floor.cpu_percent},
                note=note,
            ),
            Figure(
                case=CASE,
                what=f"{name}: memory (PSS)",
                ours=rest.pss_mb,
                unit="MB",
                beside={"Mosquitto": floor.pss_mb},
            ),
        ]
    return found
