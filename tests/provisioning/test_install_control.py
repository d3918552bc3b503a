"""What a person decides: dry run, a word, cancel; and outlets that do not obey."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.errors import BusyError, NoRunError
from provisioning.common.network import BoardHeard, HeardKind
from provisioning.run.state import InstallRun, Leave
from tests.provisioning.story import Scenes, Virtually, reasons


def test_a_dry_run_only_says_what_it_would_do(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.levels = {1: Power.ON, 2: Power.ON}
    run = virtually(stage.install(dry=True))
    assert run.step is InstallStep.DONE
    assert not stage.rack.switches
    loses = "stacks 1-2 lose power: all go off, then one after the other comes on and "
    loses += "stays on"
    assert loses in run.forecast
    assert not stage.rack.backend.applied()


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ({1: Power.OFF, 2: Power.ON}, "; before that stack 2 loses power"),
        ({1: Power.OFF, 2: Power.OFF}, "one after the other; all are off"),
    ],
)
def test_the_forecast_names_only_who_has_power_to_lose(
    scene: Scenes, virtually: Virtually, levels: dict[int, Power], said: str
) -> None:
    stage = scene(2, 1)
    stage.rack.levels = levels
    assert virtually(stage.install(dry=True)).forecast[0].endswith(said)


def test_a_run_waits_for_confirmation_and_ends_untouched_without_it(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)
    run = virtually(stage.install(confirmed=False))
    assert run.step is InstallStep.CANCELLED
    assert run.problems == ("not confirmed within 15 minutes: nothing was switched",)
    assert not stage.rack.switches


def test_a_confirmed_run_runs(scene: Scenes, virtually: Virtually) -> None:
    stage = scene(1, 2)

    async def install() -> InstallRun:
        installer = stage.installer()
        await installer.start()
        with pytest.raises(NoRunError):
            installer.confirm()
        await installer.begin(msgspec.structs.replace(stage.params, confirmed=False))
        await asyncio.sleep(30)
        assert installer.run is not None
        assert installer.run.step is InstallStep.CONFIRM
        with pytest.raises(BusyError):
            await installer.begin(stage.params)
        installer.confirm(by="ann")
        return await stage.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert "install run confirmed by ann" in stage.announcer.events


def test_a_word_that_comes_before_the_forecast_or_too_late_is_refused(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 1)

    async def install() -> InstallRun:
        installer = await stage.begin(confirmed=False)
        with pytest.raises(NoRunError, match="is still being checked"):
            installer.confirm()
        await stage.reach(installer, lambda run: run.step is InstallStep.CONFIRM)
        installer.confirm()
        await stage.reach(installer, lambda run: run.step is InstallStep.BASELINE)
        installer.confirm()
        installer.cancel(Leave.RESTORE)
        await stage.reach(installer, lambda run: run.step is InstallStep.RESTORE)
        with pytest.raises(NoRunError, match="is ending"):
            installer.confirm()
        installer.cancel(Leave.RESTORE)
        with pytest.raises(NoRunError, match="is ending already; outlets: restore"):
            installer.cancel(Leave.OFF)
        return await stage.ended(installer)

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
    scene: Scenes, virtually: Virtually, leave: Leave, levels: dict[int, Power]
) -> None:
    stage = scene(3, 2)
    stage.rack.levels = {1: Power.ON, 2: Power.ON, 3: Power.OFF}

    async def install() -> InstallRun:
        installer = await stage.begin()
        await stage.reach(installer, lambda run: run.step is InstallStep.SCAN)
        installer.cancel(leave, by="ann")
        run = await stage.ended(installer)
        await installer.stop()
        return run

    run = virtually(install())
    assert run.step is InstallStep.CANCELLED
    assert stage.rack.levels == levels


def test_the_checks_of_a_run_that_was_cancelled_count_for_no_other_run(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 1)

    async def install() -> InstallRun:
        installer = await stage.begin(stacks=stage.plans[2:], whole=False)
        installer.cancel(Leave.LEAVE)
        await stage.ended(installer)  # and its search for servers is still on
        await installer.begin(stage.params)
        run = await stage.reach(installer, lambda run: run.before)
        await installer.stop()
        return run

    assert set(virtually(install()).before) == {1, 2, 3}


@pytest.mark.parametrize("turns", range(4))
def test_a_stop_that_comes_with_a_message_stops(
    scene: Scenes, virtually: Virtually, turns: int
) -> None:
    stage = scene(1, 2)

    async def stopped() -> InstallRun | None:
        installer = await stage.begin()
        await stage.reach(installer, lambda run: run.powered_at)
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
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 2)
    stage.rack.levels = dict.fromkeys((1, 2, 3), Power.ON)
    stage.rack.stuck = {2}
    run = virtually(stage.install())
    assert run.step is InstallStep.FAILED
    assert "stack 2 could not be switched off" in run.problems[0]
    assert stage.rack.levels == dict.fromkeys((1, 2, 3), Power.ON)


def test_an_outlet_that_does_not_come_on_costs_only_its_stack(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 2)
    stage.rack.levels = dict.fromkeys((1, 2, 3), Power.OFF)
    stage.rack.stuck = {2}
    run = virtually(stage.install())
    assert run.step is InstallStep.PROBLEMS
    assert len(run.verified) == 4
    assert "stack 2 could not be switched on" in reasons(run, InstallVerdict.MISSING)


def test_an_outlet_that_fails_once_is_tried_again(
    scene: Scenes, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = scene(2, 2)
    asked: list[tuple[int, bool]] = []
    obey = stage.rack.switch

    def switch(stack: int, *, on: bool) -> None:
        asked.append((stack, on))
        if asked.count((1, True)) != 1:  # in vain
            obey(stack, on=on)

    monkeypatch.setattr(stage.rack, "switch", switch)
    assert virtually(stage.install()).step is InstallStep.DONE
    assert asked.count((1, True)) == 2


def test_a_mistake_of_ours_ends_the_run_and_lets_go_of_its_stacks(
    scene: Scenes, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = scene(1, 2)

    def mistaken(*_: object) -> None:
        text = "a mistake"
        raise ValueError(text)

    monkeypatch.setattr("provisioning.run.scan.heard", mistaken)
    run = virtually(stage.install())
    assert run.step is InstallStep.FAILED
    assert "ValueError: a mistake" in run.problems[-1]
    assert stage.announcer.states[-1].step == InstallStep.FAILED
    assert stage.announcer.events[-1] == run.problems[-1]
    assert stage.memory.runs[-1].over, "a restart would only meet it again"
    monkeypatch.undo()
    assert virtually(stage.install()).step is InstallStep.DONE


def test_a_mistake_in_a_driver_ends_the_run_at_once(
    scene: Scenes, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = scene(1, 2)

    async def mistaken(*_: object, **__: object) -> None:
        text = "a driver's mistake"
        raise KeyError(text)

    monkeypatch.setattr(stage.rack.power, "switch", mistaken)
    run = virtually(stage.install())
    assert run.step is InstallStep.FAILED
    assert "a driver's mistake" in run.problems[-1]


def test_a_run_that_cannot_be_taken_up_again_is_stopped_for_good(
    scene: Scenes, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = scene(1, 2)

    async def interrupted() -> None:
        installer = await stage.begin()
        await installer.stop()

    def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    async def again() -> InstallRun | None:
        installer = stage.installer()
        await installer.start()
        await installer.stop()
        return installer.run

    virtually(interrupted())
    monkeypatch.setattr("provisioning.run.machine.resume", mistaken)
    run = virtually(again())
    assert run is not None
    assert run.step is InstallStep.FAILED
    assert stage.memory.runs[-1].over
