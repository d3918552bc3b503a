"""Killed at any step and started again, the master leaves no outlet astray.

Every step is tried: before and after each commit, switch and reading, before each order
and answer, and between any two ticks. The relays and the boards live on.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Power
from tests.master_service.power_lab import Lab
from tests.master_service.power_parts import Fuse, Life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STACKS = 12
ALLOWED = {
    "off": ([], [False]),
    "on": ([], [True], [True, True]),
    "cycle": ([], [False, True], [False, True, True]),
}
"""What each relay may have been told, over both lives of the master."""


async def killed_at(step: int, action: str, stacks: int, second: int = 0) -> Lab | None:
    """Carry out a command with a kill at a step, and a second one while it recovers.

    Returns:
        None when there is no such step.
    """
    lab = Lab(stacks, boards=2)
    await lab.start()
    if action == "on":
        await lab.ask("rack power", "off", id="before")
        await lab.until_quiet()
        lab.relays.calls.clear()
    lab.fuse.steps.clear()
    lab.fuse._at = step  # noqa: SLF001  # steps count from the command on
    await lab.ask("rack power", action)
    await lab.until_quiet()
    if not lab.fuse.blown.is_set():
        await lab.close()
        return None
    await lab.kill()
    if second:
        lab.make(Fuse(second))
        await lab.begin()
        await lab.run_for(1.0)
        await lab.until_quiet()
        await lab.kill()
    lab.make(Fuse())
    await lab.begin()
    await lab.run_for(1.0)
    await lab.until_quiet()
    await lab.run_for(2.0)
    return lab


def check(lab: Lab, action: str, where: str) -> None:
    """Hold everything that must be true, whatever the step."""
    assert lab.torn == [], f"{where}: cut while it ran"
    final_levels = {"off": Power.OFF, "on": Power.ON, "cycle": Power.ON}
    for outlet, calls in lab.calls():
        assert calls in ALLOWED[action], f"{where}: {outlet} was told {calls}"
        fed = lab.master.rack.panel.outlets[outlet]
        level = lab.relays.levels[outlet]
        as_before = not calls
        assert as_before or level is final_levels[action], f"{where}: {outlet}"
        assert fed.wanted is fed.level is level, f"{where}: {outlet} is not as wanted"
    ordered = any(order.id == "c1" for order in lab.orders)
    begun = ordered or bool(lab.relays.calls) or bool(lab.replies())
    if begun:
        assert any(r.phase.final for r in lab.replies()), f"{where}: not a word of it"
        told = " ".join(event.text for event in lab.events if event.correlation == "c1")
        assert f"power {action} rack by ann" in told, f"{where}: not in the history"
    if action == "on" and begun:
        dark = [pi.name for pi in lab.pis.values() if pi.life is not Life.RUNNING]
        assert dark == [], f"{where}: left dark"
    off = {pi.outlet for pi in lab.pis.values() if pi.life is Life.OFF}
    if action == "cycle":
        assert off == set(), f"{where}: left without power"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("action", ["off", "on", "cycle"])
async def test_killed_at_every_step_a_rack_of_twelve_stacks_ends_as_wanted_or_before(
    action: str,
) -> None:
    step = 1
    ends: Counter[str] = Counter()
    while (lab := await killed_at(step, action, STACKS)) is not None:
        where = f"{action}, step {step} ({lab.fuse.steps[:1]})"
        check(lab, action, where)
        replies = [reply for reply in lab.replies() if reply.phase.final]
        ends[replies[-1].phase if replies else "never begun"] += 1
        await lab.close()
        step += 1
    print(f"{action}: {step - 1} steps; {dict(ends)}")  # noqa: T201  # a figure for whoever reads the log
    assert step > STACKS * 6, "there must be more steps than that"
    assert ends["done"] > 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("action", ["off", "on", "cycle"])
async def test_killed_again_while_it_recovers_nothing_is_different(action: str) -> None:
    step = 1
    while (lab := await killed_at(step, action, stacks=2)) is not None:
        await lab.close()
        for second in range(1 + step % 11, 40, 11):
            again = await killed_at(step, action, stacks=2, second=second)
            assert again is not None
            check(again, action, f"{action}, steps {step} and then {second}")
            await again.close()
        step += 1


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab(2, boards=2)
    await lab.start()
    yield lab
    await lab.close()


async def restart(lab: Lab) -> None:
    await lab.kill()
    lab.make(Fuse())
    await lab.begin()
    await lab.run_for(1.0)
    await lab.until_quiet()


async def test_a_cut_that_had_not_happened_is_reported_and_never_made(lab: Lab) -> None:
    await lab.ask("rack power", "off")
    await lab.tick()
    await restart(lab)
    assert lab.relays.calls == []
    final = lab.final()
    assert final.ok is False
    text, _ = sorted({row.error for row in final.targets})
    assert "was not switched: the master was restarted before the cut" in text
    assert "`power cycle stack/" in text
    assert lab.master.rack.panel.outlets["stack-1"].wanted is Power.ON


async def test_the_second_half_of_a_cycle_is_carried_out_with_proof(lab: Lab) -> None:
    await lab.ask("rack power", "cycle")
    while len(lab.relays.calls) < 2:
        await lab.tick()
    await restart(lab)
    final = lab.final()
    assert final.ok is True, final.error
    assert final.verified
    assert [row.name for row in final.targets] == ["s01n1", "s01n2", "s02n1", "s02n2"]
    assert {pi.boots for pi in lab.pis.values()} == {2}


async def test_a_clean_stop_in_the_middle_switches_nothing_and_goes_on(
    lab: Lab,
) -> None:
    await lab.ask("rack power", "cycle")
    while len(lab.relays.calls) < 2:
        await lab.tick()
    await lab.master.stop()
    calls = list(lab.relays.calls)
    await lab.run_for(5.0)
    assert lab.relays.calls == calls, "nobody switches while the master is away"
    lab.make(Fuse())
    await lab.begin()
    await lab.run_for(1.0)
    await lab.until_quiet()
    assert lab.final().ok is True


async def test_what_was_told_to_reboot_is_reported_and_not_told_again(
    lab: Lab,
) -> None:
    await lab.ask("rack reboot", wave=1)
    await lab.tick()
    told = len(lab.orders)
    await restart(lab)
    assert len(lab.orders) == told == 1
    rows = {row.name: row.error for row in lab.final().targets}
    assert "restarted before the effect was seen" in rows["s01n1"]
    assert rows["s02n2"] == "not started: the master was restarted"
    (again,) = [r for r in lab.replies("c1") if r.phase.final]
    assert again.scope == "rack"


async def test_what_was_reported_holds_nobody_up(lab: Lab) -> None:
    await lab.ask("rack power", "off")
    await lab.run_for(1.0)
    await lab.kill()
    lab.make(Fuse())
    await lab.begin()
    assert lab.final().ok is False
    await lab.ask("rack power", "cycle", "force", id="c2")
    await lab.until_quiet()
    assert lab.final("c2").ok is True, lab.final("c2").error


async def test_a_later_command_on_the_same_outlet_is_the_one_that_goes_on(
    lab: Lab,
) -> None:
    lab.pis["pi-011"].obeys = False
    lab.pis["pi-021"].deaf = True
    await lab.ask("rack power", "off")
    await lab.run_for(2.0)
    lab.pis["pi-011"].obeys = True
    await lab.ask("stack/1 power", "cycle", "force", id="c2")
    while not lab.relays.calls:
        await lab.tick()
    assert lab.relays.calls == [("stack-1", False)]
    await restart(lab)
    assert lab.relays.levels["stack-1"] is Power.ON
    assert lab.final("c2").ok is True, lab.final("c2").error
    assert lab.final("c1").ok is False
