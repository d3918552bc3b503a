"""A stack fails in a simulated rack: one incident, as the real master tells it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import EventKind, Verdict
from node_agent.simulator.settings import BoardPlace
from tests.system.rack_processes import (
    BOARDS,
    PATIENCE_S,
    TOPICS,
    CommandClient,
    RackProcesses,
    connected_client,
    running_rack,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from broker.contract.messages import Event

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]

STACK = {BoardPlace(3, slot).id for slot in range(1, BOARDS + 1)}


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RackProcesses]:
    with running_rack(tmp_path_factory.mktemp("incident")) as processes:
        yield processes


@pytest.fixture
async def client(processes: RackProcesses) -> AsyncIterator[CommandClient]:
    async with connected_client(processes) as client:
        yield client


async def history(client: CommandClient, where: str, *words: str) -> list[Event]:
    parts = await client.ask(f"{where} events", *words)
    assert parts[0].ok is True, parts[0].error
    return [event for part in parts for event in part.events]


async def headlines(client: CommandClient) -> list[Event]:
    return await history(client, "rack", "kind=incident")


async def until_said(client: CommandClient, words: str) -> Event:
    """Ask until a headline has some words; return it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        lines = await headlines(client)
        found = [event for event in lines if words in event.text]
        if found:
            return found[-1]
        assert asyncio.get_running_loop().time() < deadline, lines
        await asyncio.sleep(0.5)


def fault(client: CommandClient, name: str, words: bytes) -> None:
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/{name}", words, qos=1)


async def test_a_brown_out_of_a_stack_is_one_incident_from_late_to_well(
    client: CommandClient,
) -> None:
    fault(client, "brown-out", b"stack/3")
    await client.until(
        lambda: client.observed.with_verdict(Verdict.UNPOWERED) == BOARDS
    )
    headline = await until_said(client, "stack 3: all 4 boards fell silent")
    assert "all 4 boards fell silent together while outlet stack-3 reads on" in (
        headline.text
    )
    fault(client, "heal", b"stack/3")
    await client.all_online()
    end = await until_said(client, "stack 3 is well again after")
    assert end.incident == headline.incident
    assert len(await headlines(client)) == 2
    lines = await history(client, "rack", f"incident={headline.incident}")
    assert {event.node for event in lines if event.node} == STACK
    edges = await history(client, "stack/3", "kind=verdict")
    said = [event for event in edges if "is unpowered" in event.text]
    assert {event.incident for event in said} == {headline.incident}


async def test_what_a_power_command_does_to_a_stack_is_no_incident(
    client: CommandClient,
) -> None:
    before = len(await headlines(client))
    (final,) = await client.ask("stack/5 power", "cycle", confirm="stack/5")
    assert final.ok is True, final.error
    await client.all_online()
    lines = await history(client, "rack", f"correlation={final.id}")
    kinds = {event.kind for event in lines}
    assert kinds == {EventKind.COMMAND, EventKind.POWER, EventKind.VERDICT}
    assert not [event for event in lines if event.incident]
    assert len(await headlines(client)) == before


async def test_a_lock_outlives_a_master_that_is_killed(
    processes: RackProcesses, client: CommandClient
) -> None:
    (locked,) = await client.ask("stack/7 lock", "1h", "fan")
    assert locked.ok is True, locked.error
    processes.kill("master")
    client.observed.stacks.clear()
    processes.start("master")
    await client.until(lambda: 7 in client.observed.stacks)
    shown = client.observed.stacks[7].lock
    assert shown is not None
    assert (shown.by, shown.reason) == ("test", "fan")
    await client.all_online()
