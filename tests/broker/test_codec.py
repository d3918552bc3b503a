"""Payloads: what comes from outside is valid, or a PayloadError, nothing else."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import PayloadError
from broker.messages import (
    MAX_PAYLOAD_BYTES,
    Command,
    Heartbeat,
    Order,
    Reply,
    Result,
    Throttled,
    check_size,
    decode,
    encode,
)

BEAT = Heartbeat(
    session="s",
    seq=1,
    ts=0.0,
    uptime_s=1.0,
    cpu_percent=2.0,
    load=(0.1, 0.2, 0.3),
    memory_percent=3.0,
    disk_percent=4.0,
)


def beat_with(**changes: object) -> bytes:
    fields = json.loads(encode(BEAT)) | changes
    return json.dumps(fields).encode()


def test_a_message_is_read_as_it_was_written() -> None:
    assert decode(encode(BEAT), Heartbeat) == BEAT


def test_a_heartbeat_may_say_that_it_has_no_vitals() -> None:
    vitals = set(Heartbeat.__struct_fields__) - {"session", "seq", "ts", "uptime_s"}
    nothing: dict[str, object] = dict.fromkeys(vitals - {"extra"})
    read = decode(beat_with(**nothing), Heartbeat)
    assert {getattr(read, name) for name in nothing} == {None}
    assert read.uptime_s == 1.0


def test_unknown_fields_are_ignored() -> None:
    payload = beat_with(mood="fine", nested={"a": [1, 2]})
    assert decode(payload, Heartbeat) == BEAT


def test_fields_at_their_default_are_not_sent() -> None:
    assert encode(Throttled()) == b"{}"


@pytest.mark.parametrize("field", ["session", "seq", "uptime_s"])
def test_a_missing_required_field_is_named(field: str) -> None:
    fields = json.loads(encode(BEAT))
    del fields[field]
    with pytest.raises(PayloadError, match=f"Heartbeat cannot be read.*`{field}`"):
        decode(json.dumps(fields).encode(), Heartbeat)


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": "1"},
        {"seq": -1},
        {"seq": 1.5},
        {"seq": True},
        {"cpu_percent": 101},
        {"cpu_percent": float("nan")},
        {"uptime_s": float("inf")},
        {"uptime_s": -1},
        {"load": [1, 2]},
        {"load": "1 2 3"},
        {"session": ""},
        {"session": "x" * 65},
        {"session": 7},
        {"throttled": "no"},
        {"throttled": {"now": ["melted"]}},
        {"temperature_c": "51.2"},
        {"disk_read_only": 1},
    ],
)
def test_a_wrong_value_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match="Heartbeat cannot be read"):
        decode(beat_with(**changes), Heartbeat)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"NaN",
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b'{"session": "\xff"}',
        b"[" * 10_000,
        b'{"a":' * 3_000,
    ],
)
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode(payload, Heartbeat)


def test_a_megabyte_is_refused_before_it_is_read() -> None:
    payload = b'{"session": "' + b"x" * 1_000_000 + b'"}'
    with pytest.raises(PayloadError, match="1000015 bytes; at most 16384"):
        decode(payload, Heartbeat)


def test_a_message_too_large_is_not_sent() -> None:
    result = Result(id="i", verb="v", session="s", phase="done", stdout="x" * 20_000)  # type: ignore[arg-type]  # only its size matters
    with pytest.raises(PayloadError, match=r"Result is 200\d\d bytes"):
        encode(result)


def test_the_largest_payload_passes_and_one_byte_more_does_not() -> None:
    check_size(bytes(MAX_PAYLOAD_BYTES), "x")
    with pytest.raises(PayloadError, match="x is 16385 bytes"):
        check_size(bytes(MAX_PAYLOAD_BYTES + 1), "x")


@given(st.binary(max_size=2_000))
def test_random_bytes_are_refused_or_read_but_never_crash(payload: bytes) -> None:
    for kind in (Heartbeat, Order, Command, Reply):
        with contextlib.suppress(PayloadError):
            assert isinstance(decode(payload, kind), kind)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Heartbeat.__struct_fields__), VALUES))
def test_fields_of_any_type_are_refused_or_read_but_never_crash(
    changes: dict[str, object],
) -> None:
    try:
        beat = decode(beat_with(**changes), Heartbeat)
    except PayloadError:
        return
    assert decode(encode(beat), Heartbeat) == beat
