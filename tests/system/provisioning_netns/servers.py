"""The back ends under test, each on its real server."""

from collections.abc import Callable
from pathlib import Path

from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.backend import Backend
from provisioning.backends.daemon import ChildDaemon
from provisioning.common.subnet import Subnet

MakeBackend = Callable[[Subnet, Path], tuple[Backend, ChildDaemon]]


def make_dnsmasq(subnet: Subnet, folder: Path) -> tuple[Backend, ChildDaemon]:
    child = ChildDaemon(dnsmasq.command(folder), folder)
    return dnsmasq.Dnsmasq(subnet, folder, child), child


def make_dhcpd(subnet: Subnet, folder: Path) -> tuple[Backend, ChildDaemon]:
    child = ChildDaemon(dhcpd.command(folder, subnet), folder)
    return dhcpd.Dhcpd(subnet, folder, child), child


def make_kea(subnet: Subnet, folder: Path) -> tuple[Backend, ChildDaemon]:
    child = ChildDaemon(kea.command(folder), folder, kea.environment(folder))
    return kea.Kea(subnet, folder, child), child


SERVERS: dict[str, MakeBackend] = {
    "dnsmasq": make_dnsmasq,
    "dhcpd": make_dhcpd,
    "kea": make_kea,
}
