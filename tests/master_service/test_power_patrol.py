"""What is switched by hand is noticed, and a slow outlet holds up no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import EventKind, Power, Verdict
from master_service.power import outlet_poller
from master_service.power.drivers.mqtt import MqttOutlets, resolve
from master_service.power.fake import FakeOutlets
from master_service.power.outlets import PowerRetryableError
from tests.system.power.plugs import SimulatedPlug, Tasmota

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

SLOW = "stack-1"


class SlowOutlets(FakeOutlets):
    """One outlet does not answer before it is let."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.folder / "outlets.json", ("stack-1", "stack-2"))
        self.answers = asyncio.Event()
        self.gone = False

    async def read(self, outlet: str) -> Power:
        if outlet == SLOW:
            await self.answers.wait()
            if self.gone:
                text = "the plug is not there"
                raise PowerRetryableError(text)
        return await super().read(outlet)


@pytest.fixture
async def slow(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> tuple[Bench, SlowOutlets]:
    """A master that started while an outlet was slow."""
    monkeypatch.setattr(outlet_poller, "CLAIM_S", 0.05)
    bench = make_bench()
    outlets = SlowOutlets(bench)
    bench.master = bench.make(outlets)
    await bench.master.start()
    outlets.answers.set()
    await bench.calm()
    await bench.all_come()
    return bench, outlets


def said(bench: Bench, kind: EventKind) -> list[str]:
    return [event.text for event in bench.events if event.kind is kind]


async def test_a_slow_outlet_holds_up_the_start_only_so_long(
    slow: tuple[Bench, SlowOutlets],
) -> None:
    bench, _ = slow
    (fault,) = said(bench, EventKind.FAULT)
    assert fault.startswith("outlet stack-1 did not answer in ")
    assert "did not answer" in bench.stack(1).fault
    assert bench.stack(2).power is Power.ON
    await bench.pass_time(61)
    assert (bench.stack(1).power, bench.stack(1).fault) == (Power.ON, "")
    assert said(bench, EventKind.FAULT)[-1] == "outlet stack-1 answers again"


async def test_outlets_are_claimed_at_the_same_time(bench: Bench) -> None:
    """Each waits for the others: one after another they would never end."""
    meeting = asyncio.Barrier(2)

    class Meeting(FakeOutlets):
        async def read(self, outlet: str) -> Power:
            await meeting.wait()
            return await super().read(outlet)

    await bench.master.stop()
    outlets = Meeting(bench.folder / "outlets.json", ("stack-1", "stack-2"))
    bench.master = bench.make(outlets)
    async with asyncio.timeout(30):
        await bench.master.start()
    assert not bench.stack(1).fault


async def test_an_outlet_switched_by_hand_is_noticed_within_a_round(
    bench: Bench,
) -> None:
    await bench.outlets.switch("stack-1", on=False)
    await bench.pass_time(61)
    assert bench.stack(1).power is Power.OFF
    assert said(bench, EventKind.POWER) == [
        "outlet stack-1 was switched off by hand or by itself; on is wanted"
    ]


async def test_what_a_command_switches_is_not_told_as_by_hand(bench: Bench) -> None:
    for board in ("pi-11", "pi-12"):
        bench.boards[board].shut_down()
    await bench.pass_time(40)
    await bench.ask("stack/1 power", "off confirm=stack/1")
    await bench.pass_time(70)
    assert said(bench, EventKind.POWER) == ["outlet stack-1 was switched off"]


async def test_an_outlet_that_is_away_is_told_once_and_when_it_is_back(
    slow: tuple[Bench, SlowOutlets],
) -> None:
    bench, outlets = slow
    await bench.pass_time(61)
    outlets.gone = True
    await bench.pass_time(200)
    assert bench.stack(1).fault == "the plug is not there"
    assert bench.stack(1).power is Power.UNKNOWN
    outlets.gone = False
    await bench.pass_time(61)
    assert bench.stack(1).fault == ""
    assert said(bench, EventKind.FAULT)[2:] == [
        "outlet stack-1: the plug is not there",
        "outlet stack-1 answers again",
    ]


async def test_a_button_pressed_on_a_plug_is_noticed_at_once(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    makes = {f"stack-{n}": Tasmota(f"plug-{n}") for n in (1, 2)}
    plugs = {
        name: SimulatedPlug(make, bench.broker.connect, f"{name}-plug")
        for name, make in makes.items()
    }
    for plug in plugs.values():
        await plug.link.start()
    await bench.broker.settle()
    outlets = MqttOutlets(
        {name: resolve(make.row()) for name, make in makes.items()},
        connect=bench.broker.connect,
        client_id="power",
    )
    bench.master = bench.make(outlets)
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    await bench.pass_time(31)
    plugs["stack-1"].press()
    await bench.calm()
    await bench.pass_time(1)
    assert bench.stack(1).power is Power.OFF
    assert bench.node("pi-11").verdict is Verdict.UNPOWERED
    assert "reads off although it should be on" in bench.node("pi-11").reason
    plugs["stack-1"].press()
    await bench.calm()
    await bench.pass_time(1)
    assert [text.partition(" by hand")[0] for text in said(bench, EventKind.POWER)] == [
        "outlet stack-1 was switched off",
        "outlet stack-1 was switched on",
    ]
    for plug in plugs.values():
        await plug.link.stop()
