"""A Mosquitto without passwords on loopback, for system tests."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from broker.common.errors import BrokerError
from broker.mosquitto.program import find
from tests.ports import free_port

STARTS_WITHIN_S = 30.0


def accepts(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


class OpenMosquitto:
    """A Mosquitto that every client on this machine may use, on a port of its own.

    Where none is installed the test is skipped; in CI it fails.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        try:
            installed = find()
        except BrokerError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        self._process = subprocess.Popen(
            [installed.program, "-c", self._config],
            env=installed.environment(os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not accepts(self.port):
            assert time.monotonic() < deadline, "Mosquitto does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it as ``kill -9`` does; twice is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None
