"""No broker: each command says so within seconds, with its own exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

PIRACK = (sys.executable, "-m", "pirack.cli")

pytestmark = pytest.mark.system


@pytest.mark.parametrize("words", [("send", "rack", "ping"), ("watch", "--once")])
def test_a_broker_that_is_not_there_is_exit_code_4(words: tuple[str, ...]) -> None:
    port = str(free_port())
    done = subprocess.run(
        [*PIRACK, *words, "--host", "127.0.0.1", "--port", port],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 4
    refused = f"127.0.0.1:{port} cannot be reached: Connection refused. Is the broker"
    assert refused in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_says_what_is_wrong_and_what_to_do() -> None:
    port = str(free_port())
    done = subprocess.run(
        [*PIRACK, "doctor", "--host", "127.0.0.1", "--port", port],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "FAIL broker" in done.stdout
    assert "→ start one: pirack up" in done.stdout


def test_no_mosquitto_is_said_with_the_way_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PIRACK, "up", "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PIRACK_MOSQUITTO": "/nowhere/mosquitto"},
    )
    assert done.returncode == 1
    assert "/nowhere/mosquitto" in done.stderr
    assert "Traceback" not in done.stderr
