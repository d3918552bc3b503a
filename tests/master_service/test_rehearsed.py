"""The master over the simulated rack, which runs the agent's own code; no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.messages import Command, Order, Phase, Reply, decode, encode
from broker.settings import RackSettings
from broker.topics import NodeLeaf, Scope
from master_service.power.fake import FakeOutlets
from master_service.probe import Answer
from master_service.service import Master
from master_service.settings import (
    Driver,
    MasterSettings,
    NodeRow,
    PowerSettings,
    Settings,
)
from node_agent.simulator.rehearsal import EPOCH, Rehearsal
from node_agent.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STACKS, BOARDS = 12, 4
STEP_S = 0.5


class Pings:
    """Asks the simulated boards; see ``Prober``."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rack = rehearsal.service.rack

    async def start(self) -> None:
        """Do nothing."""

    async def probe(self, address: str) -> Answer:
        return Answer(self._rack.answers_echo(address))

    async def stop(self) -> None:
        """Do nothing."""


class Stage:
    """A simulated rack and its master."""

    def __init__(self, folder: Path) -> None:
        simulator = SimulatorSettings(
            stacks=STACKS, boards=BOARDS, boot_s=3.0, echo_port=0
        )
        self.rehearsal = Rehearsal(simulator)
        rows = tuple(
            NodeRow(id=p.id, name=p.name, stack=p.stack, slot=p.slot)
            for p in simulator.places
        )
        settings = Settings(
            rack=RackSettings(name="lab", stacks=STACKS, boards=BOARDS),
            master=MasterSettings(data_dir=str(folder), grace_s=1, boot_s=5),
            power=PowerSettings(driver=Driver.FAKE, settle_s=1, min_off_s=1),
            nodes=rows,
        )
        outlets = tuple(f"stack-{n}" for n in range(1, STACKS + 1))
        self.master = Master(
            settings,
            connect=self.rehearsal.broker.connect,
            prober=Pings(self.rehearsal),
            outlets=FakeOutlets(folder / "relays.json", outlets),
            clock=lambda: self.rehearsal.clock_s,
            wall=lambda: EPOCH + self.rehearsal.clock_s,
            ticking=False,
        )

    async def start(self) -> None:
        await self.master.start()
        await self.rehearsal.start()
        await self.pass_time(3.0)

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


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    await stage.start()
    yield stage
    await stage.rehearsal.service.stop()
    await stage.master.stop()


def phases(reply: Reply) -> dict[Phase, list[str]]:
    found: dict[Phase, list[str]] = {}
    for row in reply.targets:
        found.setdefault(row.phase, []).append(row.name)
    return found


@pytest.mark.timeout(240)
async def test_a_rack_reboots_by_fours_and_the_one_that_stays_away_is_named(
    stage: Stage,
) -> None:
    await stage.rehearsal.ask("slow-boot", "s04n2 seconds=9999")
    final = await stage.ask("rack reboot", on_failure="continue")
    found = phases(final)
    assert found[Phase.FAILED] == ["s04n2"]
    assert len(found[Phase.DONE]) == 47
    proven = [row for row in final.targets if row.verified]
    assert len(proven) == 47
    assert "s04n2: no other boot id within" in final.error


@pytest.mark.timeout(240)
async def test_a_rack_stops_rebooting_when_one_stays_away(stage: Stage) -> None:
    await stage.rehearsal.ask("slow-boot", "s04n2 seconds=9999")
    found = phases(await stage.ask("rack reboot"))
    assert found[Phase.FAILED] == ["s04n2"]
    assert len(found[Phase.DONE]) == 15
    assert len(found[Phase.NOT_DELIVERED]) == 32


@pytest.mark.timeout(240)
async def test_a_board_known_to_be_dead_is_named_and_stops_nobody(
    stage: Stage,
) -> None:
    await stage.rehearsal.ask("network-cut", "s04n2")
    await stage.pass_time(45.0)
    found = phases(await stage.ask("rack reboot", wave=8))
    assert found[Phase.NOT_DELIVERED] == ["s04n2"]
    assert len(found[Phase.DONE]) == 47


async def test_a_stack_is_cycled_with_four_other_boot_ids_as_proof(
    stage: Stage,
) -> None:
    names = [f"s03n{n}" for n in range(1, 5)]
    before, others = stage.boot_ids(*names), stage.boot_ids("s02n1", "s04n4")
    final = await stage.ask("stack/3 power", args=("cycle",))
    assert final.ok is True, final.error
    assert final.verified
    after = stage.boot_ids(*names)
    assert not set(before) & set(after)
    assert len(set(after)) == 4
    assert stage.boot_ids("s02n1", "s04n4") == others


async def test_the_same_id_before_and_after_the_reboot_runs_once(
    stage: Stage,
) -> None:
    final = await stage.ask("node/s01n1 reboot", id="once")
    assert final.ok is True
    booted = stage.boot_ids("s01n1")
    again = await stage.ask("node/s01n2 reboot", id="once")
    assert "an id runs once" in again.error
    order = encode(Order(id="once", verb="reboot"))
    topic = stage.rehearsal.topic("s01n1", NodeLeaf.ORDER)
    stage.rehearsal.broker.publish(topic, order, qos=1)
    await stage.pass_time(10.0)
    assert stage.boot_ids("s01n1") == booted
