"""A DHCP server that is not ours: it stops a run unless it is forced, or observes."""

from typing import Any

import pytest

from broker.contract.messages import InstallStep, Power
from provisioning.common.errors import NetworkError
from provisioning.common.network import ForeignServer
from provisioning.run import machine
from provisioning.run.messages import (
    ReservationsApplied,
    SearchServers,
    ServersSearched,
    SwitchStack,
)
from provisioning.run.plan import AddressLayout, StackPlan, prepare
from provisioning.run.state import InstallRun, Params
from tests.provisioning.harness import NewRig, Virtually, taken

RIVAL = ForeignServer("192.168.23.99", "00:aa:bb:cc:dd:ee")
STOPPED_AT = {
    InstallStep.CONFIRM: InstallStep.FAILED,
    **dict.fromkeys(
        (
            InstallStep.ALL_OFF,
            InstallStep.BASELINE,
            InstallStep.SCAN,
            InstallStep.COMMIT,
        ),
        InstallStep.RESTORE,
    ),
}
"""What follows the step in which a rival is heard; in all others it goes on."""
OLD = {InstallStep.CHECK, InstallStep.ALL_ON, InstallStep.OTHER}
"""No run of this version is at one of these."""


def running(step: InstallStep, **changes: Any) -> InstallRun:  # noqa: ANN401  # fields of Params
    layout = AddressLayout(first="192.168.23.10", per_stack=2)
    stacks = (StackPlan(1, 2), StackPlan(2, 2))
    params = Params(stacks=stacks, layout=layout, network="192.168.23.0/24", **changes)
    return InstallRun(
        id="r", params=params, places=prepare((), layout, stacks), step=step, turn=9
    )


@pytest.mark.parametrize("step", InstallStep)
@pytest.mark.parametrize(
    "news", [RIVAL, ServersSearched((RIVAL,))], ids=["heard", "searched"]
)
def test_a_rival_stops_a_run_as_long_as_boards_are_judged(
    step: InstallStep, news: ForeignServer | ServersSearched
) -> None:
    run, _ = machine.step(running(step), news, now=5.0)
    assert run.step is STOPPED_AT.get(step, step)
    told = [
        text for text in run.problems if "192.168.23.99 (00:aa:bb:cc:dd:ee)" in text
    ]
    assert len(told) == (step not in {*OLD, InstallStep.PREFLIGHT} and not step.over)


@pytest.mark.parametrize("step", InstallStep)
def test_a_rival_stops_no_run_that_is_forced_and_is_told_once(
    step: InstallStep,
) -> None:
    once, said = machine.step(running(step, force=True), RIVAL, now=5.0)
    assert once.step is step
    assert len(said) == len(once.problems) <= 1
    assert machine.step(once, ServersSearched((RIVAL, RIVAL)), now=6.0) == (once, ())


@pytest.mark.parametrize("step", InstallStep)
def test_who_observes_has_no_rival(step: InstallStep) -> None:
    run = running(step, reserves=False)
    assert machine.step(run, RIVAL, now=5.0) == (run, ())


@pytest.mark.parametrize("reserves", [True, False])
def test_it_is_looked_for_while_a_stack_comes_on(*, reserves: bool) -> None:
    run = running(InstallStep.BASELINE, reserves=reserves).with_(swept=True, busy=True)
    run, effects = machine.step(run, ReservationsApplied(run.turn), now=5.0)
    on = SwitchStack(run.turn, 1, on=True)
    assert effects == ((SearchServers(), on) if reserves else (on,))


def test_a_search_that_fails_is_told_once_and_stops_nothing() -> None:
    run = running(InstallStep.SCAN)
    once, said = machine.step(run, ServersSearched((), "eth1: it is down"), now=5.0)
    assert once.problems == (
        "other DHCP servers cannot be looked for during the run: eth1: it is down",
    )
    assert (once.step, len(said)) == (InstallStep.SCAN, 1)
    assert machine.step(once, ServersSearched((), "eth1: it is down"), now=9.0) == (
        once,
        (),
    )


def test_another_dhcp_server_stops_the_run_before_anything_is_switched(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.rack.rivals = (RIVAL,)
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert "192.168.23.99" in run.problems[0]
    assert not rig.rack.switches
    forced = virtually(rig.install(force=True))
    assert len(forced.verified) == 4
    assert len([text for text in forced.problems if "192.168.23.99" in text]) == 1


def test_one_that_comes_midway_is_found_at_the_next_stack_and_outlets_are_restored(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 2)
    rig.rack.levels = {1: Power.ON, 2: Power.ON, 3: Power.OFF}

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: len(run.seen) == 2)
        rig.rack.rivals = (RIVAL,)
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.FAILED
    assert any("192.168.23.99" in text for text in run.problems)
    assert (3, True) not in rig.rack.switches
    assert rig.rack.levels == {1: Power.ON, 2: Power.ON, 3: Power.OFF}
    assert len(taken(run)) == 2, "what was found keeps its place"


def test_one_that_comes_while_the_master_is_away_is_found_when_it_goes_on(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.position == 1)
        await installer.stop()
        rig.rack.rivals = (RIVAL,)
        installer = rig.installer()
        await installer.start()
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.FAILED
    assert any("192.168.23.99" in text for text in run.problems)


def test_an_interface_that_cannot_be_asked_midway_costs_a_word_and_no_board(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(3, 2)
    ask, asked = rig.rack.network.servers, []

    async def servers(*, within_s: float) -> tuple[ForeignServer, ...]:
        asked.append(within_s)
        if len(asked) == 1:  # the check before the run
            return await ask(within_s=within_s)
        text = "nothing can be sent on eth1: Network is down; is it up?"
        raise NetworkError(text)

    monkeypatch.setattr(rig.rack.network, "servers", servers)
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 6
    assert len(asked) == 4, "at each stack"
    assert len(run.problems) == 1


def test_looking_makes_no_stack_longer(new_rig: NewRig, virtually: Virtually) -> None:
    async def seconds(**changes: bool) -> float:
        rig = new_rig(3, 2)
        installer = await rig.begin(**changes)
        began = await rig.reach(installer, lambda run: run.step is InstallStep.SCAN)
        run = await rig.ended(installer)
        return run.wake - began.wake

    assert virtually(seconds()) == virtually(seconds(reserves=False))
