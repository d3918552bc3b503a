"""The back ends under test, each on its real server."""

import time
from collections.abc import Callable
from pathlib import Path

from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.backend import Backend
from provisioning.backends.daemon import Child
from provisioning.backends.whole_file import WholeFile
from provisioning.subnet import Subnet

MakeBackend = Callable[[Subnet, Path], tuple[Backend, Child]]


def make_dnsmasq(subnet: Subnet, folder: Path) -> tuple[Backend, Child]:
    child = Child(dnsmasq.command(folder), folder)
    return dnsmasq.Dnsmasq(subnet, folder, child), child


def make_dhcpd(subnet: Subnet, folder: Path) -> tuple[Backend, Child]:
    child = Child(dhcpd.command(folder, subnet), folder)
    return WholeFile(dhcpd.Dhcpd(), subnet, folder, child, time.time), child


def make_kea(subnet: Subnet, folder: Path) -> tuple[Backend, Child]:
    child = Child(kea.command(folder), folder, kea.environment(folder))
    return WholeFile(kea.Kea(folder), subnet, folder, child, time.time), child


SERVERS: dict[str, MakeBackend] = {
    "dnsmasq": make_dnsmasq,
    "dhcpd": make_dhcpd,
    "kea": make_kea,
}
