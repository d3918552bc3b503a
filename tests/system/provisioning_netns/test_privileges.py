"""What the shipped units allow is enough for master and DHCP server; for real.

systemd does not run here, so setpriv gives what the units give: a user, capabilities,
and nothing that could give more.
"""

import os
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy_files import settings
from tests.system.provisioning_netns import driver_unprivileged
from tests.system.provisioning_netns.lab import MASTER, Lab

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
MASTER_USER, DHCP_USER = "daemon", "nobody"
"""Accounts every Debian has, in the place of those that are made with the units."""
SYSTEMCTL = """#!/usr/bin/python3
import socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[0] + ".door")
door.sendall(sys.argv[-2].encode())
sys.exit(int(door.recv(9)))
"""


def confined(unit: str, user: str, *, capabilities: str | None = None) -> list[str]:
    """Return the command before a command that gives it a unit's rights, or these."""
    if capabilities is None:
        (capabilities,) = settings(unit)["AmbientCapabilities"]
    words = [f"+{one.removeprefix('CAP_').lower()}" for one in capabilities.split()]
    given = ",".join(["-all", *words])
    sets = [f"--{name}={given}" for name in ("inh-caps", "ambient-caps")]
    who = [f"--reuid={user}", "--regid=nogroup", "--clear-groups", "--no-new-privs"]
    return ["setpriv", *who, *sets, f"--bounding-set={given}"]


class Systemd:
    """Runs our one unit as systemd would, for who may ask by the door."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        (start,) = settings("pirack-dhcp.service")["ExecStart"]
        installed = "/var/lib/pirack-install/dhcp"
        words = start.replace(installed, str(folder)).split()
        self.command = [*confined("pirack-dhcp.service", DHCP_USER), *words]
        self.lab = lab
        self.process: subprocess.Popen[bytes] | None = None
        self.asked: list[str] = []

    def do(self, verb: str) -> int:
        self.asked.append(verb)
        if verb == "restart":
            self.end()
            self.process = self.lab.start(MASTER, *self.command)
        elif verb == "reload" and self.process:
            self.process.send_signal(signal.SIGHUP)
        return 0

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """What deploy/master makes: the master's folder, with one file of the server's."""
    with tempfile.TemporaryDirectory(prefix="pirack-test-") as name:
        top = Path(name)
        top.chmod(0o755)
        (dhcp := top / "dhcp").mkdir()
        (dhcp / "leases").touch()
        subprocess.run(["chown", MASTER_USER, dhcp], check=True)
        subprocess.run(["chown", DHCP_USER, dhcp / "leases"], check=True)
        yield dhcp


@pytest.fixture
def systemd(lab: Lab, folder: Path) -> Iterator[Systemd]:
    systemd = Systemd(lab, folder)

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            verb = self.request.recv(99).decode()
            self.request.sendall(str(systemd.do(verb)).encode())

    program = folder.with_name("systemctl")
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    door = f"{program}.door"
    with socketserver.UnixStreamServer(door, Door) as server:
        Path(door).chmod(0o777)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield systemd
        server.shutdown()
        thread.join()
    systemd.end()


def start_master(
    lab: Lab, folder: Path, capabilities: str | None = None
) -> subprocess.Popen[str]:
    """Start a master with the rights of its unit, or with others.

    A checkout that its owner keeps to himself may be read too: that is not what is
    tested.
    """
    if capabilities is None:
        (capabilities,) = settings("pirack-master.service")["AmbientCapabilities"]
    before = confined(
        "", MASTER_USER, capabilities=f"{capabilities} CAP_DAC_READ_SEARCH"
    )
    driver = [sys.executable, driver_unprivileged.__file__, str(folder)]
    inside = ["ip", "netns", "exec", lab.name(MASTER), *before, *driver]
    return subprocess.Popen(
        [*inside, str(folder.with_name("systemctl"))],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_units_rights_are_enough_to_hear_reserve_and_serve(
    lab: Lab, folder: Path, systemd: Systemd
) -> None:
    pi = lab.pi(driver_unprivileged.BOARD, boot_s=0)
    with start_master(lab, folder) as master:
        assert master.stdout is not None
        assert master.stdout.readline() == "serves\n"
        assert systemd.asked == ["restart", "reload"]
        assert systemd.process is not None
        status = Path(f"/proc/{systemd.process.pid}/status").read_text()
        assert "\nUid:\t65534\t" in status
        pi.power_on()
        assert pi.wait_address() == "10.77.0.10"
        said = master.stdout.read().splitlines()
    assert said[0] == f"heard {pi.mac}"
    assert said[-1] == "lent 10.77.0.10"
    # Only its file of leases is the server's; all else was written by the master.
    owners = {one.name: one.owner() for one in folder.rglob("*") if one.is_file()}
    assert owners.pop("leases") == DHCP_USER
    assert set(owners.values()) == {MASTER_USER}
    assert {"dnsmasq.conf", "dc-a6-32-00-00-0a"} <= owners.keys()


@pytest.mark.usefixtures("systemd")
def test_without_the_right_to_listen_the_error_says_what_to_do(
    lab: Lab, folder: Path
) -> None:
    with start_master(lab, folder, capabilities="") as master:
        assert master.stdout is not None
        said = master.stdout.read()
    assert "no right to listen on eth1: this process lacks CAP_NET_RAW" in said
    assert "AmbientCapabilities=CAP_NET_RAW" in said
