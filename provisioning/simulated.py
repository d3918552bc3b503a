"""Provisioning for a simulated rack: no server, no packets, boards that speak MQTT.

Its boards really lose power and boot; only the network is invented. Who talks over MQTT
answers at the address that the server in memory would have lent him.
"""

import asyncio
from collections.abc import Callable, Collection

from provisioning.build import assemble
from provisioning.common.network import ArpAnswer, ForeignServer
from provisioning.fake import FakeBackend, FakeRack
from provisioning.installer import Installer
from provisioning.run.sightings import reservations
from provisioning.seams import Seams
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
    ) -> tuple[ArpAnswer, ...]:
        """Return who has the addresses.

        Only boards with a fixed address answer: of another one that lost power a moment
        ago, its agent's silence does not tell yet.
        """
        await asyncio.sleep(within_s)
        talking = set(self._talking())
        return tuple(
            ArpAnswer(address=row.address, mac=row.mac)
            for row in self._backend.applied()
            if row.address in addresses and row.mac in talking
        )

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Return none: there is no network another server could be on."""
        del within_s
        return ()


def make_simulated(settings: InstallSettings, seams: Seams) -> Installer:
    """Return an installer for a simulated rack, not started yet.

    Args:
        settings: ``[install]``.
        seams: What the master gives.
    """
    served = reservations(seams.journal.places())  # as a real server remembers
    backend = FakeBackend(FakeRack(settings.subnet()), served)
    return assemble(seams, backend, SimulatedNetwork(backend, seams.talking))
