"""The master over the simulated rack, which runs the agent's own code; no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Order, Phase, Reply, encode
from broker.contract.topics import NodeLeaf
from tests.master_service.rehearsed import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STACKS, BOARDS = 12, 4


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, STACKS, BOARDS)
    await stage.start()
    yield stage
    await stage.stop()


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


@pytest.mark.parametrize("verb", ["restart-agent", "update"])
@pytest.mark.timeout(240)
async def test_what_leaves_the_boot_as_it_is_is_proven_on_the_whole_rack(
    stage: Stage, verb: str
) -> None:
    before = stage.boot_ids("s01n1", "s12n4")
    final = await stage.ask(f"rack {verb}")
    assert (final.ok, final.verified) == (True, True), final.error
    assert len(final.targets) == STACKS * BOARDS
    assert stage.boot_ids("s01n1", "s12n4") == before
