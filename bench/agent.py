"""What an agent costs a Pi, beside psmqtt, Glances and a bare paho + psutil loop.

All four run at the same time, publish to the same broker at the same interval and are
measured over the same window, so that whatever disturbs one disturbs all.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import environments, process, rivals
from bench.bus import Bus
from bench.figures import Figure, Target, at_most
from bench.unit import agent_unit
from bench.workshop import ROOT, BenchError, Workshop

CASE = "agent"
INTERVAL_S = 10
WARM_UP_S = 15.0
HEARTBEATS = 6
ARENAS = {"MALLOC_ARENA_MAX": "1"}
"""As in our unit (``deploy/pirack-agent.service``); for all four alike."""
OURS = "PiRack"

_CONFIG = """\
[rack]
name = "bench"
[broker]
port = {port}
[agent]
interval_s = {interval_s}
state_dir = "{folder}/state"
"""
_PROGRAM = """\
import sys
from node_agent.cli import main
sys.exit(main())
"""
"""What pip installs as ``pirack-agent``."""
_PREPARE_S = 60.0


class Runner(msgspec.Struct, frozen=True):
    """One program that publishes vitals.

    Args:
        name: What the table calls it.
        child: Its process.
        topic_end: How the topic ends that it publishes on once a heartbeat.
    """

    name: str
    child: "subprocess.Popen[bytes]"
    topic_end: str


class Cost(msgspec.Struct, frozen=True):
    """What a program took over the window.

    Args:
        pss_mb: Memory, shared pages split among their users, MB.
        alone_mb: The same if no other Python ran, MB.
        rss_mb: Memory, shared pages in full, MB.
        cpu_ms: Processor time per heartbeat, milliseconds.
        disk_bytes: Made dirty on block devices over the window.
        write_bytes: Given to ``write(2)`` over the window.
    """

    pss_mb: float
    alone_mb: float
    rss_mb: float
    cpu_ms: float
    disk_bytes: float
    write_bytes: float


def measure() -> list[Figure]:
    """Run all four for a minute and a quarter and return what each took."""
    with Workshop() as workshop:
        port = workshop.mosquitto()
        with Bus(port, "#") as bus:
            runners = _start(workshop, port)
            time.sleep(WARM_UP_S)
            for runner in runners:
                workshop.require(runner.child, runner.name)
            bus.forget()
            costs = _watch(runners)
            _require_heartbeats(bus, runners)
    return _figures(costs)


def _start(workshop: Workshop, port: int) -> list[Runner]:
    interval = str(INTERVAL_S)
    node = environments.prepared("node", environments.NODE) / "python"
    venv = environments.prepared("rivals", environments.RIVALS)
    psmqtt = workshop.write("psmqtt.yaml", rivals.psmqtt_config(port, INTERVAL_S))
    glances = workshop.write("glances.conf", rivals.glances_config(port))
    started = {
        OURS: _start_ours(workshop, node, port),
        "bare loop": workshop.start(
            "bare loop",
            [node, "-m", "bench.bare_agent", str(port), interval, "bare/vitals"],
            environment=ARENAS,
        ),
        "psmqtt": workshop.start(
            "psmqtt",
            [venv / "psmqtt"],
            environment=ARENAS | {"PSMQTTCONFIG": str(psmqtt)},
        ),
        "Glances": workshop.start(
            "Glances",
            [
                venv / "glances",
                *rivals.glances_arguments(glances, INTERVAL_S),
            ],
            environment=ARENAS | {"HOME": str(workshop.folder)},
        ),
    }
    ends = {OURS: "/heartbeat", "psmqtt": "getloadavg/last1min", "Glances": "/load"}
    return [
        Runner(name, child, ends.get(name, "bare/vitals"))
        for name, child in started.items()
    ]


def _start_ours(workshop: Workshop, node: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start our agent as its unit does, which first has the byte code written."""
    config = workshop.write(
        "pirack.toml",
        _CONFIG.format(port=port, interval_s=INTERVAL_S, folder=workshop.folder),
    )
    program = workshop.write("pirack-agent", _PROGRAM)
    unit = agent_unit(node, program, config, workshop.folder / "byte-code")
    environment = ARENAS | {"PYTHONPATH": str(ROOT)}
    prepared = workshop.start("byte code", unit.prepare, environment=environment)
    if prepared.wait(_PREPARE_S) != 0:
        text = f"no byte code: {workshop.log('byte code')}"
        raise BenchError(text)
    return workshop.start(OURS, unit.start, environment=environment)


def _require_heartbeats(bus: Bus, runners: list[Runner]) -> None:
    """A program that publishes nothing is cheap; it must not win by that."""
    topics = [topic for _, topic, _ in bus.heard()]
    for runner in runners:
        count = sum(topic.endswith(runner.topic_end) for topic in topics)
        if abs(count - HEARTBEATS) > 1:
            text = f"{runner.name} sent {count} heartbeats, {HEARTBEATS} were expected"
            raise BenchError(text)


def _watch(runners: list[Runner]) -> dict[str, Cost]:
    before = [_counters(runner.child.pid) for runner in runners]
    time.sleep(INTERVAL_S * HEARTBEATS)
    return {
        runner.name: _cost(runner.child.pid, earlier)
        for runner, earlier in zip(runners, before, strict=True)
    }


def _counters(pid: int) -> tuple[float, int, int]:
    return (
        process.cpu_s(pid),
        process.written_bytes(pid),
        process.passed_to_write_bytes(pid),
    )


def _cost(pid: int, before: tuple[float, int, int]) -> Cost:
    cpu_s, disk_bytes, write_bytes = _counters(pid)
    return Cost(
        pss_mb=process.pss_bytes(pid) / 1e6,
        alone_mb=process.alone_bytes(pid) / 1e6,
        rss_mb=process.rss_bytes(pid) / 1e6,
        cpu_ms=(cpu_s - before[0]) * 1000 / HEARTBEATS,
        disk_bytes=disk_bytes - before[1],
        write_bytes=write_bytes - before[2],
    )


def _figures(costs: dict[str, Cost]) -> list[Figure]:
    window = f"over {HEARTBEATS} heartbeats at {INTERVAL_S} s"

    def row(
        what: str,
        unit: str,
        value: Callable[[Cost], float],
        target: Target | None = None,
        note: str = "",
    ) -> Figure:
        values = {name: value(cost) for name, cost in costs.items()}
        ours = values.pop(OURS)
        return Figure(
            case=CASE,
            what=what,
            ours=ours,
            unit=unit,
            beside=values,
            target=target,
            note=note,
        )

    return [
        row(
            "memory (PSS)",
            "MB",
            lambda cost: cost.pss_mb,
            at_most(18),
            "a page that several processes share counts in part for each",
        ),
        row(
            "memory alone (PSS)",
            "MB",
            lambda cost: cost.alone_mb,
            note="if no other Python ran: the interpreter counts in full",
        ),
        row("memory (RSS)", "MB", lambda cost: cost.rss_mb),
        row(
            "CPU per heartbeat",
            "ms",
            lambda cost: cost.cpu_ms,
            at_most(10),
            f"{window}, everything between heartbeats included",
        ),
        row(
            "written to disk",
            "B",
            lambda cost: cost.disk_bytes,
            at_most(0),
            f"{window}; /proc/<pid>/io write_bytes, with the log on a disk",
        ),
        row("given to write(2)", "B", lambda cost: cost.write_bytes),
    ]
