"""``pirack up`` as a person runs it: start, use, kill parts of it."""

import json
import os
import signal
import stat
import subprocess
import tomllib
from pathlib import Path

import psutil
import pytest

from tests.system.up.process import (
    NODES,
    START_S,
    Up,
    command,
    command_line,
    family,
    wait_until,
)

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(120)]


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
    shown = [" ".join(command_line(pid)) for pid in family(up)]
    assert not [line for line in shown if any(secret in line for secret in secrets)]
    assert up.run["mqtt"]["password"] not in up.said


def test_the_printed_lines_work_when_they_are_pasted(up: Up) -> None:
    listen = next(line for line in up.lines if "mosquitto_sub" in line).strip()
    ask = next(line for line in up.lines if "mosquitto_pub" in line).strip()
    with subprocess.Popen(
        ["sh", "-c", f"exec stdbuf -oL env {listen} -d -W 60"],
        stdout=subprocess.PIPE,
        text=True,
    ) as listener:
        assert listener.stdout is not None
        while "Subscribed" not in (line := listener.stdout.readline()):
            assert line, "it could not listen"
        subprocess.run(["sh", "-c", ask], check=True, timeout=30)
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
    assert "Are user (operator) and password right?" in done.stderr
    assert "guess" not in done.stderr
    found = command("doctor", "--credentials", str(wrong), data=up.data)
    assert "say who you are: --credentials FILE" in found.stdout
    assert "start one" not in found.stdout
    assert "See `pirack doctor`" not in found.stdout


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
    assert second.process.wait(START_S) == 3
    second.stop()
    assert f"another `pirack up` (process {up.process.pid}) uses" in second.said
    assert "Traceback" not in second.said


def test_the_agent_of_this_machine_restarts_in_its_own_place(up: Up) -> None:
    node = tomllib.loads((up.data / "etc/agent.toml").read_text())["agent"]["id"]
    before = up.run["pids"]["agent"]
    began = len(up.lines)
    assert command("send", node, "restart-agent", data=up.data).returncode == 0
    wait_until(lambda: command("send", node, "ping", data=up.data).returncode == 0)
    assert up.run["pids"]["agent"] == before
    assert not [line for line in up.lines[began:] if "agent ended" in line]


def test_a_part_that_is_killed_is_started_again(up: Up) -> None:
    for part in ("master", "dashboard", "agent", "simulator", "broker"):
        before = up.run["pids"][part]
        os.kill(before, signal.SIGKILL)

        def again(part: str = part, before: int = before) -> bool:
            return bool(up.run["pids"].get(part, before) != before)

        wait_until(again)
    assert "master ended (killed by SIGKILL); starting it again in 2 s" in up.said
    wait_until(lambda: command("send", "rack", "ping", data=up.data).returncode == 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")
def test_a_demonstration_runs_on_a_machine_with_nothing_but_a_loopback(
    data: Path,
) -> None:
    alone = 'mount -t sysfs none /sys && ip link set lo up && exec "$@"'
    inside = ("unshare", "--net", "--mount", "sh", "-c", alone, "sh")
    first = Up(data, inside=inside)
    first.ready()
    first.stop()
    node = (data / "agent/node-id").read_text().strip()
    assert f"its id is {node}" in first.said
    # The same data with another network card is the same machine.
    again = Up(data)
    again.ready()
    again.stop()
    assert (data / "agent/node-id").read_text().strip() == node
    agent = tomllib.loads((data / "etc/agent.toml").read_text())
    assert agent["agent"]["id"] == node
    assert f"{NODES} of {NODES} online" in again.said
