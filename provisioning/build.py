"""Puts an installer together from the configuration."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.backend import Backend, LeaseSource, Observe
from provisioning.backends.daemon import ChildDaemon, Daemon, SystemdDaemon
from provisioning.common.network import RackNetwork, SightingSource
from provisioning.discovery.packet_socket import own_hardware_addresses
from provisioning.discovery.prober import NetworkProber
from provisioning.discovery.sources import Sniffer
from provisioning.effects import InstallEffects
from provisioning.fake import FakeBackend, FakeRack, SimulatedNetwork
from provisioning.installer import Installer
from provisioning.interfaces import MasterParts
from provisioning.journal import SqliteJournal
from provisioning.run.plan import reservations
from provisioning.settings import BackendName, InstallSettings

ID_BYTES = 3


def make_backend(settings: InstallSettings) -> Backend:
    """Returns the configured DHCP back end, not started yet.

    Raises:
        BackendError: Its program is not installed.
    """
    subnet, folder = settings.subnet(), settings.folder / "dhcp"
    match settings.backend:
        case BackendName.DHCPD:
            daemon = _daemon(settings, dhcpd.command(folder, subnet), folder)
            return dhcpd.Dhcpd(subnet, folder, daemon)
        case BackendName.KEA:
            daemon = _daemon(
                settings, kea.command(folder), folder, kea.environment(folder)
            )
            return kea.Kea(subnet, folder, daemon, unit=bool(settings.unit))
        case BackendName.DNSMASQ:
            daemon = _daemon(settings, dnsmasq.command(folder), folder)
            return dnsmasq.Dnsmasq(subnet, folder, daemon, settings.boot_files)
        case BackendName.OBSERVE | BackendName.NONE | BackendName.FAKE:
            return Observe(subnet, folder)


def _daemon(
    settings: InstallSettings,
    argv: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Daemon:
    if settings.unit:
        return SystemdDaemon(settings.unit)
    return ChildDaemon(argv, folder, environment)


def make_installer(settings: InstallSettings, parts: MasterParts) -> Installer:
    """Returns an installer on the real network, not started yet.

    Args:
        settings: ``[install]``, with a back end.

    Raises:
        BackendError: The server's program is not installed.
    """
    subnet = settings.subnet()
    backend = make_backend(settings)
    heard: list[SightingSource] = [Sniffer(subnet.interface, str(subnet.own))]
    if backend.reserves:
        heard.append(LeaseSource(backend))
    network = NetworkProber(subnet.interface, str(subnet.own), secrets.randbits)
    return _assemble(parts, backend, network, heard)


def make_simulated(settings: InstallSettings, parts: MasterParts) -> Installer:
    """Returns an installer for a simulated rack: no server, no packets; not started."""
    served = reservations(parts.journal.places())  # as a real server remembers
    backend = FakeBackend(FakeRack(settings.subnet()), served)
    return _assemble(parts, backend, SimulatedNetwork(backend, parts.talking))


def _assemble(
    parts: MasterParts,
    backend: Backend,
    network: RackNetwork,
    sources: Iterable[SightingSource] = (),
) -> Installer:
    return Installer(
        journal=parts.journal,
        backend=backend,
        effects=InstallEffects(power=parts.power, backend=backend, network=network),
        sources=(*sources, *parts.sources),
        announcer=parts.announcer,
        new_id=lambda: f"install-{secrets.token_hex(ID_BYTES)}",
        own=own_hardware_addresses,
    )


def make_journal(settings: InstallSettings) -> SqliteJournal:
    """Returns the journal in the configured folder, not open yet."""
    return SqliteJournal(settings.folder / "install.sqlite")
