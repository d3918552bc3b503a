"""Our own services as they run in production: a process each, from pirack.toml."""

import subprocess
from pathlib import Path

from bench.bus import Bus
from bench.invented import RACK, TOPICS
from bench.workshop import BenchError, Workshop

START_S = 30.0

_PIRACK = "import sys; from pirack.cli import main; sys.exit(main())"


def config(workshop: Workshop, port: int, *tables: str) -> Path:
    """Write a pirack.toml.

    Args:
        workshop: Where to.
        port: Of the broker.
        tables: Further tables, as TOML.
    """
    head = f'[rack]\nname = "{RACK}"\n[broker]\nport = {port}\n'
    return workshop.write("pirack.toml", head + "\n".join(tables))


def start(
    workshop: Workshop, service: str, settings: Path
) -> "subprocess.Popen[bytes]":
    """Start one service (``master``, ``simulate``, ``dashboard``)."""
    return workshop.python(
        service, "-c", _PIRACK, service, "--config", settings, "--log-level", "warning"
    )


def start_master(
    workshop: Workshop, port: int, settings: Path
) -> "subprocess.Popen[bytes]":
    """Start the master and wait until it says online."""
    with Bus(port, TOPICS.master_status) as bus:
        child = start(workshop, "master", settings)
        try:
            bus.wait(lambda _, payload: payload == b"online", START_S, "the master")
        except BenchError:
            workshop.require(child, "master")
            raise
    return child


def master_table(workshop: Workshop) -> str:
    """Return a ``[master]`` table: state in the workshop, silent nodes not pinged."""
    return f'[master]\ndata_dir = "{workshop.folder}/master"\nprobe = "none"\n'


def rack_rows(stacks: int, boards: int) -> str:
    """Return the tables of a regular rack of simulated boards."""
    rows = [f"[simulator]\nstacks = {stacks}\nboards = {boards}\n"]
    return "\n".join(rows)
