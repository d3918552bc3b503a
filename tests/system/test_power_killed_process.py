"""``kill -9`` of the real master in the middle of power commands and waves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Power, Verdict
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
    from collections.abc import AsyncIterator, Callable, Iterator

    from broker.contract.messages import Reply

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]

SPREAD = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("killed"), power="at_once = 4\n") as site:
        yield site


@pytest.fixture
async def asker(site: Site) -> AsyncIterator[Asker]:
    async with asking(site) as asker:
        yield asker


def finals(asker: Asker, verb: str, scope: str = "rack") -> list[Reply]:
    replies = asker.eyes.replies
    return [r for r in replies if (r.verb, r.scope) == (verb, scope) and r.phase.final]


async def killed_when(
    site: Site, asker: Asker, where: str, words: str, due: Callable[[], bool]
) -> list[Reply]:
    """Ask, kill the master when something is seen, start it again; return the end.

    It has accepted by then: what it shows before is not on disk yet, and what was not
    accepted is forgotten by a restart.
    """
    scope, verb = where.split()
    asker.eyes.replies.clear()
    topic = f"{TOPICS.prefix}/{scope}/cmd/{verb}"
    asker.link.publish(topic, f"{words} confirm={scope}".encode(), qos=1)
    await asker.until(lambda: bool(asker.eyes.replies) and due())
    site.kill("master")
    await asyncio.sleep(0.5)
    site.start("master")
    await asker.until(lambda: bool(finals(asker, verb, scope)))
    return finals(asker, verb, scope)


@pytest.mark.parametrize("switched", [1, STACKS // 2, STACKS, STACKS + SPREAD])
async def test_a_cycle_of_the_rack_killed_midway_leaves_no_board_dark(
    site: Site, asker: Asker, switched: int
) -> None:
    begun = len(site.relays.switchings)
    await killed_when(
        site,
        asker,
        "rack power",
        "cycle",
        lambda: len(site.relays.switchings) - begun >= switched,
    )
    calls = site.relays.switchings[begun:]
    for stack in range(1, STACKS + 1):
        mine = [one.on for one in calls if one.outlet == f"stack-{stack}"]
        assert mine in ([], [False, True], [False, True, True]), f"stack {stack}"
    assert set(site.relays.levels.values()) == {Power.ON}
    if asker.eyes.with_verdict(Verdict.ONLINE) < STACKS * BOARDS:
        await bring_back(asker)


async def test_killed_before_the_cut_nothing_is_cut_and_it_is_told(
    site: Site, asker: Asker
) -> None:
    begun = len(site.relays.switchings)
    board, stuck = BoardPlace(2, 1).id, BoardPlace(2, 2).id
    # One that does not go down holds up the cut for as long as the kill takes.
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/hang", b"s02n2", qos=1)
    await asker.until(lambda: asker.eyes.nodes[stuck].verdict is Verdict.LATE)

    def stopping() -> bool:
        return asker.eyes.nodes[board].verdict is Verdict.STOPPING

    (final, *_) = await killed_when(site, asker, "stack/2 power", "off", stopping)
    assert not site.relays.switchings[begun:]
    assert "the master was restarted before the cut" in final.error
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s02n2", qos=1)
    await bring_back(asker)


async def test_a_rack_reboots_in_waves_and_one_dead_board_is_named(
    asker: Asker,
) -> None:
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/network-cut", b"s07n3", qos=1)
    await asker.until(
        lambda: asker.eyes.nodes[BoardPlace(7, 3).id].verdict is Verdict.LOST
    )
    parts = await asker.ask("rack reboot", wave=12, confirm="rack")
    rows = [row for part in parts for row in part.targets]
    bad = [row.name for row in rows if not row.verified]
    assert bad == ["s07n3"]
    assert len(rows) == STACKS * BOARDS
    asker.link.publish(f"{TOPICS.prefix}/sim/cmd/heal", b"s07n3", qos=1)
    await asker.all_online()


async def bring_back(asker: Asker) -> None:
    """Cycle what was shut down and not cut; a cycle needs nobody who speaks."""
    for stack in range(1, STACKS + 1):
        ids = [BoardPlace(stack, slot).id for slot in range(1, BOARDS + 1)]
        if all(asker.eyes.nodes[one].verdict is Verdict.ONLINE for one in ids):
            continue
        await asker.until(
            lambda ids=ids: all(  # type: ignore[misc]  # ids is bound now, not later
                asker.eyes.nodes[one].verdict is not Verdict.UNKNOWN for one in ids
            )
        )
        (final,) = await asker.ask(
            f"stack/{stack} power",
            "cycle",
            "force",
            confirm=f"stack/{stack}",
        )
        assert final.ok is True, final.error
    await asker.all_online()
