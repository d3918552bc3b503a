"""Boots this Debian once more, in namespaces of its own, with systemd as process 1."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests import run_cleanup

BOOT = Path(__file__).with_name("boot")
SPACES = ("unshare", "nsenter", "setpriv", "ip")
RACK = ("mosquitto", "openssl", "dnsmasq", "udhcpc", "dbus-daemon", "pkcheck")
PROGRAMS = ("/lib/systemd/systemd", *SPACES, *RACK)
CANNOT = 75
"""The exit code of ``boot`` where this machine does not allow it."""
BOOT_S = 60.0
"""Idle it takes one second."""
COMMAND_S = 60.0
PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """One machine; nothing of it is on a disk, and all of it is gone when it stops.

    Args:
        folder: An empty folder, where its root is mounted for its processes alone.
        given: A folder that is ``/opt/tests`` there.
        packages: A folder of Python packages that is ``/opt/packages`` there.
    """

    def __init__(self, folder: Path, given: Path, packages: Path) -> None:
        self._cgroup = f"pirack{os.getpid()}-{folder.name}"
        self._words = (folder, self._cgroup, given, packages)
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._inside: list[str] = []

    def start(self) -> None:
        """Boots, and returns once systemd says that it is up."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", BOOT, *self._words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + BOOT_S
        while not self._is_up():
            if self._process.poll() == CANNOT:
                pytest.skip(f"no systemd as process 1: {self._log.read_text().strip()}")
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, f"not up: {self._log.read_text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends all of it at once, as a power cut does; twice is fine."""
        if self._process is not None:
            self._process.kill()  # process 1 goes with it, and all others with that
            self._process.wait(10)
            run_cleanup.remove_cgroups(self._cgroup)
            self._process = None

    def run(self, *command: str, code: int = 0, timeout_s: float = COMMAND_S) -> str:
        """Runs a command there as root, and returns what it said.

        Args:
            command: Program and arguments.
            code: Its exit code must be this.
            timeout_s: How long it may take, seconds.
        """
        done = self._try(*command, timeout_s=timeout_s)
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{command}: {done.returncode}\n{said}"
        return said

    def paste(self, lines: str) -> str:
        """Runs lines of shell there as root, and returns what they said."""
        return self.run("sh", "-euc", lines)

    def property(self, unit: str, name: str) -> str:
        """Returns what systemd knows of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value")[:-1]

    def _try(
        self, *command: str, timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        mark = f"{run_cleanup.MARK}={os.environ[run_cleanup.MARK]}"
        clean = ("env", "--ignore-environment", "--chdir=/", mark, f"PATH={PATH}")
        return subprocess.run(
            [*self._inside, *clean, "LANG=C.UTF-8", "HOME=/root", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _is_up(self) -> bool:
        assert self._process is not None
        try:
            children = psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            return False
        if not children or not _is_systemd(children[0].pid):
            return False
        target = f"--target={children[0].pid}"
        spaces = ("mount", "pid", "net", "ipc", "uts", "cgroup", "root")
        self._inside = ["nsenter", target, *(f"--{one}" for one in spaces)]
        said = self._try("systemctl", "is-system-running", timeout_s=COMMAND_S).stdout
        return said in {"running\n", "degraded\n"}


def _is_systemd(pid: int) -> bool:
    """Returns whether a process is past the script that boots."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("systemd")
    except OSError:
        return False


def require() -> None:
    """Skips where no such machine can be made."""
    if os.geteuid() != 0:
        pytest.skip("a systemd of our own needs namespaces, and root: sudo make test")
    missing = [one for one in PROGRAMS if shutil.which(one, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {missing} (tests/system/packages.txt)")
    tried = ["unshare", "--mount", "--pid", "--net", "--cgroup", "--fork", "true"]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        pytest.skip("no systemd as process 1: this machine allows no namespaces")
