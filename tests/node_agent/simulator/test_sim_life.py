"""The life of a board, step by step."""

import pytest

from node_agent.simulator import life as lives
from node_agent.simulator.condition import Condition, condition
from node_agent.simulator.faults import Fault
from node_agent.simulator.gate import Valve
from node_agent.simulator.life import Life, Phase


def powered(life: Life, now_s: float = 10.0) -> Life:
    return lives.power(life, on=True, now_s=now_s, boot_s=3.0)


def test_power_boots_a_board_and_time_makes_it_run() -> None:
    booting = powered(lives.off())
    assert (booting.phase, booting.boot, booting.ready_s) == (Phase.BOOTING, 1, 13.0)
    assert lives.advance(booting, 12.9) is booting
    assert lives.advance(booting, 13.0).phase is Phase.RUNNING


def test_every_boot_has_a_number_of_its_own() -> None:
    first = lives.advance(powered(lives.off()), 20.0)
    second = lives.reboot(first, now_s=20.0, boot_s=3.0)
    assert (second.phase, second.boot, second.booted_s) == (Phase.BOOTING, 2, 20.0)


def test_power_that_stays_on_changes_nothing() -> None:
    running = lives.running_since(0.0)
    assert powered(running) is running
    assert lives.power(lives.off(), on=False, now_s=1.0, boot_s=1.0) == lives.off()


@pytest.mark.parametrize("phase", [Phase.BOOTING, Phase.RUNNING, Phase.HALTED])
def test_a_power_cut_ends_everything(phase: Phase) -> None:
    life = lives.power(Life(phase=phase, boot=4), on=False, now_s=1.0, boot_s=1.0)
    assert (life.phase, life.boot) == (Phase.OFF, 4)


def test_a_halted_board_does_not_start_by_itself() -> None:
    halted = lives.halt(lives.running_since(0.0))
    assert halted.phase is Phase.HALTED
    assert powered(halted) is halted
    assert lives.advance(halted, 1e9) is halted


@pytest.mark.parametrize("phase", [Phase.OFF, Phase.BOOTING, Phase.HALTED])
def test_only_a_running_board_can_be_told_to_reboot_or_halt(phase: Phase) -> None:
    life = Life(phase=phase)
    assert lives.reboot(life, now_s=1.0, boot_s=1.0) is life
    assert lives.halt(life) is life


RUNNING = lives.running_since(0.0)
HEALTHY = Condition(agent=True, valve=Valve.OPEN, echo=True)
DEAD_AGENT = Condition(agent=False, valve=Valve.OPEN, echo=True)
DEAF = Condition(agent=True, valve=Valve.DEAF, echo=True)
SILENT = Condition(agent=True, valve=Valve.SILENT, echo=False)
NOTHING = Condition(agent=False, valve=Valve.OPEN, echo=False)


@pytest.mark.parametrize(
    ("life", "faults", "seen"),
    [
        (RUNNING, set(), HEALTHY),
        (RUNNING, {Fault.UNDER_VOLTAGE}, HEALTHY),
        (RUNNING, {Fault.CRASH}, DEAD_AGENT),
        (RUNNING, {Fault.HANG}, DEAF),
        (RUNNING, {Fault.FREEZE}, SILENT),
        (RUNNING, {Fault.NETWORK_CUT}, SILENT),
        (RUNNING, {Fault.HANG, Fault.NETWORK_CUT}, SILENT),
        (lives.off(), set(), NOTHING),
        (Life(phase=Phase.BOOTING), set(), NOTHING),
        (Life(phase=Phase.HALTED), set(), NOTHING),
    ],
)
def test_what_the_world_sees_of_a_board(
    life: Life, faults: set[Fault], seen: Condition
) -> None:
    assert condition(life, faults) == seen
