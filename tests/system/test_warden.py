"""Nothing of a test run is left, however it ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import warden

pytestmark = pytest.mark.system

RUN = """
import os, signal, subprocess, sys
from tests import warden
warden.start()
hidden = ["setsid", sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(hidden, stdout=subprocess.DEVNULL)
print(os.environ[warden.MARK], flush=True)
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
        until(lambda: len(warden.bearing(mark)) == 1)
        run.send_signal(number)
    until(lambda: not warden.bearing(mark))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
