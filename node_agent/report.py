"""From what a board says to the messages of the contract; pure.

The reader refuses a whole message for one value out of range, so everything is brought
into range here, where it is written.
"""

import socket
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from broker import VERSION
from broker.common.errors import PayloadError
from broker.contract.messages import Ability, Details, Heartbeat, Result, encode
from broker.contract.messages.codec import LATEST, LONGEST_S
from broker.contract.messages.node import MAX_EXTRAS
from node_agent.board import MachineFacts, Vitals

MAX_TEXT = 256
MAX_TOKEN = 64
MAX_LISTED = 32
"""Addresses that details list: a host of many containers has hundreds."""
MAX_NUMBER = sys.float_info.max
MAX_COUNT = 2**53
"""Largest integer that every JSON reader has exactly."""
COLDEST_C = -40.0
HOTTEST_C = 150.0
"""What a processor can be; a sensor that says more or less has failed."""
_ROUNDING = 1.0
_NOT_REACHED = ("127.", "169.254.", "fe80:", "::ffff:127.")
"""Addresses of the loopback, or of one link only."""
_CUT = "…"
_NONE: Mapping[str, str] = MappingProxyType({})


def details(
    facts: MachineFacts,
    *,
    session: str,
    interval_s: float,
    abilities: Sequence[Ability],
    ts: float,
    unable: Mapping[str, str] = _NONE,
    unprobed: Mapping[str, str] = _NONE,
    reason: str = "",
) -> Details:
    """Returns a node's details.

    Args:
        unable: Why it cannot do the rest, by alias.
        unprobed: Why it is not known yet whether it can, by alias.
        reason: Why it goes offline right after; empty while online.
    """
    return Details(
        session=session,
        boot_id=facts.boot_id[:MAX_TOKEN] or "unknown",
        hostname=clip(facts.hostname),
        interval_s=interval_s,
        agent_version=VERSION,
        model=clip(facts.model),
        serial=clip(facts.serial),
        macs=tuple(map(clip, facts.macs[:MAX_LISTED])),
        addresses=tuple(map(clip, facts.addresses[:MAX_LISTED])),
        os=clip(facts.os),
        kernel=clip(facts.kernel),
        architecture=clip(facts.architecture),
        cpu_count=_count(facts.cpu_count) or 0,
        memory_bytes=_count(facts.memory_bytes) or 0,
        disk_bytes=_count(facts.disk_bytes) or 0,
        abilities=tuple(abilities),
        unable=_clipped(unable),
        unprobed=_clipped(unprobed),
        unreadable=_clipped(facts.unreadable),
        disk_errors=_count(facts.disk_errors),
        clock_synced=facts.clock_synced,
        reason=clip(reason),
        simulated=facts.simulated,
        ts=_within(ts, LATEST),
    )


def heartbeat(
    vitals: Vitals, *, session: str, seq: int, ts: float, extra: Mapping[str, float]
) -> Heartbeat:
    """Returns a node's heartbeat.

    Args:
        seq: Number of this heartbeat within the session.
    """
    return Heartbeat(
        session=session,
        seq=seq,
        ts=_within(ts, LATEST),
        uptime_s=_within(vitals.uptime_s, LONGEST_S),
        cpu_percent=_percent(vitals.cpu_percent),
        load=_load(vitals.load),
        memory_percent=_percent(vitals.memory_percent),
        disk_percent=_percent(vitals.disk_percent),
        swap_percent=_percent(vitals.swap_percent),
        disk_read_only=vitals.disk_read_only,
        temperature_c=_temperature(vitals.temperature_c),
        throttled=vitals.throttled,
        rx_bytes=_count(vitals.rx_bytes),
        tx_bytes=_count(vitals.tx_bytes),
        disk_written_bytes=_count(vitals.disk_written_bytes),
        extra=dict(extra),
    )


def usable(numbers: Mapping[str, float]) -> tuple[dict[str, float], str]:
    """Returns the numbers that may go out, and what is wrong with the first other one.

    JSON has no NaN and no infinity, a name is at most 64 characters, and there are at
    most 32 of them. What is not a mapping has no usable number.
    """
    if not isinstance(numbers, Mapping):
        text = f"{shown(numbers)} is not a mapping of names to numbers"  # type: ignore[unreachable]  # a user's node is not type-checked
        return {}, text
    kept: dict[str, float] = {}
    wrong = ""
    for name, number in numbers.items():
        if not _is_name(name):
            right = f"must have 1 to {MAX_TOKEN} characters, all printable"
            wrong = wrong or f"name {shown(name)} {right}"
        elif not _is_number(number):
            wrong = wrong or f"{name!r} is {shown(number)}, and must be a finite number"
        elif len(kept) == MAX_EXTRAS:
            wrong = wrong or f"{name!r} is one more than the {MAX_EXTRAS} allowed"
        else:
            kept[name] = float(number)
    return kept, wrong


def encode_details(message: Details) -> bytes:
    """Returns details as bytes; without descriptions where they do not fit.

    Raises:
        PayloadError: Even the bare list of abilities is too long.
    """
    try:
        return encode(message)
    except PayloadError:
        bare = tuple(Ability(verb=ability.verb) for ability in message.abilities)
        shorter = msgspec.structs.replace(
            message, abilities=bare, unable={}, unprobed={}, unreadable={}
        )
        return encode(shorter)


def encode_result(result: Result) -> bytes:
    """Returns a result as bytes; its output is halved, tail kept, until it fits."""
    try:
        return encode(result)
    except PayloadError:
        shorter = msgspec.structs.replace(
            result,
            stdout=_tail_half(result.stdout),
            stderr=_tail_half(result.stderr),
            error=result.error[:MAX_TEXT],
            truncated=True,
        )
        return encode_result(shorter)


def is_address(text: str) -> bool:
    """Whether a text is an IP address by which other machines reach this one."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
    except (OSError, ValueError):  # a zone as in fe80::1%eth0, or a NUL
        return False
    nowhere = bytes(len(packed)) if family == socket.AF_INET else bytes(15)
    return not packed.startswith(nowhere) and not text.lower().startswith(_NOT_REACHED)


def reaching(ours: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Returns addresses with the one that reaches the broker first.

    Args:
        ours: That one; a loopback address, or none, changes nothing.
        addresses: All of the machine.
    """
    if not is_address(ours):
        return addresses
    return (ours, *(one for one in addresses if one != ours))


def shown(value: object) -> str:
    """Returns any value as an error text shows it."""
    try:
        return repr(value)[:MAX_TEXT]
    except Exception:  # noqa: BLE001  # of a class of anyone's, or an integer of 5000 digits
        return f"a value of type {type(value).__name__}"


def clip(text: str) -> str:
    """Returns a text as the contract allows it: not too long, and valid UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + _CUT


def _clipped(reasons: Mapping[str, str]) -> dict[str, str]:
    return {name: clip(why) for name, why in reasons.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and _finite(value) is not None


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= MAX_TOKEN and value.isprintable()
    )


def _tail_half(text: str) -> str:
    return text[(len(text) + 1) // 2 :]


def _within(value: float | None, most: float) -> float:
    """Returns a number that no message may lack: 0 where it cannot be true."""
    known = _finite(value)
    return known if known is not None and 0 <= known <= most else 0.0


def _finite(value: float | None) -> float | None:
    """Returns a number that JSON can carry as a float; None for any other."""
    if value is None or not abs(value) <= MAX_NUMBER:  # a NaN compares as False
        return None
    return value


def _percent(value: float | None) -> float | None:
    """Returns a share of the whole; what is off by rounding is brought into range."""
    known = _finite(value)
    if known is None or not -_ROUNDING <= known <= 100 + _ROUNDING:
        return None
    return min(100.0, max(0.0, known))


def _load(
    averages: tuple[float, float, float] | None,
) -> tuple[float, float, float] | None:
    if averages is None:
        return None
    one, five, fifteen = map(_finite, averages)
    if one is None or five is None or fifteen is None:
        return None
    return None if min(one, five, fifteen) < 0 else (one, five, fifteen)


def _temperature(value: float | None) -> float | None:
    known = _finite(value)
    return known if known is not None and COLDEST_C <= known <= HOTTEST_C else None


def _count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= MAX_COUNT else None
