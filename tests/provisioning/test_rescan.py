"""A run cuts no board that boots; what is ambiguous is settled at its end."""

import asyncio
import functools

import pytest

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.errors import Problem
from provisioning.common.network import BoardHeard, HeardKind
from provisioning.fake import RackBoard
from provisioning.run import machine, texts
from provisioning.run.messages import SwitchStack
from provisioning.run.state import InstallRun, Leave, RunPace
from tests.provisioning.harness import NewRig, Virtually, place, reasons
from tests.provisioning.test_rivals import RIVAL, running


def test_every_stack_comes_on_once_and_stays_on(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 4)
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert rig.rack.switches == [
        *((number, False) for number in (1, 2, 3)),
        *((number, True) for number in (1, 2, 3)),
    ]
    addresses = {place.mac: place.address for place in run.places}
    assert addresses == {board.mac: board.address for board in rig.rack.boards}


def test_leases_are_short_for_the_time_of_a_run_alone(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)

    async def install() -> list[bool]:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.step is InstallStep.SCAN)
        during = rig.rack.backend.brief
        await rig.ended(installer)
        await asyncio.sleep(1)
        await installer.stop()
        return [during, rig.rack.backend.brief]

    assert virtually(install()) == [True, False]


def test_a_board_that_asks_when_the_next_stack_comes_on_is_settled_by_a_second_scan(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 4)
    rig.board(1, 2).boot_s = 125  # its window is over then
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE, (run.problems, run.findings)
    assert len(run.verified) == 12
    assert {p.stack for p in run.places if p.mac == rig.board(1, 2).mac} == {1}
    assert rig.rack.switches[-2:] == [(1, False), (1, True)]
    cut_again = [stack for stack, on in rig.rack.switches[3:] if not on]
    assert cut_again == [1]


def test_nothing_is_settled_where_a_board_cannot_be_asked_and_a_person_is_told(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 4)
    late, mute = rig.board(1, 2), rig.board(1, 3)
    late.boot_s, mute.agent = 125, False
    run = virtually(rig.install())
    assert run.step is InstallStep.PROBLEMS
    assert (1, False) not in rig.rack.switches[1:]
    (told,) = [text for text in run.problems if "not scanned once more" in text]
    assert mute.mac in told
    assert "pirack install start --stack 1" in told
    assert f"{late.mac} asked while stack 2 was on" in reasons(
        run, InstallVerdict.MISSING
    )
    late.boot_s = 25
    # The confirmation of a run over that stack alone is the consent.
    one = virtually(rig.install(stacks=rig.plans[:1], whole=False))
    assert one.step is InstallStep.DONE
    assert len(one.verified) == 4


def test_a_silent_board_that_is_known_gets_a_second_start(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    virtually(rig.install())
    board = rig.board(1, 1)
    board.silent = True

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.position == 1)
        board.silent = False
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4


def test_an_empty_slot_costs_no_second_start(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 3)
    rig.rack.boards.remove(rig.board(1, 3))
    run = virtually(rig.install())
    assert len(run.verified) == 5
    assert len(rig.rack.switches) == 4


@pytest.mark.parametrize("leave", [Leave.RESTORE, Leave.OFF])
def test_a_cancelled_run_cuts_no_board_that_cannot_be_asked(
    new_rig: NewRig, virtually: Virtually, leave: Leave
) -> None:
    rig = new_rig(2, 2)
    rig.board(1, 1).agent = False

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.position == 1)
        installer.cancel(leave)
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.CANCELLED
    assert rig.rack.levels[1] is Power.ON
    assert any(rig.board(1, 1).mac in text for text in run.problems)


def test_a_run_that_fails_leaves_on_what_it_switched_on(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 2)
    rig.rack.levels = {1: Power.OFF, 2: Power.OFF, 3: Power.ON}

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.position == 1)
        rig.rack.source.rival(RIVAL)
        return await rig.ended(installer)

    assert virtually(install()).step is InstallStep.FAILED
    assert set(rig.rack.levels.values()) == {Power.ON}


def test_a_board_that_declined_its_address_is_told_with_why(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    board = rig.board(1, 2)

    async def install() -> InstallRun:
        installer = await rig.begin(pace=RunPace(verify_s=100))
        await rig.reach(installer, lambda run: run.step is InstallStep.VERIFY)
        rig.rack.boards.remove(board)  # it never has the address
        ask = BoardHeard(mac=board.mac, kind=HeardKind.DECLINE, address="192.168.23.11")
        rig.rack.source.hear(ask)
        return await rig.ended(installer)

    run = virtually(install())
    said = f"{board.mac} declined 192.168.23.11, because another device"
    assert said in "\n".join(rig.announcer.events)
    assert place(run, "s01n2").verdict is InstallVerdict.MISSING


def test_boards_that_asked_while_the_master_was_away_are_heard_when_it_is_back(
    new_rig: NewRig, virtually: Virtually
) -> None:
    """With long leases of somebody else's server they do not ask again for hours."""
    rig = new_rig(2, 2)

    async def install() -> tuple[InstallRun, float]:
        installer = await rig.begin(reserves=False)
        await rig.reach(installer, lambda run: run.position == 1 and run.powered_at)
        await installer.stop()
        await asyncio.sleep(60)
        for board in rig.rack.boards:
            rig.rack.hush(board)
        installer = rig.installer()
        await installer.start()
        began = asyncio.get_running_loop().time()
        run = await rig.ended(installer)
        return run, asyncio.get_running_loop().time() - began

    run, took_s = virtually(install())
    assert run.step is InstallStep.DONE, run.findings
    assert len(run.verified) == 4
    assert took_s < 30


def test_a_link_that_came_up_is_no_problem_at_the_end(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(1, 2)

    async def check(_want: object) -> tuple[Problem, ...]:
        return (Problem(text="eth1 has no link", passing=True), Problem(text="other"))

    monkeypatch.setattr(rig.rack.backend, "check", check)
    run = virtually(rig.install())
    assert run.problems == ("other",)
    assert "problem: eth1 has no link" in rig.announcer.events
    rig.rack.boards.clear()
    assert "eth1 has no link" in virtually(rig.install()).problems


def test_a_board_with_two_interfaces_in_the_network_is_one_board(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 3)
    one, other = rig.board(1, 1), rig.board(1, 2)
    one.other_mac, other.other_mac = other.mac, one.mac
    run = virtually(rig.install())
    assert place(run, "s01n1").mac == one.mac
    assert place(run, "s01n2").mac == ""
    assert len(run.verified) == 5
    assert f"{other.mac}, found for s01n2, is a second interface" in reasons(
        run, InstallVerdict.CONFLICT
    )
    reserved = {row.mac for row in rig.rack.backend.applied()}
    assert other.mac not in reserved
    assert len(reserved) == 5


@pytest.mark.parametrize("step", [InstallStep.SCAN, InstallStep.VERIFY])
def test_stacks_that_lost_the_mains_with_the_master_come_on_again(
    new_rig: NewRig, virtually: Virtually, step: InstallStep
) -> None:
    rig = new_rig(2, 2)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.step is step and run.position == 1)
        await installer.stop()
        for number in (1, 2):
            rig.rack.switch(number, on=False)
        rig.rack.switches.clear()
        installer = rig.installer()
        await installer.start()
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.DONE, run.findings
    assert len(run.verified) == 4
    assert {(1, True), (2, True)} <= set(rig.rack.switches)
    assert (1, False) not in rig.rack.switches


def test_a_server_that_is_away_when_boards_get_their_places_is_waited_for(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: len(run.seen) == 2)
        rig.rack.alive = False
        rig.rack.backend.refusals = 12
        asyncio.get_running_loop().call_later(
            25, functools.partial(rig.rack.set_alive, yes=True)
        )
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.DONE, run.problems


SAFE = {InstallStep.PREFLIGHT, InstallStep.CONFIRM, InstallStep.RESTORE} | {
    step for step in InstallStep if step.over
}


@pytest.mark.parametrize("step", InstallStep)
def test_a_run_begun_by_an_older_version_is_ended_and_its_outlets_come_back(
    step: InstallStep,
) -> None:
    """Its journal says that the stacks before the one scanned are off."""
    before = {1: Power.ON, 2: Power.OFF}
    old = running(step).with_(before=before, position=1, version=1)
    run, effects = machine.resume(old, now=5.0)
    if step in SAFE:
        assert texts.OUTDATED not in run.problems
        return
    assert run.step is InstallStep.RESTORE
    assert run.ending is InstallStep.FAILED
    assert texts.OUTDATED in run.problems
    assert next(e for e in effects if isinstance(e, SwitchStack)).on


def test_a_stranger_that_fills_a_stack_is_found_when_the_stack_is_off(
    new_rig: NewRig, virtually: Virtually
) -> None:
    """It asked first, and is of the same maker, so only power tells."""
    rig = new_rig(2, 2)
    stranger = RackBoard("dc:a6:32:00:00:99")
    rig.rack.boards.append(stranger)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.powered_at)
        rig.rack.speak(stranger, after_s=20)
        rig.board(1, 1).boot_s = 21
        return await rig.ended(installer)

    run = virtually(install())
    assert stranger.mac not in {p.mac for p in run.places}
    assert len(run.verified) == 4
