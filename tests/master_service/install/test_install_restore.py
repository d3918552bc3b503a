"""Who ran before an install run runs after it, however the run ends early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.contract.messages import InstallStep, Verdict
from master_service.power.outlets import PowerError
from master_service.rack.layout import FoundBoard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.install.site import Site

BOARDS = ("s01n1", "s01n2", "s02n1", "s02n2")


def running(site: Site) -> list[str]:
    return [name for name in BOARDS if site.node(name).verdict is Verdict.ONLINE]


def leaving(site: Site) -> bool:
    """Whether a board of stack 2 was shut down and its outlet is still on."""
    gone = any(site.node(name).goodbye for name in BOARDS[2:])
    return gone and ("stack-2", False) not in site.switchings


@pytest.fixture
async def slow(make_site: Callable[..., Site]) -> Site:
    """A rack that lets its cards finish for long before each cut."""
    site = make_site()
    power = msgspec.structs.replace(site.settings.power, settle_s=150)
    site.settings = msgspec.structs.replace(site.settings, power=power)
    site.make()
    await site.start()
    return site


@pytest.mark.parametrize("cancelled", ["before", "after"])
async def test_a_master_killed_before_a_cut_brings_halted_boards_back_on_cancel(
    slow: Site, cancelled: str
) -> None:
    await slow.install("start", confirm="rack")
    await slow.until(lambda: leaving(slow))
    if cancelled == "before":
        await slow.install("cancel")
        await slow.at(InstallStep.RESTORE)
    assert leaving(slow)
    await slow.master.stop()
    slow.make()
    await slow.master.start()
    if cancelled == "after":
        await slow.pass_time(1)
        await slow.install("cancel")
    await slow.at(InstallStep.CANCELLED)
    await slow.pass_time(30)
    assert slow.state.problems == ()
    assert running(slow) == list(BOARDS)


async def test_what_still_waits_to_be_switched_is_given_up_with_its_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = site.master._installs.power  # noqa: SLF001  # who waits is seen nowhere else
    monkeypatch.setattr(power, "_load", lambda *_: "stack-1 must be up first")
    await site.install("start", confirm="rack")
    await site.at(InstallStep.SCAN)
    waiting = asyncio.create_task(power.switch(2, on=True))
    await site.install("cancel leave")
    with pytest.raises(PowerError, match="the install run is over"):
        await waiting


async def test_a_run_that_fails_at_one_board_brings_its_neighbours_back(
    site: Site,
) -> None:
    site.fault("freeze", "s02n1")
    await site.whole()
    assert site.state.step == InstallStep.FAILED
    await site.pass_time(30)
    assert site.node("s02n2").verdict is Verdict.ONLINE
    assert "brings it back" not in " ".join(site.state.problems)


async def test_a_stack_with_a_board_that_cannot_be_asked_is_not_cut_without_consent(
    site: Site,
) -> None:
    """Nor is one that is to be scanned once more, or left off at the end of a run."""
    await site.whole()
    power = site.master._installs.power  # noqa: SLF001  # a run asks it alone
    before = list(site.switchings)
    board = FoundBoard("dc:a6:32:00:00:99", "s02n3", 2, 3, "192.168.23.14")
    site.master.rack.placement.found = (*site.master.rack.placement.found, board)
    with pytest.raises(PowerError, match=r"s02n3: no agent of it was ever heard"):
        await power.switch(2, on=False)
    site.fault("freeze", "s01n1")
    await site.until(lambda: site.node("s01n1").verdict is not Verdict.ONLINE)
    with pytest.raises(PowerError, match=r"s01n1: "):
        await power.switch(1, on=False)
    assert site.switchings == before
