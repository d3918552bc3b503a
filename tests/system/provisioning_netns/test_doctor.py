"""What the doctor finds on a real interface, beside a real DHCP server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.provisioning_netns.lab import MASTER, NEIGHBOUR, SUBNET, Lab

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
CONFIG = f"""
[install]
backend = "dnsmasq"
interface = "eth1"
address = "{SUBNET.address}"
first = "{SUBNET.first}"
pool_first = "{SUBNET.pool_first}"
pool_last = "{SUBNET.pool_last}"
data_dir = "DATA"
"""
DOCTOR = """
import pathlib, sys
from pirack.doctor import install
for one in install.check(pathlib.Path(sys.argv[1]), install.here(0.4)):
    print(one.level, one.subject, one.text, sep="|")
"""


def test_a_real_interface_is_right_until_somebody_else_serves_it(lab: Lab) -> None:
    config = lab.folder / "pirack.toml"
    config.write_text(CONFIG.replace("DATA", str(lab.folder)))
    # /sys shows the interfaces of a namespace only to who was started in it by `ip`.
    inside = ["ip", "netns", "exec", lab.name(MASTER), sys.executable, "-c", DOCTOR]

    def bad() -> list[str]:
        done = subprocess.run(
            [*inside, str(config)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = done.stdout.splitlines()
        assert len(lines) == 10, lines
        return [line for line in lines if not line.startswith("ok|")]

    assert bad() == []
    lab.rival(NEIGHBOUR)
    (named,) = bad()
    assert named == "fail|other DHCP|10.77.0.2 (02:00:00:00:77:03) serves eth1 too"
