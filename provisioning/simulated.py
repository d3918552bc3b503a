"""Provisioning for a simulated rack: no server, no packets, boards that speak MQTT.

Its boards really lose power and boot; only the network is invented. Who talks over MQTT
answers at the address that the server in memory would have lent him.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from provisioning.build import new_run_id
from provisioning.clock import LoopClock
from provisioning.effects import Hands
from provisioning.fake import FakeBackend, FakeRack
from provisioning.installer import Installer
from provisioning.journal import SqliteJournal
from provisioning.run.messages import Answer, ForeignServer
from provisioning.run.sightings import reservations
from provisioning.seams import Announcer, Source, StackPower
from provisioning.settings import InstallSettings


class SimulatedNetwork:
    """Answers for the boards that talk at this moment.

    Args:
        backend: Lends addresses.
        talking: Returns the hardware addresses of the boards that talk.
    """

    def __init__(
        self, backend: FakeBackend, talking: Callable[[], Collection[str]]
    ) -> None:
        self._backend = backend
        self._talking = talking

    async def probe(
        self, addresses: Collection[str], *, within_s: float
    ) -> tuple[Answer, ...]:
        """Return who has the addresses."""
        await asyncio.sleep(within_s)
        answers = (
            Answer(address=self._backend.lend(m), mac=m) for m in self._talking()
        )
        return tuple(one for one in answers if one.address in addresses)

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Return none: there is no network another server could be on."""
        del within_s
        return ()


def make_simulated(
    settings: InstallSettings,
    *,
    power: StackPower,
    announcer: Announcer,
    journal: SqliteJournal,
    sources: Sequence[Source],
    talking: Callable[[], Collection[str]],
) -> Installer:
    """Return an installer for a simulated rack, not started yet.

    Args:
        settings: ``[install]``.
        power: Switches stacks.
        announcer: Who is told.
        journal: Open.
        sources: What hears boards: agents.
        talking: Returns the hardware addresses of the boards that talk.
    """
    served = reservations(journal.places())  # as a real server remembers
    backend = FakeBackend(FakeRack(settings.subnet()), served)
    network = SimulatedNetwork(backend, talking)
    return Installer(
        journal=journal,
        backend=backend,
        hands=Hands(power=power, backend=backend, network=network),
        sources=sources,
        announcer=announcer,
        clock=LoopClock(),
        new_id=new_run_id,
    )
