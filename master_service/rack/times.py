"""Spans and moments as people write them: ``90m``, ``1d12h``, an ISO date; pure.

In all of the master ``now`` is monotonic seconds and ``wall`` is Unix time, seconds.
"""

import re
from datetime import UTC, datetime

import msgspec

from broker.common.errors import PiRackError

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(?:[0-9]{1,6}[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")


class Moment(msgspec.Struct, frozen=True):
    """One moment by both clocks.

    Args:
        now: Monotonic seconds: durations and deadlines.
        wall: Unix time, seconds: what people and other machines are told.
    """

    now: float
    wall: float


class SpanError(PiRackError):
    """A span or a moment cannot be understood; the text says what would be right."""


def seconds(text: str) -> float:
    """Returns a span in seconds.

    Args:
        text: Numbers with units: s, m, h, d, w.

    Raises:
        SpanError: It is not a span.
    """
    if _SPAN.fullmatch(text) is None:
        error = f"{text[:64]!r} is not a span of time; write 90s, 30m, 2h, 1d12h or 1w"
        raise SpanError(error)
    return float(sum(int(n) * _UNITS_S[unit] for n, unit in _PART.findall(text)))


def moment(text: str, wall: float) -> float:
    """Returns a moment as Unix time, seconds.

    Args:
        text: A span (so long ago), a date and time of ISO 8601 (UTC unless it says
            otherwise), or Unix seconds.

    Raises:
        SpanError: It is none of these.
    """
    if _SPAN.fullmatch(text) is not None:
        return wall - seconds(text)
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        error = (
            f"{text[:64]!r} is not a moment; write how long ago (2h), "
            "2026-03-01T08:00, or Unix seconds"
        )
        raise SpanError(error) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def clock(ts: float) -> str:
    """Returns a moment for a sentence: ``2026-03-01 08:00:00 UTC``."""
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def words(span_s: float) -> str:
    """Returns a span for a sentence, in its two largest units: ``1 h 30 min``."""
    left = max(0, round(span_s))
    said = []
    for name, unit_s in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, unit_s)
        if count:
            said.append(f"{count} {name}")
    return " ".join(said[:2]) or "0 s"
