"""The table of ``pirack.toml`` that provisioning owns: ``[install]``."""

import enum
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from broker.common.config import Document
from broker.common.errors import ConfigError
from provisioning.backends.dnsmasq import Netboot
from provisioning.common.errors import SubnetError
from provisioning.common.subnet import Subnet, check_subnet
from provisioning.run.plan import AddressLayout, StackPlan
from provisioning.run.state import Params, RunPace

S = TypeVar("S", bound=msgspec.Struct)
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class BackendName(enum.StrEnum):
    """The DHCP server."""

    NONE = "none"
    """Provisioning is off."""
    DNSMASQ = "dnsmasq"
    OBSERVE = "observe"
    DHCPD = "dhcpd"
    KEA = "kea"
    FAKE = "fake"
    """No server: for a simulated rack, whose boards only speak MQTT."""


class InstallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[install]``: how boards are found and addressed.

    Args:
        backend: ``dnsmasq`` (ours), ``observe`` (somebody else's server), ``dhcpd`` or
            ``kea`` (ours too); ``fake`` for a simulated rack; ``none`` turns
            provisioning off.
        interface: The only interface that is served and listened on.
        address: The master's own address on it with its prefix, ``192.168.23.1/24``.
        first: Address of slot 1 of stack 1; the others follow.
        pool_first: First address for boards without a reservation.
        pool_last: Last such address.
        gateway: Router told to boards; empty: none.
        dns: Name servers told to boards.
        pool_lease_s: Lease of a pool address, seconds.
        lease_s: Lease of a reserved address, seconds.
        unit: systemd unit that runs the server; empty: it is our own child.
        data_dir: Folder of configuration, leases and journal; made when missing.
        netboot: Folder served by TFTP to boards that boot over the network; empty:
            none is (dnsmasq only).
        quiet_s: Seconds without a new board before a full stack counts as scanned.
        window_s: Seconds the boards of one stack have to boot and ask.
        settle_s: Seconds from a cut until boards are surely dead.
        baseline_s: Seconds to listen, with all stacks off, for other devices.
        probe_s: Seconds that answers to ARP may take.
        stagger_s: Seconds between two stacks that are switched on.
        verify_s: Seconds all boards have to come up at their addresses.
    """

    backend: BackendName = BackendName.NONE
    interface: str = ""
    address: str = "192.168.23.1/24"
    first: str = "192.168.23.10"
    pool_first: str = "192.168.23.200"
    pool_last: str = "192.168.23.254"
    gateway: str = ""
    dns: tuple[str, ...] = ()
    pool_lease_s: Annotated[int, msgspec.Meta(ge=120, le=86_400)] = 120
    lease_s: Annotated[int, msgspec.Meta(ge=120, le=604_800)] = 43_200
    unit: str = ""
    data_dir: str = "data/install"
    netboot: str = ""
    quiet_s: Seconds = 5.0
    window_s: Seconds = 120.0
    settle_s: Seconds = 3.0
    baseline_s: Seconds = 5.0
    probe_s: Seconds = 1.0
    stagger_s: Seconds = 1.5
    verify_s: Seconds = 180.0

    @property
    def on(self) -> bool:
        """Whether boards are provisioned at all."""
        return self.backend is not BackendName.NONE

    @property
    def folder(self) -> Path:
        """Where all its files are; absolute, for a server may change its own folder."""
        return Path(self.data_dir).absolute()

    @property
    def boot_files(self) -> Netboot | None:
        """What boards that boot over the network are served."""
        return Netboot(Path(self.netboot).absolute()) if self.netboot else None

    def subnet(self) -> Subnet:
        """Returns the network."""
        return _part(self, Subnet)

    def pace(self) -> RunPace:
        """Returns the waiting times; those without a setting have their defaults."""
        return _part(self, RunPace)


def _part(settings: InstallSettings, kind: type[S]) -> S:
    """Returns a struct with the settings that have the names of its fields."""
    names = set(kind.__struct_fields__).intersection(settings.__struct_fields__)
    return kind(**{name: getattr(settings, name) for name in names})


def read(document: Document, stacks: tuple[StackPlan, ...]) -> InstallSettings:
    """Reads and checks ``[install]``.

    Args:
        stacks: Every stack of the rack: their addresses must fit.

    Raises:
        ConfigError: A key is wrong, or addresses contradict each other.
    """
    settings = document.table("install", InstallSettings)
    if not settings.on:
        return settings
    largest = _largest(stacks)
    highest = max((stack.number for stack in stacks), default=0)
    try:
        check_subnet(settings.subnet(), boards=highest * largest, largest_stack=largest)
    except SubnetError as error:
        text = f"[install]: {error}"
        raise ConfigError(text) from error
    if settings.netboot and settings.backend is not BackendName.DNSMASQ:
        text = f"[install] netboot works with dnsmasq only, not {settings.backend}"
        raise ConfigError(text)
    return settings


def params(
    settings: InstallSettings,
    stacks: tuple[StackPlan, ...],
    *,
    only: int | None = None,
    dry: bool = False,
    confirmed: bool = False,
    force: bool = False,
    by: str = "",
    running: tuple[str, ...] = (),
    unplaced: tuple[str, ...] = (),
    mute: tuple[str, ...] = (),
) -> Params:
    """Returns what an install run is asked to do.

    Args:
        settings: ``[install]``.
        stacks: Every stack of the rack.
        only: The one stack to scan; None: all.
        dry: Only say what would happen.
        confirmed: A person already agreed.
        force: Go on over problems that would end the run.
        by: Name of the person who asked.
        running: Names of the boards that run in these stacks.
        unplaced: Names of the boards that run at unknown places.
        mute: Names of the boards in these stacks that cannot be asked to shut down.

    Raises:
        ConfigError: There is no such stack.
    """
    scanned = tuple(s for s in stacks if only is None or s.number == only)
    if not scanned:
        text = f"there is no stack {only}; the rack has {[s.number for s in stacks]}"
        raise ConfigError(text)
    subnet = settings.subnet()
    return Params(
        stacks=scanned,
        layout=AddressLayout(first=settings.first, per_stack=_largest(stacks)),
        network=str(subnet.network),
        pool_size=subnet.pool_size,
        whole=only is None,
        reserves=settings.backend is not BackendName.OBSERVE,
        dry=dry,
        confirmed=confirmed,
        force=force,
        pace=settings.pace(),
        by=by,
        running=running,
        unplaced=unplaced,
        mute=mute,
    )


def _largest(stacks: tuple[StackPlan, ...]) -> int:
    return max((stack.slots for stack in stacks), default=1)
