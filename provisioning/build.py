"""Puts an installer together from the configuration."""

import secrets
import time
from collections.abc import Sequence

from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.backend import Backend
from provisioning.backends.daemon import Child, Daemon
from provisioning.backends.observe import Observe
from provisioning.backends.unit import Unit
from provisioning.backends.whole_file import WholeFile
from provisioning.clock import LoopClock
from provisioning.discovery.leases import LeaseSource
from provisioning.discovery.sniffer import Sniffer
from provisioning.discovery.wire import Wire
from provisioning.effects import Hands
from provisioning.installer import Installer
from provisioning.journal import SqliteJournal
from provisioning.seams import Announcer, Source, StackPower
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
            return WholeFile(kea.Kea(folder), subnet, folder, daemon, time.time)
        case BackendName.DNSMASQ:
            daemon = _daemon(settings, Child(dnsmasq.command(folder), folder))
            return dnsmasq.Dnsmasq(subnet, folder, daemon, settings.boot_files)
        case _:
            return Observe(subnet, folder)


def _daemon(settings: InstallSettings, child: Child) -> Daemon:
    return Unit(settings.unit) if settings.unit else child


def make_installer(
    settings: InstallSettings,
    *,
    power: StackPower,
    announcer: Announcer,
    journal: SqliteJournal,
    sources: Sequence[Source] = (),
) -> Installer:
    """Return an installer on the real network, not started yet.

    Args:
        settings: ``[install]``, with a back end.
        power: Switches stacks.
        announcer: Who is told.
        journal: Open.
        sources: What hears boards beside the wire and the leases: agents.

    Raises:
        BackendError: The server's program is not installed.
    """
    subnet = settings.subnet()
    backend = make_backend(settings)
    wire = Wire(subnet.interface, str(subnet.own), secrets.randbits)
    heard: list[Source] = [Sniffer(subnet.interface, str(subnet.own)), *sources]
    if backend.reserves:
        heard.append(LeaseSource(backend))
    return Installer(
        journal=journal,
        backend=backend,
        hands=Hands(power=power, backend=backend, network=wire),
        sources=heard,
        announcer=announcer,
        clock=LoopClock(),
        new_id=new_run_id,
    )


def new_run_id() -> str:
    """Return the id of a run that begins."""
    return f"install-{secrets.token_hex(ID_BYTES)}"


def make_journal(settings: InstallSettings) -> SqliteJournal:
    """Return the journal in the configured folder, not open yet."""
    return SqliteJournal(settings.folder / "install.sqlite", LoopClock())
