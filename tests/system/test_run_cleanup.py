"""Nothing of a test run is left, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import run_cleanup

pytestmark = pytest.mark.system

RUN = """
import os, signal, subprocess, sys
from tests import run_cleanup
run_cleanup.start()
hidden = ["setsid", sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(hidden, stdout=subprocess.DEVNULL)
print(os.environ[run_cleanup.MARK], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_test_run_that_is_killed_leaves_no_process(number: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with run:
        assert run.stdout is not None
        mark = run.stdout.readline().strip()
        until(lambda: len(run_cleanup.processes_of(mark)) == 1)
        run.send_signal(number)
    until(lambda: not run_cleanup.processes_of(mark))


IN_CGROUP = """
mount -t cgroup2 pirack /mnt
mkdir -p "/mnt/$0/within"
echo $$ > "/mnt/$0/within/cgroup.procs"
echo ready
exec sleep 600
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes cgroups")
def test_cgroups_of_killed_processes_are_removed() -> None:
    name = f"pirack{os.getpid()}-test-cleanup"
    words = ["unshare", "--mount", "sh", "-euc", IN_CGROUP, name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        cgroup = Path(f"/proc/{process.pid}/cgroup").read_text()
        assert f"/{name}/within" in cgroup
        process.kill()
    run_cleanup.remove_cgroups(name)
    look = 'mount -t cgroup2 pirack /mnt && ls /mnt && ! ls -d "/mnt/$0"'
    subprocess.run(["unshare", "--mount", "sh", "-c", look, name], check=True)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
