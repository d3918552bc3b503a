"""From what a board says to the messages of the contract; pure.

The reader refuses a whole message for one value out of range, so everything is brought
into range here, where it is written.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from broker.errors import PayloadError
from broker.messages import Ability, Details, Heartbeat, Result, encode
from broker.messages.node import MAX_EXTRAS
from broker.version import VERSION
from node_agent.board import Facts, Vitals

MAX_TEXT = 256
MAX_TOKEN = 64
_CUT = "…"
_NONE: Mapping[str, str] = MappingProxyType({})


def details(
    facts: Facts,
    *,
    session: str,
    interval_s: float,
    abilities: Sequence[Ability],
    ts: float,
    unable: Mapping[str, str] = _NONE,
    reason: str = "",
) -> Details:
    """Return a node's details.

    Args:
        facts: What the board says.
        session: Of the connection.
        interval_s: Seconds between heartbeats.
        abilities: What it can do.
        ts: The node's clock, Unix seconds.
        unable: Why it cannot do the rest, by alias.
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
        macs=tuple(map(clip, facts.macs)),
        addresses=tuple(map(clip, facts.addresses)),
        os=clip(facts.os),
        kernel=clip(facts.kernel),
        architecture=clip(facts.architecture),
        cpu_count=max(0, facts.cpu_count),
        memory_bytes=max(0, facts.memory_bytes),
        disk_bytes=max(0, facts.disk_bytes),
        abilities=tuple(abilities),
        unable={alias: clip(why) for alias, why in unable.items()},
        clock_synced=facts.clock_synced,
        reason=clip(reason),
        simulated=facts.simulated,
        ts=ts,
    )


def heartbeat(
    vitals: Vitals, *, session: str, seq: int, ts: float, extra: Mapping[str, float]
) -> Heartbeat:
    """Return a node's heartbeat.

    Args:
        vitals: What the board says.
        session: Of the connection.
        seq: Number of this heartbeat within the session.
        ts: The node's clock, Unix seconds.
        extra: Numbers of the node's own, already usable.
    """
    one, five, fifteen = vitals.load
    return Heartbeat(
        session=session,
        seq=seq,
        ts=ts,
        uptime_s=max(0.0, vitals.uptime_s),
        cpu_percent=_percent(vitals.cpu_percent),
        load=(max(0.0, one), max(0.0, five), max(0.0, fifteen)),
        memory_percent=_percent(vitals.memory_percent),
        disk_percent=_percent(vitals.disk_percent),
        swap_percent=_percent(vitals.swap_percent),
        disk_read_only=vitals.disk_read_only,
        temperature_c=vitals.temperature_c,
        throttled=vitals.throttled,
        rx_bytes=vitals.rx_bytes,
        tx_bytes=vitals.tx_bytes,
        disk_written_bytes=vitals.disk_written_bytes,
        extra=dict(extra),
    )


def usable(numbers: Mapping[str, float]) -> tuple[dict[str, float], str]:
    """Return the numbers that may go out, and what is wrong with the first other one.

    JSON has no NaN and no infinity, a name is at most 64 characters, and there are at
    most 32 of them.
    """
    kept: dict[str, float] = {}
    wrong = ""
    for name, number in numbers.items():
        if not _is_number(number):
            wrong = wrong or f"{name!r} is {number!r}, and must be a finite number"
        elif not 0 < len(name) <= MAX_TOKEN:
            wrong = wrong or f"name {name[:MAX_TOKEN]!r} must have 1 to 64 characters"
        elif len(kept) == MAX_EXTRAS:
            wrong = wrong or f"{name!r} is one more than the {MAX_EXTRAS} allowed"
        else:
            kept[name] = float(number)
    return kept, wrong


def encode_details(message: Details) -> bytes:
    """Return details as bytes; without descriptions where they do not fit.

    Raises:
        PayloadError: Even the bare list of abilities is too long.
    """
    try:
        return encode(message)
    except PayloadError:
        bare = tuple(Ability(verb=ability.verb) for ability in message.abilities)
        return encode(msgspec.structs.replace(message, abilities=bare, unable={}))


def encode_result(result: Result) -> bytes:
    """Return a result as bytes; its output is halved, tail kept, until it fits."""
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


def clip(text: str) -> str:
    """Return a text no longer than the contract allows; a cut is visible."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + _CUT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _tail_half(text: str) -> str:
    return text[(len(text) + 1) // 2 :]


def _percent(value: float) -> float:
    return min(100.0, max(0.0, value))
