"""The lab itself: whatever happens in it, nothing of it is left."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.provisioning_netns.lab import MASTER, PREFIX, Lab, orphans
from tests.system.provisioning_netns.leftovers import leftovers, own_sockets

pytestmark = pytest.mark.system


def test_servers_clients_orphans_and_namespaces_end_with_the_lab(lab: Lab) -> None:
    before = own_sockets()
    pi = lab.pi("dc:a6:32:00:00:0a", boot_s=0)
    lab.rival()
    pi.power_on()
    assert pi.wait_address()
    orphan = f"setsid tail -f {lab.folder}/hook & echo"
    lab.start(MASTER, "sh", "-c", orphan).wait()
    there = " ".join(leftovers(lab))
    for word in (lab.prefix, "dnsmasq", "udhcpc", "tail"):
        assert word in there, "else nobody would see it afterwards either"
    lab.close()
    assert leftovers(lab) == []
    assert own_sockets() == before


KILLED = """
import os, pathlib, signal, sys
from tests.system.provisioning_netns.lab import Lab
lab = Lab(pathlib.Path(sys.argv[1]))
lab.open()
lab.rival()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_test_run_left_is_found_and_removed(
    lab: Lab, tmp_path: Path
) -> None:
    (folder := tmp_path / "killed").mkdir()
    words = [sys.executable, "-c", KILLED, str(folder)]
    killed = subprocess.Popen(words, cwd=Path(__file__).parents[3])
    killed.wait(timeout=20)
    mine = [name for name in orphans() if name.startswith(f"{PREFIX}{killed.pid}-")]
    assert len(mine) == 3
    lab.namespaces += mine
    lab.close()
    assert not set(mine) & set(orphans())
