"""A real dashboard on a real Mosquitto."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from dashboard.server.users import PageRole, Users, make_user
from tests.ports import free_port

PASSWORD = "correct horse"
DEADLINE_S = 60.0
PIRACK = "import sys; from pirack.cli import main; sys.exit(main())"


def wait_until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.05)


class Stage:
    """Mosquitto and the dashboard as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mqtt_port = free_port()
        self.http_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self._stack = contextlib.ExitStack()
        self._broker: subprocess.Popen[bytes] | None = None
        users = Users(folder / "data" / "users.json")
        for role in PageRole:
            users.put(make_user(role.value, role, PASSWORD))

    def start_broker(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\n"
            "max_queued_messages 0\nlog_type error\n"
        )
        self._broker = subprocess.Popen([program, "-c", str(config)])
        self._stack.callback(self.kill_broker)
        wait_until(self._broker_answers, "Mosquitto")

    def kill_broker(self) -> None:
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait()
            self._broker = None

    def start_dashboard(self) -> "subprocess.Popen[bytes]":
        config = self.folder / "pirack.toml"
        config.write_text(
            f'[rack]\nname = "lab"\n[broker]\nport = {self.mqtt_port}\n'
            f"[dashboard]\nhttp_port = {self.http_port}\n"
            f'data = "{self.folder / "data"}"\n'
        )
        command = [sys.executable, "-c", PIRACK, "dashboard", "--config", str(config)]
        log = self._stack.enter_context((self.folder / "dashboard.log").open("wb"))
        process = subprocess.Popen(command, stderr=log, stdout=log, env=_environment())
        self._stack.callback(_end, process)
        wait_until(self._page_answers, "the dashboard")
        return process

    def close(self) -> None:
        self._stack.close()

    def _broker_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.mqtt_port)) == 0

    def _page_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:  # noqa: S310  # our own server
                return bool(answer.status == 200)
        except OSError:
            return False


def _environment() -> dict[str, str]:
    """Ours without pytest's: NiceGUI would take its process for a test of its own."""
    return {key: value for key, value in os.environ.items() if "PYTEST" not in key}


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
