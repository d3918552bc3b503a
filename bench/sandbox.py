"""Where a measurement runs: a folder that goes away and processes that are stopped."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository: our own services are started from it."""

_STOP_S = 15.0
_MOSQUITTO_FOLDERS = ("/usr/sbin", "/usr/local/sbin")

_MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
sys_interval 1
max_queued_messages 0
log_type warning
log_type error
"""
"""Anonymous, for both sides alike; and no limit to a queue, so that a burst waits for
its reader instead of being dropped."""


class BenchError(Exception):
    """A measurement could not be made; the text says what was missing."""


class Sandbox(contextlib.ExitStack):
    """A temporary folder and everything started in it; leaving it stops and removes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        """The latest process of each name."""

    def __enter__(self) -> "Sandbox":
        """Makes the folder."""
        super().__enter__()
        folder = tempfile.TemporaryDirectory(
            prefix="pirack-bench-", ignore_cleanup_errors=True
        )
        self.folder = Path(self.enter_context(folder))
        return self

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Starts a process in the repository; its output goes to ``<name>.log``.

        Args:
            name: Of the log.
            argv: Program and arguments.
            environment: Added to the present one.
        """
        with self._log_path(name).open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in argv],
                cwd=ROOT,
                env={**_environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.callback(stop, process)
        self.children[name] = process
        return process

    def python(self, name: str, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        """Starts this Python with arguments, for example ``-m bench.publisher``."""
        return self.start(name, [sys.executable, *arguments])

    def write(self, name: str, text: str) -> Path:
        """Writes a file into the folder and returns its path."""
        path = self.folder / name
        path.write_text(text)
        return path

    def log(self, name: str) -> str:
        """Returns the end of what a process said."""
        path = self._log_path(name)
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def require(self, child: "subprocess.Popen[bytes]", name: str) -> None:
        """Does nothing while a process lives.

        Raises:
            BenchError: It has ended; the text is the end of its log.
        """
        if child.poll() is not None:
            text = f"{name} ended with {child.returncode}: {self.log(name)}"
            raise BenchError(text)

    def wait(
        self,
        child: "subprocess.Popen[bytes]",
        name: str,
        condition: Callable[[], object],
        timeout_s: float,
    ) -> None:
        """Waits for what a process must bring about; its end ends the wait.

        Raises:
            BenchError: It has ended, or ``timeout_s`` seconds have passed.
        """

        def ready() -> object:
            self.require(child, name)
            return condition()

        wait_for(ready, timeout_s, name)

    def mosquitto(self) -> int:
        """Starts our own Mosquitto on a free port of loopback; returns the port."""
        port = free_port()
        self.start_mosquitto(port)
        return port

    def start_mosquitto(self, port: int) -> None:
        """Starts a Mosquitto that keeps nothing on disk and waits until it answers."""
        config = self.write(
            f"mosquitto-{port}.conf", _MOSQUITTO_CONFIG.format(port=port)
        )
        self.start("mosquitto", [mosquitto_path(), "-c", config])
        wait_for(lambda: _answers(port), 10.0, f"Mosquitto on port {port}")

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _environment() -> dict[str, str]:
    """Returns our environment, but byte code is kept, as it is where one installs.

    Compiling its sources at every start would make a process larger and later.
    """
    kept = {**os.environ}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process: politely, then not; one that has ended is fine."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Waits until a condition is true, looking every 10 ms.

    Raises:
        BenchError: It was not within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            text = f"{what}: not ready within {timeout_s:g} s"
            raise BenchError(text)
        time.sleep(0.01)


def free_port() -> int:
    """Returns a TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def mosquitto_path() -> str:
    """Returns where Mosquitto is.

    Raises:
        BenchError: It is not installed.
    """
    folders = os.pathsep.join([os.environ.get("PATH", ""), *_MOSQUITTO_FOLDERS])
    found = shutil.which("mosquitto", path=folders)
    if found is None:
        text = "mosquitto is not installed: run `apt install mosquitto`"
        raise BenchError(text)
    return found


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
