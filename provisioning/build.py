"""Puts an installer together from the configuration."""

import secrets
import time
from collections.abc import Iterable

from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.backend import Backend
from provisioning.backends.daemon import Child, Daemon
from provisioning.backends.observe import Observe
from provisioning.backends.unit import Unit
from provisioning.backends.whole_file import WholeFile
from provisioning.clock import LoopClock
from provisioning.discovery.leases import LeaseSource
from provisioning.discovery.packet_socket import own_hardware_addresses
from provisioning.discovery.sniffer import Sniffer
from provisioning.discovery.wire import Wire
from provisioning.effects import Hands
from provisioning.installer import Installer
from provisioning.journal import SqliteJournal
from provisioning.seams import Network, Seams, Source
from provisioning.settings import BackendName, InstallSettings

ID_BYTES = 3


def make_backend(settings: InstallSettings) -> Backend:
    """Return the configured DHCP back end, not started yet.

    Raises:
        BackendError: Its program is not installed.
    """
    subnet, folder = settings.subnet(), settings.folder / "dhcp"
    match settings.backend:
        case BackendName.DHCPD:
            argv = dhcpd.command(folder, subnet)
            daemon = _daemon(settings, Child(argv, folder))
            return WholeFile(dhcpd.Dhcpd(), subnet, folder, daemon, time.time)
        case BackendName.KEA:
            child = Child(kea.command(folder), folder, kea.environment(folder))
            daemon = _daemon(settings, child)
            server = kea.Kea(folder, unit=bool(settings.unit))
            return WholeFile(server, subnet, folder, daemon, time.time)
        case BackendName.DNSMASQ:
            daemon = _daemon(settings, Child(dnsmasq.command(folder), folder))
            return dnsmasq.Dnsmasq(subnet, folder, daemon, settings.boot_files)
        case _:
            return Observe(subnet, folder)


def _daemon(settings: InstallSettings, child: Child) -> Daemon:
    return Unit(settings.unit) if settings.unit else child


def make_installer(settings: InstallSettings, seams: Seams) -> Installer:
    """Return an installer on the real network, not started yet.

    Args:
        settings: ``[install]``, with a back end.
        seams: What the master gives.

    Raises:
        BackendError: The server's program is not installed.
    """
    subnet = settings.subnet()
    backend = make_backend(settings)
    heard: list[Source] = [Sniffer(subnet.interface, str(subnet.own))]
    if backend.reserves:
        heard.append(LeaseSource(backend))
    wire = Wire(subnet.interface, str(subnet.own), secrets.randbits)
    return assemble(seams, backend, wire, heard)


def assemble(
    seams: Seams, backend: Backend, network: Network, sources: Iterable[Source] = ()
) -> Installer:
    """Return an installer of these parts, not started yet.

    Args:
        seams: What the master gives.
        backend: The DHCP server.
        network: Asks questions on the network.
        sources: What hears boards beside those of the master.
    """
    return Installer(
        journal=seams.journal,
        backend=backend,
        hands=Hands(power=seams.power, backend=backend, network=network),
        sources=(*sources, *seams.sources),
        announcer=seams.announcer,
        clock=LoopClock(),
        new_id=_new_run_id,
        own=own_hardware_addresses,
    )


def _new_run_id() -> str:
    """Return the id of a run that begins."""
    return f"install-{secrets.token_hex(ID_BYTES)}"


def make_journal(settings: InstallSettings) -> SqliteJournal:
    """Return the journal in the configured folder, not open yet."""
    return SqliteJournal(settings.folder / "install.sqlite", LoopClock())
