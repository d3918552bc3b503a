"""A stack fails in a simulated rack: one incident, as the real master tells it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import EventKind, Verdict
from node_agent.simulator.settings import BoardPlace
from tests.system.master_site import (
    BOARDS,
    PATIENCE_S,
    TOPICS,
    Asker,
    Site,
    asking,
    running,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from broker.contract.messages import Event

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]

STACK = {BoardPlace(3, slot).id for slot in range(1, BOARDS + 1)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("incident")) as site:
        yield site


@pytest.fixture
async def asker(site: Site) -> AsyncIterator[Asker]:
    async with asking(site) as asker:
        yield asker


async def history(asker: Asker, where: str, *words: str) -> list[Event]:
    parts = await asker.ask(f"{where} events", *words)
    assert parts[0].ok is True, parts[0].error
    return [event for part in parts for event in part.events]


async def headlines(asker: Asker) -> list[Event]:
    return await history(asker, "rack", "kind=incident")


async def until_said(asker: Asker, words: str) -> Event:
    """Ask until a headline has some words; return it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        lines = await headlines(asker)
        found = [event for event in lines if words in event.text]
        if found:
            return found[-1]
        assert asyncio.get_running_loop().time() < deadline, lines
        await asyncio.sleep(0.5)


def fault(asker: Asker, name: str, words: bytes) -> None:
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/{name}", words, qos=1)


async def test_a_brown_out_of_a_stack_is_one_incident_from_late_to_well(
    asker: Asker,
) -> None:
    fault(asker, "brown-out", b"stack/3")
    await asker.until(lambda: asker.eyes.with_verdict(Verdict.UNPOWERED) == BOARDS)
    headline = await until_said(asker, "stack 3: all 4 boards fell silent")
    assert "all 4 boards fell silent together while outlet stack-3 reads on" in (
        headline.text
    )
    fault(asker, "heal", b"stack/3")
    await asker.all_online()
    end = await until_said(asker, "stack 3 is well again after")
    assert end.incident == headline.incident
    assert len(await headlines(asker)) == 2
    lines = await history(asker, "rack", f"incident={headline.incident}")
    assert {event.node for event in lines if event.node} == STACK
    edges = await history(asker, "stack/3", "kind=verdict")
    said = [event for event in edges if "is unpowered" in event.text]
    assert {event.incident for event in said} == {headline.incident}


async def test_what_a_power_command_does_to_a_stack_is_no_incident(
    asker: Asker,
) -> None:
    before = len(await headlines(asker))
    (final,) = await asker.ask("stack/5 power", "cycle", confirm="stack/5")
    assert final.ok is True, final.error
    await asker.all_online()
    lines = await history(asker, "rack", f"correlation={final.id}")
    kinds = {event.kind for event in lines}
    assert kinds == {EventKind.COMMAND, EventKind.POWER, EventKind.VERDICT}
    assert not [event for event in lines if event.incident]
    assert len(await headlines(asker)) == before


async def test_a_lock_outlives_a_master_that_is_killed(
    site: Site, asker: Asker
) -> None:
    (locked,) = await asker.ask("stack/7 lock", "1h", "fan")
    assert locked.ok is True, locked.error
    site.kill("master")
    asker.eyes.stacks.clear()
    site.start("master")
    await asker.until(lambda: 7 in asker.eyes.stacks)
    shown = asker.eyes.stacks[7].lock
    assert shown is not None
    assert (shown.by, shown.reason) == ("test", "fan")
    await asker.all_online()
