"""Puts an installer together from the configuration."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.backend import Backend, LeaseSource, Observe
from provisioning.backends.daemon import ChildDaemon, Daemon, SystemdDaemon
from provisioning.clock import LoopClock
from provisioning.common.network import RackNetwork, SightingSource
from provisioning.discovery.packet_socket import own_hardware_addresses
from provisioning.discovery.prober import NetworkProber
from provisioning.discovery.sources import Sniffer
from provisioning.effects import Hands
from provisioning.installer import Installer
from provisioning.journal import SqliteJournal
from provisioning.seams import Seams
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
        case _:
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
    heard: list[SightingSource] = [Sniffer(subnet.interface, str(subnet.own))]
    if backend.reserves:
        heard.append(LeaseSource(backend))
    wire = NetworkProber(subnet.interface, str(subnet.own), secrets.randbits)
    return assemble(seams, backend, wire, heard)


def assemble(
    seams: Seams,
    backend: Backend,
    network: RackNetwork,
    sources: Iterable[SightingSource] = (),
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
