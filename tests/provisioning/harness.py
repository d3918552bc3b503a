"""An installer on a rack in memory, and what tests of runs share."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import msgspec

from broker.contract.messages import InstallVerdict
from provisioning.common.subnet import Subnet
from provisioning.effects import InstallEffects
from provisioning.fake import FakeAnnouncer, FakeJournal, FakeRack, RackBoard
from provisioning.installer import Installer
from provisioning.interfaces import RunJournal
from provisioning.run.plan import AddressLayout, Place, StackPlan
from provisioning.run.state import InstallRun, Params

SUBNET = Subnet(
    interface="eth1",
    address="192.168.23.1/24",
    first="192.168.23.10",
    pool_first="192.168.23.200",
    pool_last="192.168.23.250",
)


class Rig:
    """A rack of ``stacks`` x ``slots`` boards and an installer on it."""

    def __init__(
        self, stacks: int, slots: int, journal: RunJournal | None = None
    ) -> None:
        self.plans = tuple(StackPlan(n + 1, slots) for n in range(stacks))
        self.params = Params(
            stacks=self.plans,
            layout=AddressLayout(first=SUBNET.first, per_stack=slots),
            network=str(SUBNET.network),
            pool_size=SUBNET.pool_size,
            confirmed=True,
        )
        self.rack = FakeRack(
            SUBNET,
            [
                RackBoard(mac(s, n), s, boot_s=20 + s + n)
                for s in range(1, stacks + 1)
                for n in range(1, slots + 1)
            ],
        )
        self.memory = FakeJournal()
        self.journal: RunJournal = journal or self.memory
        self.announcer = FakeAnnouncer()
        self.ids = iter(range(1, 1000))

    def installer(self, own: Callable[[], set[str]] = set) -> Installer:
        return Installer(
            own=own,
            journal=self.journal,
            backend=self.rack.backend,
            effects=InstallEffects(
                power=self.rack.power,
                backend=self.rack.backend,
                network=self.rack.network,
            ),
            sources=[self.rack.source],
            announcer=self.announcer,
            new_id=lambda: f"run-{next(self.ids)}",
        )

    async def begin(self, **changes: Any) -> Installer:  # noqa: ANN401  # fields of Params
        """Start an installer and begin a run."""
        installer = self.installer()
        await installer.start()
        await installer.begin(msgspec.structs.replace(self.params, **changes))
        return installer

    async def install(self, **changes: Any) -> InstallRun:  # noqa: ANN401  # as `begin`
        """Run to the end and return how it ended."""
        installer = await self.begin(**changes)
        run = await self.ended(installer)
        await installer.stop()
        return run

    async def ended(self, installer: Installer) -> InstallRun:
        return await self.reach(installer, lambda run: run.over)

    async def reach(
        self, installer: Installer, when: Callable[[InstallRun], object]
    ) -> InstallRun:
        """Wait until a run is where it should be."""
        async with asyncio.timeout(7200):
            while installer.run is None or not when(installer.run):  # noqa: ASYNC110  # virtual time; nothing tells
                await asyncio.sleep(0.5)
        return installer.run

    def board(self, stack: int, slot: int) -> RackBoard:
        """The board that was built in as the n-th of a stack."""
        return next(b for b in self.rack.boards if b.mac == mac(stack, slot))


def mac(stack: int, slot: int) -> str:
    return f"dc:a6:32:00:{stack:02x}:{slot:02x}"


NewRig = Callable[..., Rig]
T = TypeVar("T")


class Virtually(Protocol):
    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T: ...


def taken(run: InstallRun) -> dict[str, tuple[str, str]]:
    """Return name and address by hardware address, of boards that are well."""
    return {
        place.mac: (place.name, place.address)
        for place in run.places
        if place.verdict is InstallVerdict.OK
    }


def reasons(run: InstallRun, verdict: InstallVerdict) -> str:
    return "\n".join(f.text for f in run.findings if f.verdict is verdict)


def place(run: InstallRun, name: str) -> Place:
    return next(place for place in run.places if place.name == name)
