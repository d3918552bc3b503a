"""Relays that complain, are silent, or switched all the same; orders not sent."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Power, Verdict
from master_service.power.fake import FakeOutlets
from master_service.power.outlets import PowerFatalError, PowerRetryableError
from tests.master_service.power_lab import Lab, all_off

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.master_service.bench import Bench


async def test_a_relay_that_needs_a_second_attempt_gets_it(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    await all_off(lab)
    failing = Failing(lab, PowerRetryableError("the plug does not answer"), times=2)
    await lab.ask("stack/1 power", "on")
    await lab.until_quiet()
    assert failing.asked == 3
    assert lab.final().ok is True


async def test_a_relay_that_stays_silent_is_told_with_the_number_of_attempts(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    await all_off(lab)
    failing = Failing(lab, PowerRetryableError("the plug does not answer"), times=9)
    await lab.ask("stack/1 power", "on")
    await lab.until_quiet()
    assert failing.asked == 3
    assert "the plug does not answer (tried 3 times)" in lab.final().error
    assert lab.master.rack.panel.outlets["stack-1"].level is Power.UNKNOWN


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PowerFatalError("pin 18 belongs to another program"), "pin 18 belongs to"),
        (ZeroDivisionError("oops"), "the driver of outlet stack-1 failed"),
    ],
)
async def test_what_another_attempt_cannot_help_is_told_at_once(
    make_lab: Callable[..., Lab], error: Exception, words: str
) -> None:
    lab = make_lab(1, 1)
    await all_off(lab)
    failing = Failing(lab, error, times=9)
    await lab.ask("stack/1 power", "on")
    await lab.until_quiet()
    assert failing.asked == 1
    assert words in lab.final().error


async def test_a_relay_that_switched_although_it_complained_is_not_told_twice(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    await all_off(lab)
    failing = Failing(lab, PowerRetryableError("no answer"), times=1, obeys=True)
    await lab.ask("stack/1 power", "on")
    await lab.until_quiet()
    assert failing.asked == 1
    assert lab.final().ok is True


async def test_fake_outlets_fail_as_real_ones_do(tmp_path: Path) -> None:
    outlets = FakeOutlets(tmp_path / "outlets.json", ("a", "b", "c"))
    outlets.silent.add("a")
    for call in (outlets.read("a"), outlets.switch("a", on=False)):
        with pytest.raises(PowerRetryableError, match="does not answer"):
            await call
    outlets.lost_answers.add("b")
    with pytest.raises(PowerRetryableError, match="does not answer"):
        await outlets.switch("b", on=False)
    outlets.late_s["c"] = 0.05
    switching = asyncio.create_task(outlets.switch("c", on=False))
    await asyncio.sleep(0)
    assert outlets.relays().levels == {"b": Power.OFF}
    await switching
    assert outlets.relays().levels == {"b": Power.OFF, "c": Power.OFF}


async def test_a_lost_answer_of_a_cut_is_found_out_by_reading(bench: Bench) -> None:
    for board in ("pi-11", "pi-12"):
        bench.boards[board].die()
    await bench.pass_time(40)
    bench.outlets.lost_answers.add("stack-1")
    await bench.ask("stack/1 power", "off force confirm=stack/1")
    await bench.pass_time(20)
    assert bench.final("stack/1 power").phase.final
    assert bench.outlets.relays().levels["stack-1"] is Power.OFF
    assert bench.stack(1).power is Power.OFF


class Failing:
    """Makes a lab's relays complain a few times."""

    def __init__(
        self, lab: Lab, error: Exception, *, times: int, obeys: bool = False
    ) -> None:
        self.asked = 0
        self._error, self._times, self._obeys = error, times, obeys
        self._switch = lab.relays.switch
        lab.relays.switch = self  # type: ignore[method-assign]  # the relays of one test

    async def __call__(self, outlet: str, *, on: bool) -> None:
        self.asked += 1
        complains = self.asked <= self._times
        if not complains or self._obeys:
            await self._switch(outlet, on=on)
        if complains:
            raise self._error


async def test_a_board_whose_order_could_not_be_sent_is_not_cut(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.master._store  # noqa: SLF001  # the disk is what fails here
    commit, full = store.commit, ["disk is full"]

    async def failing() -> None:
        if full:
            raise sqlite3.OperationalError(full.pop())
        await commit()

    monkeypatch.setattr(store, "commit", failing)
    await bench.ask("stack/1 power", "off confirm=stack/1")
    await bench.pass_time(5)
    assert bench.outlets.relays().switchings == ()
    assert bench.stack(1).power is Power.ON
    final = bench.final("stack/1 power")
    assert final.ok is False
    rows = {row.name: row.error for row in final.targets}
    for error in rows.values():
        assert "could not be told to shut down: not begun: it could not be put" in error
        assert "disk is full; `power off force` cuts all the same" in error
    assert bench.node("pi-11").verdict is Verdict.ONLINE
