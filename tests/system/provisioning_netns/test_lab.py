"""The lab itself: whatever happens in it, nothing of it is left."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run_cleanup
from tests.system.provisioning_netns.lab import MASTER, Lab
from tests.system.provisioning_netns.leftovers import leftovers, own_sockets
from tests.system.provisioning_netns.pi import wait_until

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
import os, pathlib, signal
from tests import in_memory, run_cleanup
from tests.system.provisioning_netns.lab import Lab
run_cleanup.start()
folder = in_memory.temporary()
lab = Lab(pathlib.Path(folder.name))
lab.open()
lab.rival()
print(os.environ[run_cleanup.MARK], folder.name, *lab.namespaces, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("lab")  # skips where none can be built
def test_what_a_killed_test_run_left_is_removed() -> None:
    words = [sys.executable, "-c", KILLED]
    root = Path(__file__).parents[3]
    killed = subprocess.run(words, cwd=root, stdout=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL
    mark, folder, *namespaces = killed.stdout.decode().split()
    assert len(namespaces) == 3
    left = [Path(folder), *(Path("/run/netns", name) for name in namespaces)]
    assert wait_until(lambda: not any(one.exists() for one in left))
    assert run_cleanup.processes_of(mark) == []
