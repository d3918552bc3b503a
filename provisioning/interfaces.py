"""What the installer is given by the master; ``provisioning.fake`` has one of each."""

from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from broker.contract.messages import InstallState, Power
from provisioning.common.network import SightingSource
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun


class StackPower(Protocol):
    """Switches whole stacks; both methods raise PiRackError with the reason."""

    async def switch(self, stack: int, *, on: bool, consent: bool = False) -> None:
        """Brings a stack to a level; bringing it to the one it has is fine.

        Off asks boards whose agents are up to shut down first, and waits for the proof,
        as every off does. It gives up by itself.

        Args:
            consent: A person agreed that boards which cannot be asked lose power;
                without that, an off is refused as long as there is one, and nothing
                is switched.
        """

    async def read(self, stack: int) -> Power:
        """Returns the level that reads back; unknown where the driver cannot tell."""


class RunJournal(Protocol):
    """Keeps runs and places on disk.

    Writing raises JournalError: it failed, or two boards would share a place.
    """

    def last(self) -> InstallRun | None:
        """Returns the latest run, over or not; None: there was none."""

    def places(self) -> tuple[Place, ...]:
        """Returns every place of the rack."""

    async def save(self, run: InstallRun) -> None:
        """Writes a run and its places, both or neither."""

    async def keep(self, places: tuple[Place, ...]) -> None:
        """Writes places that a person changed between two runs."""


class Announcer(Protocol):
    """Publishes what happens in a run."""

    def state(self, state: InstallState) -> None:
        """Publishes the run's progress; called only when it changed."""

    def run(self, run: InstallRun) -> None:
        """Handles the run as it is, after every turn of it."""

    def event(self, text: str, *, stack: int | None = None, mac: str = "") -> None:
        """Adds a line to the rack's history."""


class MasterParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the master gives an installer.

    Args:
        sources: What hears boards beside the network: agents.
        talking: Returns the hardware addresses of the boards whose agents talk now.
    """

    power: StackPower
    announcer: Announcer
    journal: RunJournal
    sources: tuple[SightingSource, ...]
    talking: Callable[[], Collection[str]]
