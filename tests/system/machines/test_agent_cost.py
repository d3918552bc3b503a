"""What an agent costs a board in ten minutes, beside a bare paho and psutil loop.

Figures only, but for what is promised: nothing is written to the card. The board's
processor is emulated, so that its times compare with each other and nothing else.
"""

import time
from pathlib import Path

import pytest

from tests.system.machines.debian import ROOT
from tests.system.machines.machine import VirtualMachine
from tests.system.machines.rack import ADDRESS, Rack

pytestmark = [pytest.mark.system, pytest.mark.machines, pytest.mark.timeout(1500)]

MINUTES = 10
INTERVAL_S = 10
WARM_UP_S = 60
PORT = 1999
BARE = ROOT / "bench" / "bare_agent.py"


def test_an_agent_costs_little_more_than_a_bare_loop(
    deployed: Rack, tmp_path: Path
) -> None:
    board = deployed.boards[0]
    open_broker(deployed.master, tmp_path)
    board.put(BARE, "bare_agent.py")
    board.ssh(
        "sudo systemd-run --unit=bare --setenv=MALLOC_ARENA_MAX=1 "
        f"/opt/pirack/bin/python -B -OO /home/pi/bare_agent.py {PORT} {INTERVAL_S} "
        f"bare {ADDRESS}"
    )
    time.sleep(WARM_UP_S)
    before = {unit: cost(board, unit) for unit in ("pirack-agent", "bare")}
    time.sleep(MINUTES * 60)
    beats = MINUTES * 60 / INTERVAL_S
    for unit, (_, cpu_ms, written) in before.items():
        pss_kb, cpu_ms_now, written_now = cost(board, unit)
        print(  # noqa: T201  # the figures of this test
            f"{unit}: {pss_kb / 1000:.1f} MB PSS, "
            f"{(cpu_ms_now - cpu_ms) / beats:.1f} ms a heartbeat, "
            f"{written_now - written} bytes written"
        )
        assert written_now == written


def open_broker(master: VirtualMachine, folder: Path) -> None:
    """Starts a broker that anybody may use, beside the rack's own."""
    config = folder / "open.conf"
    config.write_text(f"listener {PORT}\nallow_anonymous true\n")
    master.put(config, "/tmp/open.conf")  # noqa: S108  # of a machine of our own
    master.ssh("sudo systemd-run --unit=open-broker mosquitto -c /tmp/open.conf")


def cost(board: VirtualMachine, unit: str) -> tuple[int, float, int]:
    """Returns memory (PSS, kB), CPU time (ms) and bytes written of a service."""
    said = board.ssh(
        f"pid=$(systemctl show -P MainPID {unit}); "
        "sudo awk '/^Pss:/ { print $2 }' /proc/$pid/smaps_rollup; "
        "awk '{ print $14 + $15 }' /proc/$pid/stat; "
        "sudo awk '/^write_bytes/ { print $2 }' /proc/$pid/io"
    )
    pss_kb, ticks, written = (int(word) for word in said.split())
    return pss_kb, ticks * 10.0, written  # a tick is 10 ms
