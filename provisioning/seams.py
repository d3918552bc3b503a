"""What the installer is given: power, clock, journal, network, and who listens.

The master fills these with its own; ``provisioning.fake`` has one of each for tests and
for a simulated rack.
"""

from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from broker.contract.messages import InstallState, Power
from provisioning.common.network import ArpAnswer, BoardHeard, ForeignServer
from provisioning.plan import Place
from provisioning.run.state import Run


class StackPower(Protocol):
    """Switches whole stacks."""

    async def switch(self, stack: int, *, on: bool, consent: bool = False) -> None:
        """Bring a stack to a level; bringing it to the one it has is fine.

        Off asks boards whose agents are up to shut down first, and waits for the proof,
        as every off does. It gives up by itself.

        Args:
            stack: Which.
            on: Where to.
            consent: A person agreed that boards which cannot be asked lose power;
                without that, an off is refused as long as there is one, and nothing
                is switched.

        Raises:
            PiRackError: It could not be switched; the text says why.
        """

    async def read(self, stack: int) -> Power:
        """Return the level that reads back; unknown where the driver cannot tell.

        Raises:
            PiRackError: It cannot be asked.
        """


class Clock(Protocol):
    """The two clocks."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def wall(self) -> float:
        """Return Unix time, seconds."""


class Journal(Protocol):
    """Where runs and places are kept, durably."""

    def last(self) -> Run | None:
        """Return the latest run, over or not; None: there was none."""

    def places(self) -> tuple[Place, ...]:
        """Return every place of the rack."""

    async def save(self, run: Run) -> None:
        """Keep a run and its places, both or neither.

        Raises:
            JournalError: It cannot be written, or two boards would share a place.
        """

    async def keep(self, places: tuple[Place, ...]) -> None:
        """Keep places that a person changed between two runs.

        Raises:
            JournalError: It cannot be written, or two boards would share a place.
        """


class Announcer(Protocol):
    """Who is told what happens; the master publishes it."""

    def state(self, state: InstallState) -> None:
        """Take the run's progress; only when it changed."""

    def run(self, run: Run) -> None:
        """Take the run as it is, after every turn of it."""

    def event(self, text: str, *, stack: int | None = None, mac: str = "") -> None:
        """Take one line of the rack's history."""


class Ear(Protocol):
    """Who is told what is heard on the network; called on the loop."""

    def heard(self, ask: BoardHeard) -> None:
        """Take what a board said."""

    def server(self, server: ForeignServer) -> None:
        """Take the sign of a DHCP server that is not ours."""


class Source(Protocol):
    """Hears boards: the sniffer, leases, agents."""

    async def start(self, ear: Ear) -> None:
        """Begin to listen.

        Raises:
            NetworkError: It cannot.
        """

    async def stop(self) -> None:
        """Stop; calling it twice is fine."""


class Network(Protocol):
    """Asks questions on the rack's network."""

    async def probe(
        self, addresses: Collection[str], *, within_s: float
    ) -> tuple[ArpAnswer, ...]:
        """Return who answers at these addresses.

        Args:
            addresses: IPv4 addresses.
            within_s: How long to listen, seconds.

        Raises:
            NetworkError: Nobody can be asked.
        """

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Return the DHCP servers that answer and are not ours.

        Args:
            within_s: How long to listen, seconds.

        Raises:
            NetworkError: Nobody can be asked.
        """


class Seams(msgspec.Struct, frozen=True, kw_only=True):
    """What the master gives an installer.

    Args:
        power: Switches stacks.
        announcer: Who is told.
        journal: Open.
        sources: What hears boards beside the network: agents.
        talking: Returns the MAC addresses of the boards whose agents talk now.
    """

    power: StackPower
    announcer: Announcer
    journal: Journal
    sources: tuple[Source, ...]
    talking: Callable[[], Collection[str]]
