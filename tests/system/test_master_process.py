"""The master as its own process, on a real Mosquitto, over a simulated rack."""

# long: starting a site takes seconds, so all that is asked of one is asked here

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Verdict
from node_agent.simulator.settings import BoardPlace
from tests.system.master_site import (
    BOARDS,
    STACKS,
    TOPICS,
    Asker,
    Site,
    asking,
    running,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
async def asker(site: Site) -> AsyncIterator[Asker]:
    """A client that sees all 48 boards online."""
    async with asking(site) as asker:
        yield asker


async def test_a_rack_wide_ping_is_answered_with_every_board(asker: Asker) -> None:
    (final,) = await asker.ask("rack ping")
    assert final.ok is True
    assert len(final.targets) == STACKS * BOARDS


async def test_a_crashed_agent_is_hung_until_it_is_back(asker: Asker) -> None:
    board = BoardPlace(3, 2).id
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/crash", b"s03n2", qos=1)
    await asker.until(lambda: asker.eyes.nodes[board].verdict is Verdict.HUNG)
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s03n2", qos=1)
    await asker.all_online()


async def test_a_frozen_agent_is_late_until_it_is_back(asker: Asker) -> None:
    board = BoardPlace(4, 1).id
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/freeze", b"s04n1", qos=1)
    await asker.until(lambda: asker.eyes.nodes[board].verdict is Verdict.LATE)
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s04n1", qos=1)
    await asker.all_online()


async def test_kill_9_of_the_master_loses_and_switches_nothing(
    site: Site, asker: Asker
) -> None:
    board = BoardPlace(1, 1).id
    assert (await asker.ask("node/s01n1 name", "alpha"))[0].ok is True
    assert (await asker.ask("node/alpha tag", "db"))[0].ok is True
    await asker.ask("stack/2 power", "off", confirm="stack/2")
    await asker.until(lambda: str(asker.eyes.stacks[2].power) == "off")
    before = site.relays
    for _ in range(3):
        site.kill("master")
        asker.eyes.nodes.clear()
        asker.eyes.stacks.clear()
        site.start("master")
        await asker.until(lambda: all_but_one_stack(asker))
        assert site.relays == before, "an outlet was switched"
        assert asker.eyes.nodes[board].name == "alpha"
        assert asker.eyes.nodes[board].tags == ("db",)
        assert asker.eyes.stacks[2].wanted == "off"
    (final,) = await asker.ask("stack/2 power", "on")
    assert final.ok is True, final.error
    await asker.all_online()


def all_but_one_stack(asker: Asker) -> bool:
    """Whether stack 2 is told to be off, each board of it, and the others online."""
    eyes = asker.eyes
    return (
        eyes.with_verdict(Verdict.ONLINE) == (STACKS - 1) * BOARDS
        and eyes.with_verdict(Verdict.OFF) == BOARDS
        and 2 in eyes.stacks
        and str(eyes.stacks[2].power) == "off"
    )


async def test_a_stack_is_cycled_with_new_boot_ids_as_proof(asker: Asker) -> None:
    (final,) = await asker.ask("stack/5 power", "cycle", confirm="stack/5")
    assert final.ok is True, final.error
    assert final.verified
    assert len(final.targets) == BOARDS
    await asker.all_online()


async def test_a_reboot_is_proven(asker: Asker) -> None:
    (final,) = await asker.ask("node/s06n1 reboot")
    assert final.ok is True, final.error
    assert final.verified


async def test_kill_9_of_the_broker_makes_nothing_lost(
    site: Site, asker: Asker
) -> None:
    seen: set[Verdict] = set()
    site.kill("broker")
    await asyncio.sleep(3)
    site.start_broker()

    def watched() -> bool:
        seen.update(state.verdict for state in asker.eyes.nodes.values())
        rack = asker.eyes.rack
        return (
            asker.link.connected
            and asker.eyes.with_verdict(Verdict.ONLINE) == STACKS * BOARDS
            and rack is not None
            and rack.totals.get(Verdict.ONLINE) == STACKS * BOARDS
        )

    asker.eyes.rack = None
    await asker.until(watched)
    assert Verdict.LOST not in seen
    assert Verdict.UNPOWERED not in seen
