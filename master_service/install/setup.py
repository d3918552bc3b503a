"""What ``[install]`` says, and what the installer is made of."""

from collections.abc import Callable

import msgspec

from broker.common.config import Document
from broker.common.errors import ConfigError
from master_service.rack import layout
from master_service.rack.settings import Settings
from provisioning import settings as provisioning
from provisioning.build import make_installer, make_simulated
from provisioning.installer import Installer
from provisioning.interfaces import MasterParts
from provisioning.run.plan import StackPlan
from provisioning.settings import BackendName, InstallSettings

Make = Callable[[InstallSettings, MasterParts], Installer]
"""Makes an installer, not started yet; see ``make``."""


def make(settings: InstallSettings, seams: MasterParts) -> Installer:
    """Return an installer on the real network, or on that of a simulated rack.

    Args:
        settings: ``[install]``, with a back end.
        seams: What the master gives.

    Raises:
        BackendError: The server's program is not installed.
    """
    if settings.backend is BackendName.FAKE:
        return make_simulated(settings, seams)
    return make_installer(settings, seams)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Provisioning as configured.

    Args:
        settings: ``[install]``.
        problem: Why it cannot be used; empty: it can, or it is off.
        make: Makes the installer.
    """

    settings: InstallSettings = InstallSettings()
    problem: str = ""
    make: Make = make


def read(document: Document, settings: Settings) -> Setup:
    """Read ``[install]``; a mistake there is told and stops nothing but provisioning.

    Args:
        document: The configuration.
        settings: The master's.
    """
    try:
        found = provisioning.read(document, plans(layout.stacks(settings)))
    except ConfigError as error:
        return Setup(problem=str(error))
    return Setup(settings=found)


def plans(stacks: dict[int, layout.Stack]) -> tuple[StackPlan, ...]:
    """Return the stacks as provisioning counts them."""
    return tuple(StackPlan(one.number, one.slots) for one in stacks.values())
