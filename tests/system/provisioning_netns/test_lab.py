"""The lab itself: whatever happens in it, nothing of it is left."""

import pytest

from tests.system.provisioning_netns.lab import MASTER, Lab
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
