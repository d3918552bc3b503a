"""``pirack up`` as a person runs it: start, use, kill parts of it, stop."""

import contextlib
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pirack.up import ports

STACKS, BOARDS = 2, 2
NODES = STACKS * BOARDS + 1
START_S = 40.0

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(120)]


class Up:
    """A running ``pirack up`` and what it says.

    Args:
        data: Its data directory.
        options: More options.
    """

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pirack.cli", "up"),
                *("--data", str(data), "--simulate", f"{STACKS}x{BOARDS}"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip() for line in self.process.stdout)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    @property
    def run(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.data / "run.json").read_text())
        return loaded

    def until(self, words: str, timeout_s: float = START_S) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.said and self.process.poll() is None:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        assert words in self.said, self.said

    def ready(self) -> "Up":
        self.until("Ready.")
        return self

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        with self.process:  # waits, and closes the pipe
            code = self.process.wait(30)
            self._reader.join(5)
        return code


def environment() -> dict[str, str]:
    """A person's: without what pytest and NiceGUI's test plugin tell a child."""
    mine = ("NICEGUI", "PYTEST", "PIRACK")
    return {
        name: text for name, text in os.environ.items() if not name.startswith(mine)
    }


def wait_until(true: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def all_gone(pids: list[int]) -> bool:
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )


def family(up: Up) -> list[int]:
    return [one.pid for one in psutil.Process(up.process.pid).children(recursive=True)]


def command(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pirack.cli", *words, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A rack for the tests that only use one.

    Its directory has a space in its name: lines to paste must bear that.
    """
    data = tmp_path_factory.mktemp("up") / "my rack"
    started = Up(data, "--http-port", "28080", "--mqtt-port", "28883")
    try:
        yield started.ready()
    finally:
        started.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of its own, for a test that starts and stops racks."""
    return tmp_path / "data"


def test_all_are_online_and_the_run_file_says_how_to_reach_them(up: Up) -> None:
    assert f"{NODES} of {NODES} online" in up.said
    path = up.data / "run.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(up.data.stat().st_mode) == 0o700
    run = up.run
    assert run["url"].startswith("http://127.0.0.1:")
    assert set(run["login"]) == {"username", "password"}
    assert set(run["mqtt"]) == {"host", "port", "username", "password"}
    parts = {"supervisor", "broker", "master", "dashboard", "agent", "simulator"}
    assert set(run["pids"]) == parts
    assert all(psutil.pid_exists(pid) for pid in run["pids"].values())


def test_no_secret_is_in_a_process_list_or_in_what_was_printed_to_paste(up: Up) -> None:
    secrets = {up.run["mqtt"]["password"], up.run["login"]["password"]}
    shown = [" ".join(psutil.Process(pid).cmdline()) for pid in family(up)]
    assert not [line for line in shown if any(secret in line for secret in secrets)]
    assert up.run["mqtt"]["password"] not in up.said


def test_the_printed_lines_work_when_they_are_pasted(up: Up) -> None:
    listen = next(line for line in up.lines if "mosquitto_sub" in line).strip()
    ask = next(line for line in up.lines if "mosquitto_pub" in line).strip()
    with subprocess.Popen(
        ["sh", "-c", f"exec env {listen} -W 10"], stdout=subprocess.PIPE, text=True
    ) as listener:
        time.sleep(1)
        subprocess.run(["sh", "-c", ask], check=True, timeout=10)
        assert listener.stdout is not None
        heard = ""
        while '"ok":true' not in heard:
            line = listener.stdout.readline()
            assert line, f"no receipt came: {heard}"
            heard += line
        listener.terminate()
    assert "pirack/v1/lab/stack/2/reply/ping" in heard


def test_send_prints_the_receipt_and_says_by_its_exit_code_whether_all_are_ok(
    up: Up,
) -> None:
    done = command("send", "stack/1", "ping", data=up.data)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 done" in done.stdout
    as_json = command("send", "s01n1", "ping", "--json", data=up.data)
    assert json.loads(as_json.stdout)["targets"][0]["name"] == "s01n1"
    unknown = command("send", "stack/1", "no-such-verb", data=up.data)
    assert unknown.returncode == 1
    refused = command("send", "stack/1", "reboot", data=up.data)
    assert refused.returncode == 1
    assert "confirm" in refused.stdout


def test_a_wrong_password_is_said_at_once_with_its_own_exit_code(
    up: Up, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"username": "operator", "password": "guess"}')
    wrong.chmod(0o600)
    words = ("send", "rack", "ping", "--credentials", str(wrong))
    done = command(*words, data=up.data)
    assert done.returncode == 4
    assert "operator" in done.stderr
    assert "guess" not in done.stderr


def test_watch_prints_every_node_without_a_terminal(up: Up) -> None:
    shown = command("watch", "--once", data=up.data)
    assert shown.returncode == 0, shown.stderr
    assert f"{NODES} online" in shown.stdout
    assert all(name in shown.stdout for name in ("s01n1", "s01n2", "s02n1", "s02n2"))


def test_the_doctor_finds_nothing_that_fails(up: Up) -> None:
    report = command("doctor", data=up.data)
    assert report.returncode == 0, report.stdout
    assert f"all {NODES} answer" in report.stdout


def test_a_second_one_on_the_same_directory_is_refused(up: Up) -> None:
    second = Up(up.data)
    assert second.process.wait(20) == 3
    second.stop()
    assert f"another `pirack up` (process {up.process.pid}) uses" in second.said
    assert "Traceback" not in second.said


def test_the_agent_of_this_machine_restarts_in_its_own_place(up: Up) -> None:
    node = tomllib.loads((up.data / "etc/agent.toml").read_text())["agent"]["id"]
    before = up.run["pids"]["agent"]
    began = len(up.lines)
    assert command("send", node, "restart-agent", data=up.data).returncode == 0
    wait_until(lambda: command("send", node, "ping", data=up.data).returncode == 0, 20)
    assert up.run["pids"]["agent"] == before
    assert not [line for line in up.lines[began:] if "agent ended" in line]


def test_a_part_that_is_killed_is_started_again(up: Up) -> None:
    for part in ("master", "dashboard", "agent", "simulator", "broker"):
        before = up.run["pids"][part]
        os.kill(before, signal.SIGKILL)

        def again(part: str = part, before: int = before) -> bool:
            return bool(up.run["pids"].get(part, before) != before)

        wait_until(again, 20)
    assert "master ended (killed by SIGKILL); starting it again in 2 s" in up.said
    wait_until(
        lambda: command("send", "rack", "ping", data=up.data).returncode == 0, 30
    )


def test_ctrl_c_leaves_nothing_behind(data: Path) -> None:
    up = Up(data, "--http-port", "28086", "--mqtt-port", "28886").ready()
    run, processes = up.run, family(up)
    assert up.stop(signal.SIGINT) == 0
    assert all_gone(processes)
    assert not (data / "run.json").exists()
    assert ports.is_free("127.0.0.1", run["mqtt"]["port"])
    assert up.lines[-1] == "Stopped."


def test_sigterm_stops_it_as_well(data: Path) -> None:
    up = Up(data).ready()
    processes = family(up)
    assert up.stop(signal.SIGTERM) == 0
    assert all_gone(processes)


def test_a_killed_supervisor_takes_every_part_along_and_passwords_stay(
    data: Path,
) -> None:
    up = Up(data).ready()
    processes = family(up)
    assert len(processes) >= 5
    before = up.run
    up.stop(signal.SIGKILL)
    wait_until(lambda: all_gone(processes), 5)
    again = Up(data).ready()
    after = again.run
    assert again.stop() == 0
    assert after["login"] == before["login"]
    assert after["mqtt"]["password"] == before["mqtt"]["password"]


def test_a_busy_port_moves_ours_and_says_so(data: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 28085)),
        socket.create_server(("127.0.0.1", 28885)),
    ):
        up = Up(data, "--http-port", "28085", "--mqtt-port", "28885").ready()
        run = up.run
        up.stop()
    assert run["url"] != "http://127.0.0.1:28085/"
    assert run["mqtt"]["port"] != 28885
    assert "Port 28085 is taken by another program: the page uses" in up.said
    assert "Port 28885 is taken by another program: the broker uses" in up.said


def test_without_simulation_there_is_this_machine_alone(data: Path) -> None:
    up = Up(data, "--simulate", "0").ready()
    try:
        assert "1 of 1 online" in up.said
        assert "simulator" not in up.run["pids"]
        ask = shlex.split(next(line for line in up.lines if "mosquitto_pub" in line))
        assert ask[-2:] == ["pirack/v1/lab/rack/cmd/ping", "-n"]
    finally:
        up.stop()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_demonstration_takes_its_own_machine_down_only_where_that_is_allowed(
    data: Path, tmp_path: Path, *, allowed: bool
) -> None:
    done, commands = tmp_path / "done", tmp_path / "commands.ini"
    verbs = ("reboot", "shutdown", "update")
    aliases = "\n".join(f"{verb} = touch {done}" for verb in verbs)
    commands.write_text(f"[harmless]\n{aliases}\n")
    config = tmp_path / "pirack.toml"
    config.write_text(f'[agent]\ncommands = "{commands}"\n')
    options = ("--allow-host-power",) if allowed else ()
    up = Up(data, "--config", str(config), *options).ready()
    try:
        node = tomllib.loads((data / "etc/agent.toml").read_text())["agent"]["id"]
        if allowed:
            assert command("send", node, "update", data=data).returncode == 0
            assert done.exists()
            return
        for verb in verbs:
            refused = command("send", node, verb, data=data)
            assert refused.returncode == 1
            assert "--allow-host-power" in " ".join(refused.stdout.split())
        assert not done.exists()
    finally:
        up.stop()


def test_a_directory_that_cannot_be_written_is_said_with_the_way_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    up = Up(tmp_path / "file" / "data")
    assert up.process.wait(20) == 3
    up.stop()
    assert "cannot be written" in up.said
    assert "--data DIR" in up.said
    assert "Traceback" not in up.said
