"""``pirack up`` as a process, and what a person types beside it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

STACKS, BOARDS = 2, 2
NODES = STACKS * BOARDS + 1
START_S = 70.0
"""Longer than `pirack up` itself waits before it says that not all is up."""


class Up:
    """A running ``pirack up`` and what it says.

    Args:
        data: Its data directory.
        options: More options.
        inside: Words that run the rest of the command inside something.
    """

    def __init__(self, data: Path, *options: str, inside: tuple[str, ...] = ()) -> None:
        self.data = data
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                *inside,
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


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def all_gone(pids: list[int]) -> bool:
    return not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(up: Up) -> list[int]:
    return [one.pid for one in psutil.Process(up.process.pid).children(recursive=True)]


def command_line(pid: int) -> list[str]:
    """Return how a process was started; empty for one that has ended meanwhile."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []


def command(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pirack.cli", *words, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
