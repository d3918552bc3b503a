"""``kill -9`` of the real master in the middle of power commands and waves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Power, Verdict
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
    from collections.abc import AsyncIterator, Callable, Iterator

    from broker.contract.messages import Reply

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]

SPREAD = 3


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RackProcesses]:
    with running_rack(
        tmp_path_factory.mktemp("killed"), power="at_once = 4\n"
    ) as processes:
        yield processes


@pytest.fixture
async def client(processes: RackProcesses) -> AsyncIterator[CommandClient]:
    async with connected_client(processes) as client:
        yield client


def finals(client: CommandClient, verb: str, scope: str = "rack") -> list[Reply]:
    replies = client.observed.replies
    return [r for r in replies if (r.verb, r.scope) == (verb, scope) and r.phase.final]


async def killed_when(
    processes: RackProcesses,
    client: CommandClient,
    where: str,
    words: str,
    due: Callable[[], bool],
) -> list[Reply]:
    """Ask, kill the master when something is seen, start it again; return the end.

    It has accepted by then: what it shows before is not on disk yet, and what was not
    accepted is forgotten by a restart.
    """
    scope, verb = where.split()
    client.observed.replies.clear()
    topic = f"{TOPICS.prefix}/{scope}/cmd/{verb}"
    client.link.publish(topic, f"{words} confirm={scope}".encode(), qos=1)
    await client.until(lambda: bool(client.observed.replies) and due())
    processes.kill("master")
    await asyncio.sleep(0.5)
    processes.start("master")
    await client.until(lambda: bool(finals(client, verb, scope)))
    return finals(client, verb, scope)


@pytest.mark.parametrize("switched", [1, STACKS // 2, STACKS, STACKS + SPREAD])
async def test_a_cycle_of_the_rack_killed_midway_leaves_no_board_dark(
    processes: RackProcesses, client: CommandClient, switched: int
) -> None:
    begun = len(processes.relays.switchings)
    await killed_when(
        processes,
        client,
        "rack power",
        "cycle",
        lambda: len(processes.relays.switchings) - begun >= switched,
    )
    calls = processes.relays.switchings[begun:]
    for stack in range(1, STACKS + 1):
        mine = [one.on for one in calls if one.outlet == f"stack-{stack}"]
        assert mine in ([], [False, True], [False, True, True]), f"stack {stack}"
    assert set(processes.relays.levels.values()) == {Power.ON}
    if client.observed.with_verdict(Verdict.ONLINE) < STACKS * BOARDS:
        await bring_back(client)


async def test_killed_before_the_cut_nothing_is_cut_and_it_is_told(
    processes: RackProcesses, client: CommandClient
) -> None:
    begun = len(processes.relays.switchings)
    board, stuck = BoardPlace(2, 1).id, BoardPlace(2, 2).id
    # One that does not go down holds up the cut for as long as the kill takes.
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/hang", b"s02n2", qos=1)
    await client.until(lambda: client.observed.nodes[stuck].verdict is Verdict.LATE)

    def stopping() -> bool:
        return client.observed.nodes[board].verdict is Verdict.STOPPING

    (final, *_) = await killed_when(processes, client, "stack/2 power", "off", stopping)
    assert not processes.relays.switchings[begun:]
    assert "the master was restarted before the cut" in final.error
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s02n2", qos=1)
    await bring_back(client)


async def test_a_rack_reboots_in_waves_and_one_dead_board_is_named(
    client: CommandClient,
) -> None:
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/network-cut", b"s07n3", qos=1)
    await client.until(
        lambda: client.observed.nodes[BoardPlace(7, 3).id].verdict is Verdict.LOST
    )
    parts = await client.ask("rack reboot", wave=12, confirm="rack")
    rows = [row for part in parts for row in part.targets]
    bad = [row.name for row in rows if not row.verified]
    assert bad == ["s07n3"]
    assert len(rows) == STACKS * BOARDS
    client.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s07n3", qos=1)
    await client.all_online()


async def bring_back(client: CommandClient) -> None:
    """Cycle what was shut down and not cut; a cycle needs nobody who speaks."""
    for stack in range(1, STACKS + 1):
        ids = [BoardPlace(stack, slot).id for slot in range(1, BOARDS + 1)]
        if all(client.observed.nodes[one].verdict is Verdict.ONLINE for one in ids):
            continue
        await client.until(
            lambda ids=ids: all(  # type: ignore[misc]  # ids is bound now, not later
                client.observed.nodes[one].verdict is not Verdict.UNKNOWN for one in ids
            )
        )
        (final,) = await client.ask(
            f"stack/{stack} power",
            "cycle",
            "force",
            confirm=f"stack/{stack}",
        )
        assert final.ok is True, final.error
    await client.all_online()
