"""``python -m bench [NAME …]``: measure, print one table, say what does not hold."""

import argparse
import compileall
import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import (
    agent,
    idle,
    ingest,
    memory,
    page,
    ping,
    provisioning,
    recovery,
    startup,
    turns,
)
from bench.figures import Figure, notes, table
from bench.sandbox import ROOT, BenchError

CASES: dict[str, Callable[[], list[Figure]]] = {
    agent.CASE: agent.measure,
    ingest.CASE: ingest.measure,
    memory.CASE: memory.measure,
    ping.CASE: ping.measure,
    page.CASE: page.measure,
    startup.CASE: startup.measure,
    recovery.CASE: recovery.measure,
    idle.CASE: idle.measure,
    provisioning.CASE: provisioning.measure,
    turns.CASE: turns.measure,
}

PACKAGES = ("bench", "broker", "dashboard", "master_service", "node_agent", "pirack")

EXIT_OK = 0
EXIT_MISSED = 1
EXIT_BROKEN = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what was asked for and returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in CASES:
            parser.error(f"no measurement {name!r}; there are {', '.join(CASES)}")
    print(machine(), flush=True)
    for package in PACKAGES:
        compileall.compile_dir(ROOT / package, quiet=1)
    figures, broken = _measure(options.names or list(CASES))
    print(f"\n{table(figures)}\n\n{notes(figures)}")
    for text in broken:
        print(f"not measured: {text}")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    if broken:
        return EXIT_BROKEN
    return EXIT_MISSED if any(one.holds is False for one in figures) else EXIT_OK


def machine() -> str:
    """Returns what the figures were measured on, and when."""
    now = datetime.datetime.now(tz=datetime.UTC)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {_processor()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"load {load} before the run"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _measure(names: Sequence[str]) -> tuple[list[Figure], list[str]]:
    figures: list[Figure] = []
    broken: list[str] = []
    for name in names:
        began = time.monotonic()
        print(f"{name} …", end=" ", flush=True)
        try:
            figures += CASES[name]()
        except BenchError as error:
            broken.append(f"{name}: {error}")
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    return figures, broken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to measure (default: all): {', '.join(CASES)}",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the raw figures to FILE"
    )
    parser.epilog = (
        f"Exit code {EXIT_OK}: every target holds; {EXIT_MISSED}: one does not; "
        f"{EXIT_BROKEN}: something could not be measured."
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
