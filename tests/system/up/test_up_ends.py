"""``pirack up`` with other options, and how it ends."""

import shlex
import signal
import socket
import tomllib
from pathlib import Path

import pytest

from pirack.up import ports
from tests.ports import free_port
from tests.system.up.process import START_S, Up, all_gone, command, family, wait_until

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(120)]


def test_ctrl_c_leaves_nothing_behind(data: Path) -> None:
    up = Up(data, "--http-port", "28086", "--mqtt-port", "28886").ready()
    run, processes = up.run, family(up)
    assert up.stop(signal.SIGINT) == 0
    wait_until(lambda: all_gone(processes))
    assert not (data / "run.json").exists()
    assert ports.is_free("127.0.0.1", run["mqtt"]["port"])
    assert up.lines[-1] == "Stopped."


def test_sigterm_stops_it_as_well(data: Path) -> None:
    up = Up(data).ready()
    processes = family(up)
    assert up.stop(signal.SIGTERM) == 0
    wait_until(lambda: all_gone(processes))


def test_a_killed_supervisor_takes_every_part_along_and_passwords_stay(
    data: Path,
) -> None:
    up = Up(data).ready()
    processes = family(up)
    assert len(processes) >= 5
    before = up.run
    up.stop(signal.SIGKILL)
    wait_until(lambda: all_gone(processes))
    again = Up(data).ready()
    after = again.run
    assert again.stop() == 0
    assert after["login"] == before["login"]
    assert after["mqtt"]["password"] == before["mqtt"]["password"]


def test_a_busy_port_moves_ours_and_says_so(data: Path) -> None:
    http, mqtt = free_port(), free_port()
    with (
        socket.create_server(("127.0.0.1", http)),
        socket.create_server(("127.0.0.1", mqtt)),
    ):
        up = Up(data, "--http-port", str(http), "--mqtt-port", str(mqtt)).ready()
        run = up.run
        up.stop()
    assert run["url"] != f"http://127.0.0.1:{http}/"
    assert run["mqtt"]["port"] != mqtt
    assert f"Port {http} is taken by another program: the page uses" in up.said
    assert f"Port {mqtt} is taken by another program: the broker uses" in up.said


def test_without_simulation_there_is_this_machine_alone(data: Path) -> None:
    up = Up(data, "--simulate", "0").ready()
    try:
        assert "1 of 1 online" in up.said
        assert "simulator" not in up.run["pids"]
        ask = shlex.split(next(line for line in up.lines if "mosquitto_pub" in line))
        assert ask[-2:] == ["pirack/v1/lab/rack/cmd/ping", "-n"]
    finally:
        up.stop()


def test_a_deployment_to_all_leaves_the_machine_out_that_the_rack_runs_on(
    data: Path,
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    up = Up(data, "--simulate", "0", "--listen", listen).ready()
    try:
        done = command("deploy", "--all", data=data)
        assert "is this machine, the master's: left out" in done.stdout
        assert "no board is known: name addresses" in done.stderr
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
    assert up.process.wait(START_S) == 3
    up.stop()
    assert "cannot be written" in up.said
    assert "--data DIR" in up.said
    assert "Traceback" not in up.said
