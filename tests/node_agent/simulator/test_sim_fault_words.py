"""Faults as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.errors import ConfigError
from node_agent.simulator.faults import Fault, FaultRequest, parse_line, parse_words


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
        ("crash s01n1 for=long", "for='long' is no number of seconds from 0"),
        ("crash s01n1 for=-1", "for='-1' is no number of seconds from 0"),
        ("crash s01n1 for=nan", "for='nan' is no number of seconds"),
        ("crash s01n1 for=inf", "for='inf' is no number of seconds"),
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
