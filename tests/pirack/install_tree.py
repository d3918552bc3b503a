"""Machines on which an install would work, as trees of files; for the doctor."""

import os
from pathlib import Path

from pirack.doctor.install import InstallMachine
from provisioning.common.network import ForeignServer
from tests.deploy_files import text

ADDRESS = "192.168.23.1/24"
RIVAL = ForeignServer("192.168.23.9", "00:aa:bb:cc:dd:ee")
CONFIG = """
[rack]
stacks = 12
boards = 4
[install]
backend = "{backend}"
interface = "eth1"
data_dir = "/var/lib/pirack-install"
{more}
"""
FILES = {
    "sys/class/net/lo/flags": "0x9",
    "sys/class/net/eth0/flags": "0x1003",
    "sys/class/net/eth1/flags": "0x1003",
    "sys/class/net/eth1/carrier": "1",
    "sys/class/net/eth1/ifindex": "3",
    "proc/net/udp": "  sl  local_address rem_address\n",
    "proc/sys/net/ipv4/ip_forward": "0",
}


def put(root: Path, name: str, content: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def make_machine(root: Path) -> InstallMachine:
    """Return a machine on which nothing is wrong and no unit is installed."""
    for name, content in FILES.items():
        put(root, name, content)
    (root / "var/lib/pirack-install").mkdir(parents=True)
    return InstallMachine(
        root=root,
        addresses=lambda _: (ADDRESS,),
        user_id=lambda _: os.geteuid(),
        listens=lambda _: None,
        servers=lambda _: (),
        program=lambda name, _: f"/usr/sbin/{name}",
    )


def with_units(machine: InstallMachine) -> InstallMachine:
    """Put what deploy/master installs."""
    for unit in ("pirack-master.service", "pirack-dhcp.service"):
        put(machine.root, f"etc/systemd/system/{unit}", text(unit))
    rules = "50-pirack-master.rules"
    put(machine.root, f"etc/polkit-1/rules.d/{rules}", text(f"master/polkit/{rules}"))
    return machine
