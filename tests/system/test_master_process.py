"""The master as its own process, on a real Mosquitto, over a simulated rack."""

# long: starting a processes takes seconds, so all that is asked of one is asked here

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Verdict
from node_agent.simulator.settings import BoardPlace
from tests.system.rack_processes import (
    BOARDS,
    STACKS,
    TOPICS,
    CommandClient,
    RackProcesses,
    connected_client,
    running_rack,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RackProcesses]:
    with running_rack(tmp_path_factory.mktemp("processes")) as processes:
        yield processes


@pytest.fixture
async def client(processes: RackProcesses) -> AsyncIterator[CommandClient]:
    """A client that sees all 48 boards online."""
    async with connected_client(processes) as client:
        yield client


async def test_a_rack_wide_ping_is_answered_with_every_board(
    client: CommandClient,
) -> None:
    (final,) = await client.ask("rack ping")
    assert final.ok is True
    assert len(final.targets) == STACKS * BOARDS


async def test_a_crashed_agent_is_hung_until_it_is_back(client: CommandClient) -> None:
    board = BoardPlace(3, 2).id
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/crash", b"s03n2", qos=1)
    await client.until(lambda: client.observed.nodes[board].verdict is Verdict.HUNG)
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s03n2", qos=1)
    await client.all_online()


async def test_a_frozen_agent_is_late_until_it_is_back(client: CommandClient) -> None:
    board = BoardPlace(4, 1).id
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/freeze", b"s04n1", qos=1)
    await client.until(lambda: client.observed.nodes[board].verdict is Verdict.LATE)
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s04n1", qos=1)
    await client.all_online()


async def test_kill_9_of_the_master_loses_and_switches_nothing(
    processes: RackProcesses, client: CommandClient
) -> None:
    board = BoardPlace(1, 1).id
    assert (await client.ask("node/s01n1 name", "alpha"))[0].ok is True
    assert (await client.ask("node/alpha tag", "db"))[0].ok is True
    await client.ask("stack/2 power", "off", confirm="stack/2")
    await client.until(lambda: str(client.observed.stacks[2].power) == "off")
    before = processes.relays
    for _ in range(3):
        processes.kill("master")
        client.observed.nodes.clear()
        client.observed.stacks.clear()
        processes.start("master")
        await client.until(lambda: all_but_one_stack(client))
        assert processes.relays == before, "an outlet was switched"
        assert client.observed.nodes[board].name == "alpha"
        assert client.observed.nodes[board].tags == ("db",)
        assert client.observed.stacks[2].wanted == "off"
    (final,) = await client.ask("stack/2 power", "on")
    assert final.ok is True, final.error
    await client.all_online()


def all_but_one_stack(client: CommandClient) -> bool:
    """Whether stack 2 is told to be off, each board of it, and the others online."""
    observed = client.observed
    return (
        observed.with_verdict(Verdict.ONLINE) == (STACKS - 1) * BOARDS
        and observed.with_verdict(Verdict.OFF) == BOARDS
        and 2 in observed.stacks
        and str(observed.stacks[2].power) == "off"
    )


async def test_a_stack_is_cycled_with_new_boot_ids_as_proof(
    client: CommandClient,
) -> None:
    (final,) = await client.ask("stack/5 power", "cycle", confirm="stack/5")
    assert final.ok is True, final.error
    assert final.verified
    assert len(final.targets) == BOARDS
    await client.all_online()


async def test_a_reboot_is_proven(client: CommandClient) -> None:
    (final,) = await client.ask("node/s06n1 reboot")
    assert final.ok is True, final.error
    assert final.verified


async def test_kill_9_of_the_broker_makes_nothing_lost(
    processes: RackProcesses, client: CommandClient
) -> None:
    seen: set[Verdict] = set()
    processes.broker.stop()
    await asyncio.sleep(3)
    processes.broker.start()

    def watched() -> bool:
        seen.update(state.verdict for state in client.observed.nodes.values())
        rack = client.observed.rack
        return (
            client.link.connected
            and client.observed.with_verdict(Verdict.ONLINE) == STACKS * BOARDS
            and rack is not None
            and rack.totals.get(Verdict.ONLINE) == STACKS * BOARDS
        )

    client.observed.rack = None
    await client.until(watched)
    assert Verdict.LOST not in seen
    assert Verdict.UNPOWERED not in seen
