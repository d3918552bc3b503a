"""A master over the simulated rack, which runs the agent's own code; no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.common.config import RackSettings
from broker.contract.messages import Command, Reply, decode, encode
from broker.contract.topics import Scope
from master_service.install.service import Setup
from master_service.power.fake import FakeOutlets
from master_service.presence.probe import PingAnswer
from master_service.rack.settings import (
    Driver,
    MasterSettings,
    NodeRow,
    PowerSettings,
    Settings,
)
from master_service.service import Master
from node_agent.simulator.settings import SimulatorSettings
from tests.virtual_rack import EPOCH, VirtualRack

if TYPE_CHECKING:
    from pathlib import Path

STEP_S = 0.5


class Pings:
    """Asks the simulated boards; see ``Prober``."""

    def __init__(self, rehearsal: VirtualRack) -> None:
        self._rack = rehearsal.service.rack

    async def start(self) -> None:
        """Do nothing."""

    async def probe(self, address: str) -> PingAnswer:
        return PingAnswer(self._rack.answers_ping(address))

    async def stop(self) -> None:
        """Do nothing."""


class Stage:
    """A simulated rack and its master.

    Args:
        folder: What the master keeps.
        stacks: How many.
        boards: In each.
        setup: Provisioning.
        configured: Whether the configuration says where each board stands.
    """

    def __init__(
        self,
        folder: Path,
        stacks: int,
        boards: int,
        *,
        setup: Setup | None = None,
        configured: bool = True,
    ) -> None:
        simulator = SimulatorSettings(
            stacks=stacks, boards=boards, boot_s=3.0, echo_port=0
        )
        self.folder = folder
        self.rehearsal = VirtualRack(simulator)
        self.setup = setup or Setup()
        rows = tuple(
            NodeRow(id=p.id, name=p.name, stack=p.stack, slot=p.slot)
            for p in simulator.places
            if configured
        )
        self.settings = Settings(
            rack=RackSettings(name="lab", stacks=stacks, boards=boards),
            master=MasterSettings(data_dir=str(folder), grace_s=1, boot_s=5),
            power=PowerSettings(driver=Driver.FAKE, settle_s=1, min_off_s=1),
            nodes=rows,
        )
        names = tuple(f"stack-{n}" for n in range(1, stacks + 1))
        self.outlets = FakeOutlets(folder / "relays.json", names)
        self.master = self.make()

    def make(self, boot_id: str = "") -> Master:
        """Make a master, in the place of another that ended.

        Args:
            boot_id: Of its machine; another one than before: it had no power.
        """
        self.master = Master(
            self.settings,
            connect=self.rehearsal.broker.connect,
            prober=Pings(self.rehearsal),
            outlets=self.outlets,
            setup=self.setup,
            clock=lambda: self.rehearsal.clock_s,
            wall=lambda: EPOCH + self.rehearsal.clock_s,
            boot_id=boot_id,
            ticking=False,
        )
        return self.master

    async def start(self) -> None:
        await self.master.start()
        await self.rehearsal.start()
        await self.pass_time(3.0)

    async def stop(self) -> None:
        await self.rehearsal.service.stop()
        await self.master.stop()

    async def pass_time(self, seconds: float) -> None:
        end = self.rehearsal.clock_s + seconds
        while self.rehearsal.clock_s < end:
            await self.rehearsal.advance(STEP_S)
            self.master.tick()
            await self.master.settle()
            await self.rehearsal.settle()

    async def ask(self, where: str, limit_s: float = 400.0, **said: object) -> Reply:
        """Send a confirmed command and return its whole final reply."""
        scope, verb = where.split()
        command = Command(**{"id": "c1", "confirm": scope, **said})  # type: ignore[arg-type]  # fields by name
        topics, broker = self.rehearsal.topics, self.rehearsal.broker
        topic = topics.command(Scope.parse(scope), verb)
        broker.publish(topic, encode(command), qos=1)
        end = self.rehearsal.clock_s + limit_s
        while True:
            await self.pass_time(STEP_S)
            sent = broker.sent(topics.reply(Scope.parse(scope), verb))
            replies = [decode(message.payload, Reply) for message in sent]
            parts = [r for r in replies if r.id == command.id and r.phase.final]
            if parts and len(parts) >= parts[0].parts:
                rows = tuple(row for part in parts for row in part.targets)
                return Reply(
                    **{f: getattr(parts[0], f) for f in Reply.__struct_fields__}
                    | {"targets": rows}
                )
            assert self.rehearsal.clock_s < end, "no final reply"

    def boot_ids(self, *names: str) -> list[str]:
        return [self.rehearsal.details(name).boot_id for name in names]
