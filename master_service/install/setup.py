"""What ``[install]`` says, and what the installer is made of."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from broker.config import Document
from broker.errors import ConfigError
from master_service import layout
from master_service.settings import Settings
from provisioning import settings as provisioning
from provisioning.build import make_installer
from provisioning.installer import Installer
from provisioning.journal import SqliteJournal
from provisioning.plan import StackPlan
from provisioning.seams import Announcer, Source, StackPower
from provisioning.settings import BackendName, InstallSettings
from provisioning.simulated import make_simulated


class Make(Protocol):
    """Makes an installer, not started yet; see ``make``."""

    def __call__(
        self,
        settings: InstallSettings,
        *,
        power: StackPower,
        announcer: Announcer,
        journal: SqliteJournal,
        sources: Sequence[Source],
        talking: Callable[[], Collection[str]],
    ) -> Installer:
        """Make one.

        Raises:
            PiRackError: It cannot be.
        """


def make(
    settings: InstallSettings,
    *,
    power: StackPower,
    announcer: Announcer,
    journal: SqliteJournal,
    sources: Sequence[Source],
    talking: Callable[[], Collection[str]],
) -> Installer:
    """Return an installer on the real network, or on that of a simulated rack.

    Args:
        settings: ``[install]``, with a back end.
        power: Switches stacks.
        announcer: Who is told.
        journal: Open.
        sources: What hears boards beside the network: agents.
        talking: Returns the hardware addresses of the boards whose agents talk.

    Raises:
        BackendError: The server's program is not installed.
    """
    if settings.backend is BackendName.FAKE:
        return make_simulated(
            settings,
            power=power,
            announcer=announcer,
            journal=journal,
            sources=sources,
            talking=talking,
        )
    return make_installer(
        settings, power=power, announcer=announcer, journal=journal, sources=sources
    )


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
