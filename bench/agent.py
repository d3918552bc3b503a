"""What an agent costs a Pi, beside psmqtt, Glances and a bare paho + psutil loop.

All four run at the same time, publish to the same broker at the same interval and are
measured over the same window, so that whatever disturbs one disturbs all.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import process
from bench.bus import Bus
from bench.figures import Figure, Target, at_most
from bench.sandbox import ROOT, BenchError, Sandbox

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
_UNIT = ROOT / "deploy" / "pirack-agent.service"

NODE = ("paho-mqtt", "psutil", "msgspec")
"""What a node installs; a development environment has packages that msgspec and others
import when they are there, and would make an agent look larger than it is."""

RIVALS = ("psmqtt==2.6.2", "Glances==4.5.8", "certifi")
"""Pinned, so that tables of different days compare; Glances' MQTT export imports
certifi without asking for it."""

_INSTALL_S = 300.0

# psmqtt and Glances, with the values of our heartbeat
_PSMQTT = """\
logging:
  level: WARNING
  report_status_period_sec: 3600
mqtt:
  broker:
    host: 127.0.0.1
    port: {port}
  clientid: psmqtt-bench
  publish_topic_prefix: psmqtt
schedule:
  - cron: "every {interval_s} seconds"
    tasks:
      - {{task: boot_time}}
      - {{task: cpu_percent}}
      - {{task: getloadavg, params: ["*"]}}
      - {{task: virtual_memory, params: [percent]}}
      - {{task: swap_memory, params: [percent]}}
      - {{task: disk_usage, params: [percent, "/"]}}
      - {{task: disk_io_counters, params: [write_bytes]}}
      - {{task: net_io_counters, params: [bytes_recv]}}
      - {{task: net_io_counters, params: [bytes_sent]}}
"""

_GLANCES = """\
[global]
check_update=False
[mqtt]
host=127.0.0.1
port={port}
password=bench
tls=False
topic=glances
topic_structure=per-plugin
"""

_GLANCES_PLUGINS = "cpu,load,mem,memswap,fs,diskio,network,sensors,uptime"


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
    """Runs all four for a minute and a quarter and returns what each took."""
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        with Bus(port, "#") as bus:
            runners = _start(sandbox, port)
            time.sleep(WARM_UP_S)
            for runner in runners:
                sandbox.require(runner.child, runner.name)
            bus.forget()
            costs = _watch(runners)
            _require_heartbeats(bus, runners)
    return _figures(costs)


def _start(sandbox: Sandbox, port: int) -> list[Runner]:
    interval = str(INTERVAL_S)
    node = prepared("node", NODE) / "python"
    venv = prepared("rivals", RIVALS)
    psmqtt = sandbox.write(
        "psmqtt.yaml", _PSMQTT.format(port=port, interval_s=INTERVAL_S)
    )
    glances = sandbox.write("glances.conf", _GLANCES.format(port=port))
    started = {
        OURS: _start_ours(sandbox, node, port),
        "bare loop": sandbox.start(
            "bare loop",
            [node, "-m", "bench.bare_agent", str(port), interval, "bare/vitals"],
            environment=ARENAS,
        ),
        "psmqtt": sandbox.start(
            "psmqtt",
            [venv / "psmqtt"],
            environment=ARENAS | {"PSMQTTCONFIG": str(psmqtt)},
        ),
        "Glances": sandbox.start(
            "Glances",
            [
                venv / "glances",
                *_glances_arguments(glances),
            ],
            environment=ARENAS | {"HOME": str(sandbox.folder)},
        ),
    }
    ends = {OURS: "/heartbeat", "psmqtt": "getloadavg/last1min", "Glances": "/load"}
    return [
        Runner(name, child, ends.get(name, "bare/vitals"))
        for name, child in started.items()
    ]


def _glances_arguments(config: Path) -> list[str]:
    """Returns the arguments that make Glances a quiet publisher of the same values."""
    return [
        *("--quiet", "--export", "mqtt", "--config", str(config)),
        *("--time", str(INTERVAL_S), "--disable-check-update"),
        *("--disable-plugin", "all", "--enable-plugin", _GLANCES_PLUGINS),
    ]


def _start_ours(sandbox: Sandbox, node: Path, port: int) -> "subprocess.Popen[bytes]":
    """Starts our agent as its unit does, which first has the byte code written."""
    config = sandbox.write(
        "pirack.toml",
        _CONFIG.format(port=port, interval_s=INTERVAL_S, folder=sandbox.folder),
    )
    program = sandbox.write("pirack-agent", _PROGRAM)
    unit = agent_unit(node, program, config, sandbox.folder / "byte-code")
    environment = ARENAS | {"PYTHONPATH": str(ROOT)}
    prepared = sandbox.start("byte code", unit.prepare, environment=environment)
    if prepared.wait(_PREPARE_S) != 0:
        text = f"no byte code: {sandbox.log('byte code')}"
        raise BenchError(text)
    return sandbox.start(OURS, unit.start, environment=environment)


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


class AgentUnit(msgspec.Struct, frozen=True):
    """The unit's two commands.

    Args:
        prepare: Writes the byte code; to be run to its end before the other.
        start: Is the agent.
    """

    prepare: list[str]
    start: list[str]


def agent_unit(python: Path, program: Path, config: Path, byte_code: Path) -> AgentUnit:
    """Returns the commands with these paths in place of those of a Pi.

    Args:
        python: The interpreter.
        program: The script ``pirack-agent``.
        config: The agent's ``pirack.toml``.
        byte_code: Folder that ``prepare`` fills.
    """
    text = _UNIT.read_text(encoding="utf-8")
    for there, here in (
        ("/opt/pirack/bin/python", python),
        ("/opt/pirack/bin/pirack-agent", program),
        ("/etc/pirack/pirack.toml", config),
        ("/var/cache/pirack-agent", byte_code),
    ):
        text = text.replace(there, str(here))
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    prepare = lines["ExecStartPre"].removeprefix("-!")
    return AgentUnit(shlex.split(prepare), shlex.split(lines["ExecStart"]))


def prepared(name: str, packages: tuple[str, ...]) -> Path:
    """Returns the ``bin`` folder of an environment; makes it if it is not there.

    Args:
        name: Of the environment.
        packages: What pip is asked for.

    Raises:
        BenchError: It could not be installed, for example without a network.
    """
    folder = Path(tempfile.gettempdir()) / f"pirack-bench-{name}-{os.getuid()}"
    marker = folder / "installed.txt"
    wanted = " ".join((sys.version, *packages))
    if not marker.exists() or marker.read_text() != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin" / "pip"), "install", "--quiet", *packages)
        marker.write_text(wanted)
    return folder / "bin"


def _run(*argv: str) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", b"") or b""
        text = f"{' '.join(argv)}: {error} {output.decode(errors='replace')[-500:]}"
        raise BenchError(text) from error
