"""Payloads: what comes from outside is valid, or a PayloadError, nothing else."""

import contextlib
import ipaddress
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import ip_addresses

from broker.common.errors import PayloadError
from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Command,
    Details,
    Event,
    EventKind,
    Heartbeat,
    InstallBoard,
    InstallState,
    InstallStep,
    InstallVerdict,
    NodeState,
    Order,
    Reply,
    Result,
    Throttled,
    ThrottleFlag,
    Verdict,
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


IDENTITY = ["session", "seq", "ts", "uptime_s"]
NONSENSE = [
    {"seq": "1"},
    {"seq": -1},
    {"seq": 1.5},
    {"seq": True},
    {"seq": 10**400},
    {"seq": 2**53 + 1},
    {"ts": float("nan")},
    {"ts": 1e300},
    {"uptime_s": float("inf")},
    {"uptime_s": -1},
    {"session": ""},
    {"session": "x" * 65},
    {"session": "\ud800"},
    {"session": 7},
]
UNREADABLE = [
    {"cpu_percent": 101},
    {"cpu_percent": float("nan")},
    {"cpu_percent": 10**400},
    {"load": [1, 2]},
    {"load": "1 2 3"},
    {"load": [float("nan"), 0, 0]},
    {"memory_percent": "20"},
    {"throttled": "no"},
    {"temperature_c": "51.2"},
    {"temperature_c": -650788.984},
    {"temperature_c": 2147484},
    {"disk_read_only": 1},
    {"rx_bytes": 10**400},
    {"rx_bytes": -1},
]


@pytest.mark.parametrize("field", IDENTITY)
def test_a_missing_identity_is_named(field: str) -> None:
    fields = json.loads(encode(BEAT))
    del fields[field]
    with pytest.raises(PayloadError, match=f"Heartbeat cannot be read.*`{field}`"):
        decode(json.dumps(fields).encode(), Heartbeat)


@pytest.mark.parametrize("changes", NONSENSE)
def test_a_message_without_its_identity_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match="Heartbeat cannot be read"):
        decode(beat_with(**changes), Heartbeat)


@pytest.mark.parametrize("changes", UNREADABLE)
def test_one_unreadable_value_costs_that_value(changes: dict[str, object]) -> None:
    (field,) = changes
    lost: list[str] = []
    beat = decode(beat_with(**changes), Heartbeat, lambda name, _: lost.append(name))
    assert beat == msgspec.structs.replace(BEAT, **{field: None})
    assert lost == [f"Heartbeat.{field}"]


def test_an_unknown_flag_costs_that_flag() -> None:
    bits = {"now": ["melted", "throttled"], "since_boot": ["throttled", 7]}
    beat = decode(beat_with(throttled=bits), Heartbeat)
    flags = (ThrottleFlag.THROTTLED,)
    assert beat.throttled == Throttled(now=flags, since_boot=flags)


def test_a_number_of_ones_own_that_cannot_be_read_costs_that_number() -> None:
    extra = {"fan_rpm": 900.0, "": 1, "x" * 65: 1, "bad": "much", "nan": float("nan")}
    assert decode(beat_with(extra=extra), Heartbeat).extra == {"fan_rpm": 900.0}


def test_more_than_32_numbers_of_ones_own_cost_the_rest() -> None:
    extra = {f"n{count}": count for count in range(40)}
    assert len(decode(beat_with(extra=extra), Heartbeat).extra) == 32


def test_a_heartbeat_without_vitals_is_a_heartbeat() -> None:
    said = {"session": "s", "seq": 1, "ts": 0, "uptime_s": 5}
    beat = decode(json.dumps(said).encode(), Heartbeat)
    assert not beat.has_vitals
    assert BEAT.has_vitals


ADDRESSES = [
    ("10.0.0.7", True),
    ("255.255.255.255", True),
    ("fe80::1", True),
    ("fe80::ba27:ebff:fe00:1%eth0", True),
    ("2001:db8:0:0:0:0:0:1", True),
    ("::", True),
    ("::1", True),
    ("1::", True),
    ("", False),
    ("some-host.example.com", False),
    ("10.0.0.256", False),
    ("10.0.0.07", False),
    ("10.0.0", False),
    ("10.0.0.7\n", False),
    ("10.0.0.7.1", False),
    ("0x0a000007", False),
    ("167772167", False),
    ("localhost", False),
    ("1::2::3", False),
    ("12345::", False),
    (":", False),
    ("1:2:3:4:5:6:7", False),
]


@pytest.mark.parametrize(("said", "right"), ADDRESSES)
def test_an_address_is_an_address_or_nothing(said: str, right: bool) -> None:  # noqa: FBT001  # a column of the table
    payload = json.dumps({"session": "s", "addresses": ["10.1.2.3", said]}).encode()
    expected = ("10.1.2.3", said) if right else ("10.1.2.3",)
    assert decode(payload, Details).addresses == expected


@given(st.text(st.sampled_from("0123456789abcdefF:.%x"), max_size=20) | ip_addresses())
def test_what_is_read_as_an_address_is_one(said: object) -> None:
    payload = json.dumps({"session": "s", "addresses": [str(said)]}).encode()
    for one in decode(payload, Details).addresses:
        ipaddress.ip_address(one)
    if not isinstance(said, str):
        assert decode(payload, Details).addresses == (str(said),)


def test_a_hardware_address_is_one_or_nothing() -> None:
    macs = [
        "aa:bb:cc:dd:ee:ff",
        "aa-bb-cc-dd-ee-ff",
        "aa:bb",
        "",
        7,
        "AA:BB:CC:DD:EE:FF",
    ]
    payload = json.dumps({"session": "s", "macs": macs}).encode()
    assert decode(payload, Details).macs == (macs[0], macs[-1])


def test_half_a_character_costs_that_text() -> None:
    payload = b'{"session": "s", "hostname": "a\\ud800b", "os": "x\xff", "kernel": "k"}'
    details = decode(payload, Details)
    assert (details.hostname, details.os, details.kernel) == ("", "", "k")
    encode(details)


def test_an_unknown_word_of_a_newer_master_reads_as_other() -> None:
    said = {"id": "pi-1", "name": "n", "verdict": "melting", "since": 1.0}
    assert decode(json.dumps(said).encode(), NodeState).verdict is Verdict.OTHER
    line = {"seq": 1, "ts": 1.0, "kind": "music", "text": "x"}
    assert decode(json.dumps(line).encode(), Event).kind is EventKind.OTHER
    run = {"step": "deploy", "verdicts": {"ok": 2, "haunted": 1}}
    state = decode(json.dumps(run).encode(), InstallState)
    assert state.step is InstallStep.OTHER
    assert state.verdicts == {InstallVerdict.OK: 2, InstallVerdict.OTHER: 1}


def test_what_an_install_run_says_is_on_the_wire_as_it_always_was() -> None:
    verdicts = {InstallVerdict.IN_TWO_STACKS: 1}
    state = InstallState(run="i-1", step=InstallStep.ALL_OFF, verdicts=verdicts)
    said = b'{"run":"i-1","step":"all-off","verdicts":{"in-two-stacks":1}}'
    assert encode(state) == said
    assert encode(InstallState()) == encode(InstallBoard()) == b"{}"


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl_s": "soon"},
        {"wave": -1},
        {"confirm": 7},
        {"on_failure": "explode"},
        {"expires": 1e300},
        {"args": ["x", 7]},
    ],
)
def test_a_command_is_read_as_a_whole_or_not_at_all(changes: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match="Command cannot be read"):
        decode(json.dumps({"id": "a"} | changes).encode(), Command)


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
        assert set(changes) & set(IDENTITY)
        return
    assert decode(encode(beat), Heartbeat) == beat
