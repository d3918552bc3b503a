"""An installer on a lab: real server, sniffer and packets, on the lab's outlets."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from broker.contract.messages import InstallVerdict
from provisioning.backends.backend import LeaseSource
from provisioning.common.subnet import Subnet
from provisioning.discovery.prober import NetworkProber
from provisioning.discovery.sources import Sniffer
from provisioning.effects import InstallEffects
from provisioning.fake import FakeAnnouncer
from provisioning.installer import Installer
from provisioning.interfaces import StackPower
from provisioning.journal import SqliteJournal
from provisioning.run.plan import AddressLayout, Place, StackPlan
from provisioning.run.state import InstallRun, Params, RunPace
from tests.system.provisioning_netns.lab import SUBNET, Lab
from tests.system.provisioning_netns.servers import make_dnsmasq

PACE = RunPace(
    preflight_s=20,
    settle_s=0.05,
    baseline_s=0.4,
    quiet_s=0.2,
    window_s=15,
    probe_s=0.3,
    retry_s=0.2,
    stagger_s=0,
    verify_s=15,
)
QUICK = msgspec.structs.replace(PACE, baseline_s=0.1, probe_s=0.1)
"""For runs in which nobody is who should not be: nobody is listened for in vain."""
SEARCH_S = 0.3
"""Seconds to look for other DHCP servers; dnsmasq answers at once."""

Story = Callable[[Installer], Awaitable[None]]


def params(stacks: int, slots: int, subnet: Subnet = SUBNET) -> Params:
    return Params(
        stacks=tuple(StackPlan(n + 1, slots) for n in range(stacks)),
        layout=AddressLayout(first=subnet.first, per_stack=slots),
        network=str(subnet.network),
        pool_size=subnet.pool_size,
        confirmed=True,
        pace=PACE,
    )


class Clock:
    """A clock that a test puts forward where nothing more is to come."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s


class Rack:
    """``stacks`` x ``slots`` Pis of a lab.

    Args:
        lab: Where they are built.
        stacks: How many stacks.
        slots: Boards in each.
        boot_s: Returns how long the next board boots, seconds.
    """

    def __init__(
        self, lab: Lab, stacks: int, slots: int, boot_s: Callable[[], float]
    ) -> None:
        self.lab = lab
        self.params = params(stacks, slots)
        self.events: list[str] = []
        self.clock = Clock()
        places = list(itertools.product(range(1, stacks + 1), range(1, slots + 1)))
        boards = {mac(*at): {"stack": at[0], "boot_s": boot_s()} for at in places}
        self.pis = dict(zip(places, lab.build(boards), strict=True))

    def install(
        self,
        beside: Story | None = None,
        *,
        subnet: Subnet = SUBNET,
        **changes: object,
    ) -> InstallRun:
        """Run an install to its end; ``beside`` happens while it is under way."""
        wanted = msgspec.structs.replace(self.params, **changes)

        async def main() -> InstallRun:
            folder = self.lab.folder / "master"
            master = Master(self.lab, folder, self.events, subnet, clock=self.clock)
            return await master.install(wanted, beside)

        return self.lab.run(main)


def mac(stack: int, slot: int) -> str:
    return f"dc:a6:32:00:{stack:02x}:{slot:02x}"


def taken(run: InstallRun) -> dict[str, tuple[str, str]]:
    """Return name and address by hardware address, of boards that are well."""
    return {
        p.mac: (p.name, p.address) for p in run.places if p.verdict is InstallVerdict.OK
    }


def place(run: InstallRun, name: str) -> Place:
    return next(place for place in run.places if place.name == name)


def texts(run: InstallRun, verdict: InstallVerdict) -> str:
    return "\n".join(one.text for one in run.findings if one.verdict is verdict)


class Master:
    """What runs on the master's Pi.

    Args:
        power: The outlets.
        folder: Its own.
        events: Where lines of history go.
        subnet: The rack's network.
        journal: What makes the journal.
        clock: Of the runs.
    """

    def __init__(
        self,
        power: StackPower,
        folder: Path,
        events: list[str],
        subnet: Subnet,
        journal: type[SqliteJournal] = SqliteJournal,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.journal = journal(folder / "install.sqlite")
        backend, _child = make_dnsmasq(subnet, folder / "dhcp")
        wire = NetworkProber(subnet.interface, str(subnet.own), secrets.randbits)
        announcer = FakeAnnouncer()
        announcer.events = events
        self.installer = Installer(
            journal=self.journal,
            backend=backend,
            effects=InstallEffects(
                power=power, backend=backend, network=wire, search_s=SEARCH_S
            ),
            sources=[Sniffer(subnet.interface, str(subnet.own)), LeaseSource(backend)],
            announcer=announcer,
            now=clock,
            new_id=lambda: f"run-{time.time_ns()}",
        )

    async def install(self, wanted: Params, beside: Story | None = None) -> InstallRun:
        """Run an install, or go on with the one a killed process left."""
        installer = self.installer
        self.journal.open()
        await installer.start()
        story = None
        try:
            if installer.run is None or installer.run.over:
                await installer.begin(wanted)
            if beside is not None:
                story = asyncio.ensure_future(beside(installer))
            async with asyncio.timeout(120):
                while installer.run is None or not installer.run.over:  # noqa: ASYNC110  # nobody is told
                    await asyncio.sleep(0.02)
            return installer.run
        finally:
            if story is not None:
                await story
            await installer.stop()
            self.journal.close()


async def reach(installer: Installer, when: Callable[[InstallRun], bool]) -> None:
    """Wait until a run is where it should be."""
    async with asyncio.timeout(60):
        while installer.run is None or not when(installer.run):  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.01)
