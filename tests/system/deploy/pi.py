"""A make-believe Pi: namespaces, sshd, and this machine's files under its own layer."""

import socket
import subprocess
import time
from pathlib import Path

import psutil

from tests.ports import free_port

HERE = Path(__file__).parent
BOOT_S = 40.0
CARD = 'mount -t tmpfs card "$0" && echo ready && exec sleep infinity'


class Card:
    """A card in memory, in a mount namespace that a process keeps; gone with it.

    Args:
        directory: Where it is mounted there.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", CARD, directory],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    @property
    def inside(self) -> tuple[str, ...]:
        """What goes before a program that is to see it."""
        return ("nsenter", "--mount", "--target", str(self._process.pid))

    def throw_away(self) -> None:
        with self._process:
            self._process.kill()


class Pi:
    """One board.

    Args:
        directory: Where its card is seen.
        address: Of its SSH server, from 127.0.0.0/8.
        serial: Of the board.
        key: Line of ``authorized_keys``.
    """

    def __init__(self, directory: Path, address: str, serial: str, key: str) -> None:
        self.address, self.port = address, free_port(host=address)
        self.where = f"{address}:{self.port}"
        self.node = f"pi-{serial[-8:]}"
        self._card = Card(directory)
        self._log = directory.with_suffix(".log")
        own = (address, str(self.port), serial, key)
        self._boot = (HERE / "boot", directory, *own)
        self._process: subprocess.Popen[bytes] | None = None

    def on(self) -> "Pi":
        """Give it power, and wait until it can be reached."""
        own = ("--mount", "--uts", "--pid", "--fork", "--kill-child")
        with self._log.open("a") as log:
            process = subprocess.Popen(
                [*self._card.inside, "unshare", *own, *self._boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._process = process
        deadline = time.monotonic() + BOOT_S
        while not self._answers():
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        """Whether it can be reached; to try whether its port is free would take it."""
        with socket.socket() as tried:
            return tried.connect_ex((self.address, self.port)) == 0

    def off(self) -> None:
        """Pull the plug; all that runs there is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        """Pull the plug and throw its card away."""
        self.off()
        self._card.throw_away()

    @property
    def files(self) -> Path:
        """Its file system, as seen from here."""
        return Path(f"/proc/{self._first}/root")

    @property
    def _first(self) -> int:
        """The id of its first process."""
        assert self._process is not None
        (first,) = psutil.Process(self._process.pid).children()
        return first.pid

    def run(self, command: str, *, timeout_s: float = 30) -> str:
        """Do something there as root and return what it said."""
        inside = ("--target", str(self._first), "--mount", "--pid", "--root", "--wd=/")
        done = subprocess.run(
            ["nsenter", *inside, "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def restarts(self) -> int:
        """How often its agent was started."""
        log = self.run("cat /var/log/systemctl.log 2>/dev/null || true")
        return log.count("restart pirack-agent.service")
