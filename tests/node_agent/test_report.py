"""Messages that the reader accepts, whatever the board said."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.messages import (
    MAX_PAYLOAD_BYTES,
    Ability,
    Details,
    Heartbeat,
    Phase,
    Result,
    decode,
    encode,
)
from node_agent import report
from node_agent.board import Facts, FakeBoard


def details_of(facts: Facts, *abilities: Ability) -> Details:
    return report.details(
        facts, session="s", interval_s=10, abilities=abilities, ts=1.0, reason="why"
    )


def test_long_texts_are_cut_so_that_details_are_never_refused() -> None:
    facts = Facts(boot_id="b" * 99, hostname="h" * 999, os="o" * 999)
    read = decode(report.encode_details(details_of(facts)), Details)
    assert len(read.hostname) == report.MAX_TEXT
    assert read.hostname.endswith("…")
    assert read.reason == "why"


def test_a_board_without_a_boot_id_still_has_details() -> None:
    read = decode(encode(details_of(Facts(boot_id="", hostname=""))), Details)
    assert read.boot_id == "unknown"


def test_descriptions_give_way_when_details_are_too_long() -> None:
    abilities = [Ability(verb=f"v{n}", note="n" * 256) for n in range(100)]
    payload = report.encode_details(
        details_of(Facts(boot_id="b", hostname="h"), *abilities)
    )
    read = decode(payload, Details)
    assert [ability.verb for ability in read.abilities] == [f"v{n}" for n in range(100)]
    assert read.abilities[0].note == ""


def test_values_out_of_range_are_brought_into_range() -> None:
    vitals = msgspec.structs.replace(
        FakeBoard().vitals(), cpu_percent=100.4, swap_percent=-1.0, uptime_s=-5.0
    )
    beat = report.heartbeat(vitals, session="s", seq=1, ts=1.0, extra={"fan_rpm": 5.0})
    read = decode(encode(beat), Heartbeat)
    assert (read.cpu_percent, read.swap_percent, read.uptime_s) == (100.0, 0.0, 0.0)
    assert read.extra == {"fan_rpm": 5.0}


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"a": math.nan}, "'a' is nan, and must be a finite number"),
        ({"a": math.inf}, "'a' is inf"),
        ({"a": "5"}, "'a' is '5'"),
        ({"a": None}, "'a' is None"),
        ({"": 1.0}, "must have 1 to 64 characters"),
        ({"n" * 65: 1.0}, "must have 1 to 64 characters"),
        ({f"n{n}": 1.0 for n in range(33)}, "'n32' is one more than the 32 allowed"),
    ],
)
def test_numbers_that_json_or_the_contract_cannot_carry_stay_out(
    numbers: dict[str, float], told: str
) -> None:
    kept, wrong = report.usable(
        numbers | {"good": 1.0} if len(numbers) < 2 else numbers
    )
    assert told in wrong
    assert len(kept) in {1, 32}


def test_good_numbers_all_go_out() -> None:
    assert report.usable({"a": 1, "b": 2.5}) == ({"a": 1.0, "b": 2.5}, "")


@given(st.text(max_size=20_000), st.text(max_size=20_000))
def test_a_result_fits_whatever_a_program_wrote(stdout: str, stderr: str) -> None:
    result = Result(
        id="i", verb="v", session="s", phase=Phase.DONE, stdout=stdout, stderr=stderr
    )
    payload = report.encode_result(result)
    assert len(payload) <= MAX_PAYLOAD_BYTES
    assert decode(payload, Result).truncated or len(encode(result)) == len(payload)


def test_the_tail_of_long_output_is_kept() -> None:
    result = Result(
        id="i", verb="v", session="s", phase=Phase.DONE, stdout="\x01" * 9000 + "end"
    )
    read = decode(report.encode_result(result), Result)
    assert read.stdout.endswith("end")
    assert read.truncated
