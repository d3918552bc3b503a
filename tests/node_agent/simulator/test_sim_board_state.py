"""What a board does step by step, and its faults as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.errors import ConfigError
from node_agent.simulator.board_state import BoardPhase as Phase
from node_agent.simulator.board_state import (
    BoardState,
    Fault,
    FaultRequest,
    LinkFault,
    agent_runs,
    answers_ping,
    link_fault,
    parse_line,
    parse_words,
)

OFF = BoardState()
RUNNING = BoardState(phase=Phase.RUNNING)


def powered(state: BoardState) -> BoardState:
    return state.powered(on=True, now_s=10.0, boot_s=3.0)


def test_power_boots_a_board_and_time_makes_it_run() -> None:
    booting = powered(OFF)
    assert (booting.phase, booting.boot, booting.ready_s) == (
        Phase.BOOTING,
        1,
        13.0,
    )
    assert booting.advanced(12.9) is booting
    assert booting.advanced(13.0).phase is Phase.RUNNING


def test_every_boot_has_a_number_of_its_own() -> None:
    first = powered(OFF).advanced(20.0)
    second = first.rebooted(now_s=20.0, boot_s=3.0)
    assert (second.phase, second.boot, second.booted_s) == (Phase.BOOTING, 2, 20.0)


def test_power_that_stays_on_changes_nothing() -> None:
    assert powered(RUNNING) is RUNNING
    assert OFF.powered(on=False, now_s=1.0, boot_s=1.0) == OFF


@pytest.mark.parametrize("phase", [Phase.BOOTING, Phase.RUNNING, Phase.HALTED])
def test_a_power_cut_ends_everything(phase: Phase) -> None:
    state = BoardState(phase=phase, boot=4).powered(on=False, now_s=1.0, boot_s=1.0)
    assert (state.phase, state.boot) == (Phase.OFF, 4)


def test_a_halted_board_does_not_start_by_itself() -> None:
    halted = RUNNING.halted()
    assert halted.phase is Phase.HALTED
    assert powered(halted) is halted
    assert halted.advanced(1e9) is halted


@pytest.mark.parametrize("phase", [Phase.OFF, Phase.BOOTING, Phase.HALTED])
def test_only_a_running_board_can_be_told_to_reboot_or_halt(phase: Phase) -> None:
    state = BoardState(phase=phase)
    assert state.rebooted(now_s=1.0, boot_s=1.0) is state
    assert state.halted() is state


@pytest.mark.parametrize(
    ("state", "faults", "agent", "link", "ping"),
    [
        (RUNNING, set(), True, LinkFault.NONE, True),
        (RUNNING, {Fault.UNDER_VOLTAGE}, True, LinkFault.NONE, True),
        (RUNNING, {Fault.CRASH}, False, LinkFault.NONE, True),
        (RUNNING, {Fault.HANG}, True, LinkFault.HUNG, True),
        (RUNNING, {Fault.FREEZE}, True, LinkFault.SILENT, False),
        (RUNNING, {Fault.NETWORK_CUT}, True, LinkFault.SILENT, False),
        (RUNNING, {Fault.HANG, Fault.NETWORK_CUT}, True, LinkFault.SILENT, False),
        (OFF, set(), False, LinkFault.NONE, False),
        (BoardState(phase=Phase.BOOTING), set(), False, LinkFault.NONE, False),
        (BoardState(phase=Phase.HALTED), set(), False, LinkFault.NONE, False),
    ],
)
def test_what_the_world_sees_of_a_board(
    state: BoardState, faults: set[Fault], *, agent: bool, link: LinkFault, ping: bool
) -> None:
    assert agent_runs(state, faults) is agent
    assert link_fault(faults) is link
    assert answers_ping(state, faults) is ping


def test_a_line_names_fault_target_duration_and_delay() -> None:
    assert parse_line("crash s03n2 for=30 after=10") == FaultRequest(
        fault=Fault.CRASH, target="s03n2", for_s=30.0, after_s=10.0
    )


def test_options_may_be_left_out() -> None:
    assert parse_line("hang stack/3") == FaultRequest(
        fault=Fault.HANG, target="stack/3"
    )


def test_faults_with_an_amount_have_a_usual_one() -> None:
    assert parse_line("clock-skew rack").amount_s == 3600.0
    assert parse_line("clock-skew rack seconds=-5").amount_s == -5.0
    assert parse_line("slow-boot rack seconds=60").amount_s == 60.0


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "empty fault; write <fault> <target>"),
        ("explode s01n1", "unknown fault 'explode'; known: crash, hang"),
        ("crash", "crash needs a target"),
        ("crash for=3", "crash needs a target"),
        (
            "crash s01n1 seconds=3",
            "does not know 'seconds=3'; options: for, after",
        ),
        ("crash s01n1 soon", "crash does not know 'soon'; options: for, after"),
        ("crash s01n1 for=long", "for='long' is not a number of seconds from 0"),
        ("crash s01n1 for=-1", "for='-1' is not a number of seconds from 0"),
        ("crash s01n1 for=nan", "for='nan' is not a number of seconds"),
        ("crash s01n1 for=inf", "for='inf' is not a number of seconds"),
        ("heal rack for=3", "heal does not know 'for=3'; options: after"),
        ("brown-out s01n1", "brown-out takes stack/<n> or rack, not 's01n1'"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(line: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_line(line)
    assert error in str(caught.value)


@given(st.sampled_from([*Fault, "x"]), st.lists(st.text(max_size=12), max_size=4))
def test_no_words_do_anything_but_parse_or_be_refused(
    name: str, words: list[str]
) -> None:
    try:
        request = parse_words(name, words)
    except ConfigError:
        return
    assert request.target == words[0]
