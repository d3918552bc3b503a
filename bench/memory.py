"""How much memory the master needs for a node it knows, at five thousand of them."""

import random
import time

from bench import invented, process, services
from bench.figures import Figure, at_most
from bench.ingest import introduce
from bench.raw import RawPublisher, publish_packet
from bench.sandbox import BenchError, Sandbox
from broker.contract.topics import NodeLeaf

CASE = "memory"
NODES = 5000
SETTLE_S = 60.0
CALM_S = 1.0


def measure() -> list[Figure]:
    """Introduce the nodes and return what the master's memory grew by."""
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        settings = services.config(sandbox, port, services.master_table(sandbox))
        master = services.start_master(sandbox, port, settings)
        settle(master.pid)
        before = process.rss_bytes(master.pid)
        with RawPublisher(port) as publisher:
            introduce(publisher, NODES)
            publisher.send(_heartbeats())
            settle(master.pid)
        sandbox.require(master, "master")
        grown = process.rss_bytes(master.pid) - before
    figure = Figure(
        case=CASE,
        what=f"master, per known node at {NODES}",
        ours=grown / NODES / 1000,
        unit="kB",
        target=at_most(20),
        note="growth of resident memory from no node at all, divided by the nodes",
    )
    return [figure]


def settle(pid: int) -> None:
    """Waits until a process has little to do (under 5 % of a core for a second)."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        before = process.cpu_s(pid)
        time.sleep(CALM_S)
        if process.cpu_s(pid) - before < 0.05 * CALM_S:
            return
        if time.monotonic() > deadline:
            text = f"process {pid} was still busy after {SETTLE_S:g} s"
            raise BenchError(text)


def _heartbeats() -> bytes:
    rng = random.Random(2)  # noqa: S311  # invented vitals, no secret
    return b"".join(
        publish_packet(
            invented.topic(node, NodeLeaf.HEARTBEAT), invented.heartbeat(node, 1, rng)
        )
        for node in range(NODES)
    )
