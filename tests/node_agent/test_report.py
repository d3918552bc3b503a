"""Messages that the reader accepts, whatever the board said."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract.messages import (
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
from node_agent.board import FakeBoard, MachineFacts


def details_of(facts: MachineFacts, *abilities: Ability) -> Details:
    return report.details(
        facts, session="s", interval_s=10, abilities=abilities, ts=1.0, reason="why"
    )


def test_long_texts_are_cut_so_that_details_are_never_refused() -> None:
    facts = MachineFacts(boot_id="b" * 99, hostname="h" * 999, os="o" * 999)
    read = decode(report.encode_details(details_of(facts)), Details)
    assert len(read.hostname) == report.MAX_TEXT
    assert read.hostname.endswith("…")
    assert read.reason == "why"


def test_a_board_without_a_boot_id_still_has_details() -> None:
    read = decode(encode(details_of(MachineFacts(boot_id="", hostname=""))), Details)
    assert read.boot_id == "unknown"


def test_descriptions_give_way_when_details_are_too_long() -> None:
    abilities = [Ability(verb=f"v{n}", note="n" * 256) for n in range(100)]
    payload = report.encode_details(
        details_of(MachineFacts(boot_id="b", hostname="h"), *abilities)
    )
    read = decode(payload, Details)
    assert [ability.verb for ability in read.abilities] == [f"v{n}" for n in range(100)]
    assert read.abilities[0].note == ""


@pytest.mark.parametrize("where", ["unable", "unprobed"])
def test_reasons_give_way_too(where: str) -> None:
    facts = MachineFacts(boot_id="b", hostname="h", unreadable={"load": "r" * 300})
    many: dict[str, Any] = {where: {f"v{n}": "\x01" * 256 for n in range(60)}}
    details = report.details(
        facts, session="s", interval_s=10, abilities=(), ts=1.0, **many
    )
    read = decode(report.encode_details(details), Details)
    assert (read.unable, read.unprobed, read.unreadable) == ({}, {}, {})


def test_a_host_of_many_containers_still_has_details() -> None:
    many = tuple(f"10.0.{number // 250}.{number % 250}" for number in range(2000))
    facts = MachineFacts(
        boot_id="b", hostname="h", addresses=many, macs=("m" * 17,) * 2000
    )
    read = decode(report.encode_details(details_of(facts)), Details)
    assert read.addresses[0] == many[0]


def test_text_that_is_not_unicode_costs_its_own_characters() -> None:
    facts = MachineFacts(boot_id="b", hostname="h\udcff", unreadable={"load": "\udcfe"})
    read = decode(report.encode_details(details_of(facts)), Details)
    assert (read.hostname, read.unreadable) == ("h?", {"load": "?"})


def beat_of(**changes: object) -> Heartbeat:
    vitals = msgspec.structs.replace(FakeBoard().vitals(), **changes)
    beat = report.heartbeat(vitals, session="s", seq=1, ts=1.0, extra={"fan_rpm": 5.0})
    return decode(encode(beat), Heartbeat)


def test_values_a_little_out_of_range_are_brought_into_range() -> None:
    read = beat_of(cpu_percent=100.4, swap_percent=-0.5, uptime_s=-5.0)
    assert (read.cpu_percent, read.swap_percent, read.uptime_s) == (100.0, 0.0, 0.0)
    assert read.extra == {"fan_rpm": 5.0}


NONSENSE = (math.nan, math.inf, -math.inf, 1e300, -1e300)


@pytest.mark.parametrize(
    ("vital", "value"),
    [
        *(
            (vital, value)
            for vital in ("cpu_percent", "memory_percent", "disk_percent")
            for value in (*NONSENSE, 140.0, -70.0)
        ),
        *(("temperature_c", value) for value in (*NONSENSE, -128.0, 2147483.6)),
        *(("load", (0.5, value, 0.5)) for value in (math.nan, math.inf, -0.5)),
        *(("rx_bytes", value) for value in (-1, 2**53 + 1, 10**400)),
        *(("disk_written_bytes", value) for value in (-1, 2**64)),
    ],
)
def test_a_value_that_cannot_be_true_is_null_and_costs_nothing_else(
    vital: str, value: object
) -> None:
    read = beat_of(**{vital: value})
    assert getattr(read, vital) is None
    assert read == msgspec.structs.replace(beat_of(), **{vital: None})


@pytest.mark.parametrize("value", NONSENSE)
def test_no_uptime_and_no_clock_stop_a_heartbeat(value: float) -> None:
    vitals = msgspec.structs.replace(FakeBoard().vitals(), uptime_s=value)
    beat = report.heartbeat(vitals, session="s", seq=1, ts=value, extra={})
    assert decode(encode(beat), Heartbeat).seq == 1


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"a": math.nan}, "'a' is nan, and must be a finite number"),
        ({"a": math.inf}, "'a' is inf"),
        ({"a": "5"}, "'a' is '5'"),
        ({"a": 10**400}, "must be a finite number"),
        ({"a": None}, "'a' is None"),
        ({"": 1.0}, "must have 1 to 64 characters"),
        ({"n" * 65: 1.0}, "must have 1 to 64 characters"),
        ({"\udcff": 1.0}, "must have 1 to 64 characters, all printable"),
        ({"\x1b[2J": 1.0}, "must have 1 to 64 characters, all printable"),
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
