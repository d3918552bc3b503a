"""What people do with a run: confirm, cancel, swap, undo; and storms it must bear."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast

import msgspec
import pytest

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.errors import BusyError, JournalError, NoRunError
from provisioning.common.network import BoardHeard, HeardKind
from provisioning.common.subnet import Change, Reservation
from provisioning.installer import Installer
from provisioning.run.messages import Tick
from provisioning.run.state import InstallRun, Leave
from provisioning.run_loop import WAITING_AT_MOST, RunLoop
from tests.provisioning.harness import NewRig, Virtually, place, reasons
from tests.provisioning.test_journal import RUN


def test_a_dry_run_only_says_what_it_would_do(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.rack.levels = {1: Power.ON, 2: Power.ON}
    run = virtually(rig.install(dry=True))
    assert run.step is InstallStep.DONE
    assert not rig.rack.switches
    loses = "stacks 1-2 lose power: all go off, then one after the other comes on and "
    loses += "stays on"
    assert loses in run.forecast
    assert not rig.rack.backend.applied()


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ({1: Power.OFF, 2: Power.ON}, "; before that stack 2 loses power"),
        ({1: Power.OFF, 2: Power.OFF}, "one after the other; all are off"),
    ],
)
def test_the_forecast_names_only_who_has_power_to_lose(
    new_rig: NewRig, virtually: Virtually, levels: dict[int, Power], said: str
) -> None:
    rig = new_rig(2, 1)
    rig.rack.levels = levels
    assert virtually(rig.install(dry=True)).forecast[0].endswith(said)


def test_a_run_waits_for_confirmation_and_ends_untouched_without_it(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    run = virtually(rig.install(confirmed=False))
    assert run.step is InstallStep.CANCELLED
    assert run.problems == ("not confirmed within 15 minutes: nothing was switched",)
    assert not rig.rack.switches


def test_a_confirmed_run_runs(new_rig: NewRig, virtually: Virtually) -> None:
    rig = new_rig(1, 2)

    async def install() -> InstallRun:
        installer = rig.installer()
        await installer.start()
        with pytest.raises(NoRunError):
            installer.confirm()
        await installer.begin(msgspec.structs.replace(rig.params, confirmed=False))
        await asyncio.sleep(30)
        assert installer.run is not None
        assert installer.run.step is InstallStep.CONFIRM
        with pytest.raises(BusyError):
            await installer.begin(rig.params)
        installer.confirm(by="ann")
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert "install run confirmed by ann" in rig.announcer.events


def test_a_word_that_comes_before_the_forecast_or_too_late_is_refused(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 1)

    async def install() -> InstallRun:
        installer = await rig.begin(confirmed=False)
        with pytest.raises(NoRunError, match="is still being checked"):
            installer.confirm()
        await rig.reach(installer, lambda run: run.step is InstallStep.CONFIRM)
        installer.confirm()
        await rig.reach(installer, lambda run: run.step is InstallStep.BASELINE)
        installer.confirm()
        installer.cancel(Leave.RESTORE)
        await rig.reach(installer, lambda run: run.step is InstallStep.RESTORE)
        with pytest.raises(NoRunError, match="is ending"):
            installer.confirm()
        installer.cancel(Leave.RESTORE)
        with pytest.raises(NoRunError, match="is ending already; outlets: restore"):
            installer.cancel(Leave.OFF)
        return await rig.ended(installer)

    assert virtually(install()).step is InstallStep.CANCELLED


@pytest.mark.parametrize(
    ("leave", "levels"),
    [
        (Leave.LEAVE, {1: Power.ON, 2: Power.OFF, 3: Power.OFF}),
        (Leave.RESTORE, {1: Power.ON, 2: Power.ON, 3: Power.OFF}),
        (Leave.OFF, {1: Power.OFF, 2: Power.OFF, 3: Power.OFF}),
    ],
)
def test_a_cancelled_run_leaves_the_outlets_as_asked(
    new_rig: NewRig,
    virtually: Virtually,
    leave: Leave,
    levels: dict[int, Power],
) -> None:
    rig = new_rig(3, 2)
    rig.rack.levels = {1: Power.ON, 2: Power.ON, 3: Power.OFF}

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.step is InstallStep.SCAN)
        installer.cancel(leave, by="ann")
        run = await rig.ended(installer)
        await installer.stop()
        return run

    run = virtually(install())
    assert run.step is InstallStep.CANCELLED
    assert rig.rack.levels == levels


def test_the_checks_of_a_run_that_was_cancelled_count_for_no_other_run(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 1)

    async def install() -> InstallRun:
        installer = await rig.begin(stacks=rig.plans[2:], whole=False)
        installer.cancel(Leave.LEAVE)
        await rig.ended(installer)  # and its search for servers is still on
        await installer.begin(rig.params)
        run = await rig.reach(installer, lambda run: run.before)
        await installer.stop()
        return run

    assert set(virtually(install()).before) == {1, 2, 3}


@pytest.mark.parametrize("turns", range(4))
def test_a_stop_that_comes_with_a_message_stops(
    new_rig: NewRig, virtually: Virtually, turns: int
) -> None:
    rig = new_rig(1, 2)

    async def stopped() -> InstallRun | None:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.powered_at)
        installer.heard(BoardHeard(mac="dc:a6:32:00:01:01", kind=HeardKind.DISCOVER))
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(1):
            await installer.stop()
        return installer.run

    run = virtually(stopped())
    assert run is not None
    assert run.step is InstallStep.SCAN


def test_an_outlet_that_does_not_cut_ends_the_run_and_restores_the_rest(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 2)
    rig.rack.levels = dict.fromkeys((1, 2, 3), Power.ON)
    rig.rack.stuck = {2}
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert "stack 2 could not be switched off" in run.problems[0]
    assert rig.rack.levels == dict.fromkeys((1, 2, 3), Power.ON)


def test_an_outlet_that_does_not_come_on_costs_only_its_stack(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 2)
    rig.rack.levels = dict.fromkeys((1, 2, 3), Power.OFF)
    rig.rack.stuck = {2}
    run = virtually(rig.install())
    assert run.step is InstallStep.PROBLEMS
    assert len(run.verified) == 4
    assert "stack 2 could not be switched on" in reasons(run, InstallVerdict.MISSING)


def test_an_outlet_that_fails_once_is_tried_again(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(2, 2)
    asked: list[tuple[int, bool]] = []
    obey = rig.rack.switch

    def switch(stack: int, *, on: bool) -> None:
        asked.append((stack, on))
        if asked.count((1, True)) != 1:  # in vain
            obey(stack, on=on)

    monkeypatch.setattr(rig.rack, "switch", switch)
    assert virtually(rig.install()).step is InstallStep.DONE
    assert asked.count((1, True)) == 2


def test_a_mistake_of_ours_ends_the_run_and_lets_go_of_its_stacks(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(1, 2)

    def mistaken(*_: object) -> None:
        text = "a mistake"
        raise ValueError(text)

    monkeypatch.setattr("provisioning.run.scan.heard", mistaken)
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert "ValueError: a mistake" in run.problems[-1]
    assert rig.announcer.states[-1].step == InstallStep.FAILED
    assert rig.announcer.events[-1] == run.problems[-1]
    assert rig.memory.runs[-1].over, "a restart would only meet it again"
    monkeypatch.undo()
    assert virtually(rig.install()).step is InstallStep.DONE


def test_a_mistake_in_a_driver_ends_the_run_at_once(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(1, 2)

    async def mistaken(*_: object, **__: object) -> None:
        text = "a driver's mistake"
        raise KeyError(text)

    monkeypatch.setattr(rig.rack.power, "switch", mistaken)
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert "a driver's mistake" in run.problems[-1]


def test_a_run_that_cannot_be_taken_up_again_is_stopped_for_good(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(1, 2)

    async def interrupted() -> None:
        installer = await rig.begin()
        await installer.stop()

    def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    async def again() -> InstallRun | None:
        installer = rig.installer()
        await installer.start()
        await installer.stop()
        return installer.run

    virtually(interrupted())
    monkeypatch.setattr("provisioning.run.machine.resume", mistaken)
    run = virtually(again())
    assert run is not None
    assert run.step is InstallStep.FAILED
    assert rig.memory.runs[-1].over


def test_a_person_swaps_two_slots_by_their_leds(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)

    async def install() -> None:
        installer = await rig.begin()
        await rig.ended(installer)
        await installer.swap("s01n1", "s01n2")
        undone = await installer.undo()
        assert (len(undone.changed), undone.removed) == (2, ())
        await installer.undo()
        await installer.stop()

    virtually(install())
    assert {p.name: p.mac for p in rig.journal.places()} == {
        "s01n1": "dc:a6:32:00:01:02",
        "s01n2": "dc:a6:32:00:01:01",
    }
    run = virtually(rig.install())
    assert place(run, "s01n1").mac == "dc:a6:32:00:01:02"


def test_a_run_that_is_asked_for_during_a_swap_waits_for_it_and_is_not_lost(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(1, 2)
    backend = rig.rack.backend
    apply = backend.apply

    async def slowly(want: Collection[Reservation]) -> Change:
        await asyncio.sleep(5)
        return await apply(want)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.ended(installer)
        monkeypatch.setattr(backend, "apply", slowly)
        swapping = asyncio.create_task(installer.swap("s01n1", "s01n2"))
        await asyncio.sleep(1)
        begun = await installer.begin(rig.params)
        await swapping
        assert installer.run is not None
        assert installer.run.id == begun
        run = await rig.ended(installer)
        await installer.stop()
        return run

    assert place(virtually(install()), "s01n1").mac == "dc:a6:32:00:01:02"


@pytest.mark.parametrize("change", [lambda i: i.swap("s01n1", "s01n2"), Installer.undo])
def test_what_cannot_be_written_down_is_not_served_either(
    new_rig: NewRig,
    virtually: Virtually,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Installer], Awaitable[object]],
) -> None:
    rig = new_rig(1, 2)

    async def full(_: InstallRun) -> None:
        text = "database or disk is full"
        raise JournalError(text)

    async def install() -> None:
        installer = await rig.begin()
        await rig.ended(installer)
        served, run = rig.rack.backend.applied(), installer.run
        monkeypatch.setattr(rig.journal, "save", full)
        with pytest.raises(JournalError, match="full"):
            await change(installer)
        assert rig.rack.backend.applied() == served
        assert installer.run == run
        await installer.stop()

    virtually(install())


def test_undo_goes_back_to_before_the_whole_run_not_to_before_its_last_stack(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)

    async def install() -> None:
        installer = await rig.begin()
        await rig.ended(installer)
        await installer.begin(msgspec.structs.replace(rig.params, dry=True))
        await rig.ended(installer)
        assert len((await installer.undo()).removed) == 4
        assert len((await installer.undo()).added) == 4
        await installer.stop()

    virtually(install())


async def test_what_boards_ask_in_a_storm_is_dropped_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nobody = cast("Any", None)  # it is not started: nobody takes anything out
    loop = RunLoop(journal=nobody, effects=nobody, announcer=nobody, now=nobody)
    loop.replace(RUN)
    for number in range(5_000):
        mac = f"dc:a6:32:00:{number >> 8:02x}:{number & 255:02x}"
        loop.tell(BoardHeard(mac=mac, kind=HeardKind.DISCOVER))
    loop.tell(Tick())
    waiting = loop._inbox.qsize()  # noqa: SLF001  # its length is what must be bounded
    assert waiting == WAITING_AT_MOST + 1
    assert loop.dropped.count == 5_000 - WAITING_AT_MOST
    assert caplog.text.count("is dropped") <= 2
