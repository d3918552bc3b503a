"""Stopping the master in the middle of everything: nothing begins, and it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Power
from master_service import effect_runner
from master_service.rack.records import Saved
from master_service.rack.store import Store
from tests.master_service.power_lab import Lab, all_off

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.master_service.bench import Bench


class SlowOutlets:
    """Outlets whose switchings wait until they are let go.

    Args:
        inner: What they switch in the end.
    """

    def __init__(self, inner: Bench | Lab) -> None:
        self._inner = inner.outlets if not isinstance(inner, Lab) else inner.relays
        self.begun: list[tuple[str, bool]] = []
        self.gate = asyncio.Event()

    async def claim(self, outlet: str, level: Power) -> None:
        await self._inner.claim(outlet, level)

    async def read(self, outlet: str) -> Power:
        return await self._inner.read(outlet)

    async def switch(self, outlet: str, *, on: bool) -> None:
        self.begun.append((outlet, on))
        await self.gate.wait()
        await self._inner.switch(outlet, on=on)

    async def close(self) -> None:
        await self._inner.close()


async def slow_lab(
    make_lab: Callable[..., Lab], **power: float
) -> tuple[Lab, SlowOutlets]:
    """Returns a rack of twelve stacks that are off, on outlets that are slow."""
    lab = make_lab(12, **power)
    await all_off(lab)
    await lab.master.stop()
    slow = SlowOutlets(lab)
    lab.make(lab.fuse)
    lab.master._switcher._outlets = slow  # noqa: SLF001  # the lab makes its master itself
    await lab.begin()
    return lab, slow


async def turns(count: int = 50) -> None:
    """Lets the loop turn a few times: what is slow goes on being slow."""
    for _ in range(count):
        await asyncio.sleep(0.001)


async def test_no_outlet_begins_to_be_switched_after_stop_began(
    make_lab: Callable[..., Lab],
) -> None:
    lab, slow = await slow_lab(make_lab, at_once=1)
    topic = lab.ask("rack power", "on", "nowait", id="c2")
    asking = asyncio.create_task(topic)
    await turns()
    lab.now += 10
    lab.master.tick()
    await turns()
    assert len(slow.begun) == 1
    stopping = asyncio.create_task(lab.master.stop())
    await turns()
    slow.gate.set()
    await asyncio.wait_for(stopping, 10)
    await asyncio.gather(asking, return_exceptions=True)
    assert len(slow.begun) == 1, "the end of one switching begins no other"


async def test_twelve_plugs_that_do_not_answer_do_not_hold_up_the_stop(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effect_runner, "STOP_SWITCHING_S", 0.05)
    lab, slow = await slow_lab(make_lab, at_once=12)
    asking = asyncio.create_task(lab.ask("rack power", "on", "nowait", id="c2"))
    await turns()
    lab.now += 10
    lab.master.tick()
    await turns()
    assert len(slow.begun) == 12
    await asyncio.wait_for(lab.master.stop(), 5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    saved = await on_disk(lab)
    assert {one.level for one in saved.outlets} == {Power.UNKNOWN}
    assert {one.wanted for one in saved.outlets} == {Power.ON}
    assert len(saved.parts) == 12


async def on_disk(lab: Lab) -> Saved:
    """Returns what a stopped master left on disk."""
    store = Store(folder(lab) / "master.db")
    saved = await store.open()
    await store.close()
    return saved


def folder(lab: Lab) -> Path:
    return lab.master._store._path.parent  # noqa: SLF001  # where the next master looks


@pytest.mark.parametrize("action", ["off", "on", "cycle"])
async def test_stopped_at_any_moment_nothing_more_is_switched_and_the_next_goes_on(
    make_lab: Callable[..., Lab], action: str
) -> None:
    for moment in range(14):
        lab = make_lab(4, at_once=2)
        await (all_off(lab) if action == "on" else lab.start())
        await lab.ask("rack power", action, id="c2")
        for _ in range(moment):
            await lab.tick()
        lab.master._effects.halt()  # noqa: SLF001  # the first thing that stop() does
        before = len(lab.relays.calls)
        for _ in range(3):
            lab.master.tick()
            await turns(3)
        await asyncio.wait_for(lab.master.stop(), 10)
        assert len(lab.relays.calls) == before, f"{action}, moment {moment}"
        lab.make(type(lab.fuse)())
        await lab.begin()
        await lab.until_quiet()
        assert lab.torn == [], f"{action}, moment {moment}"
        assert lab.final("c2").phase.final
        if action != "off":
            assert set(lab.relays.levels.values()) == {Power.ON}, moment
        await lab.close()
