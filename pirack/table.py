"""The rack as a table of plain words, for any terminal, file or pipe; pure."""

from collections.abc import Iterable, Iterator, Mapping

from broker.contract.messages import Heartbeat, Verdict
from pirack.mirror import Mirror, Row

HEAD = ("node", "verdict", "for", "cpu", "mem", "disk", "temp", "up", "reason")
NUMBERS = frozenset({"for", "cpu", "mem", "disk", "temp", "up"})
"""Columns that are aligned to the right."""

DROPPED = ("disk", "up", "mem", "temp", "cpu")
"""What a narrow terminal goes without, the first first."""
GAP = 2
"""Blanks between two columns."""
_REASON_LEAST = 16

WELL = frozenset({Verdict.ONLINE})
AWAITED = frozenset(
    {
        Verdict.BOOTING,
        Verdict.REBOOTING,
        Verdict.STOPPING,
        Verdict.OFF,
        Verdict.UNSEEN,
        Verdict.UNKNOWN,
    }
)
"""Not online, and nothing to worry about yet; all others need a person."""

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def span(seconds: float) -> str:
    """Return a duration as the page has it: ``42 s``, ``7 min``, ``3 h``, ``9 d``."""
    whole = max(0, int(seconds))
    for unit_s, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if whole >= unit_s:
            return f"{whole // unit_s} {name}"
    return f"{whole} s"


def cells(row: Row, now: float) -> tuple[str, ...]:
    """Return a node's cells, one for each of ``HEAD``.

    Args:
        row: The node.
        now: Unix time, seconds.
    """
    state = row.state
    vitals = _vitals(row.heartbeat) if state.verdict in WELL else ("",) * 5
    reason = "; ".join((*filter(None, [state.reason]), *state.faults))
    verdict = state.verdict.value
    if state.running is not None:
        verdict += f" ({state.running.verb})"
    lasted = span(now - state.since) if state.since else ""
    return (state.name, verdict, lasted, *vitals, reason)


def _vitals(beat: Heartbeat | None) -> tuple[str, ...]:
    if beat is None:
        return ("",) * 5
    return (
        _rounded(beat.cpu_percent, "%"),
        _rounded(beat.memory_percent, "%"),
        _rounded(beat.disk_percent, "%"),
        _rounded(beat.temperature_c, "°"),
        span(beat.uptime_s),
    )


def _rounded(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.0f}{unit}"


def title(mirror: Mirror) -> str:
    """Say the whole rack in one line."""
    rows = mirror.rows()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state.verdict] = counts.get(row.state.verdict, 0) + 1
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    name = mirror.rack.rack if mirror.rack else "rack"
    notes = [mirror.rack.frozen] if mirror.rack and mirror.rack.frozen else []
    if mirror.master != "online":
        notes.append("master offline: this is its last word")
    said = f"{name}: {words or 'no nodes yet'}"
    return " · ".join((said, *notes))


def heading(stack: int | None, mirror: Mirror) -> str:
    """Return what stands above a stack's rows."""
    if stack is None:
        return "no stack"
    state = mirror.stacks.get(stack)
    power = f" · power {state.power}" if state and state.power else ""
    name = f"stack {stack}"
    if state and state.name.lower() != name:
        name += f" {state.name}"
    return name + power


def widths(rows: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """Return the widest text of each column, its head included."""
    columns = zip(HEAD, *rows, strict=True)
    return {texts[0]: max(map(len, texts)) for texts in columns}


def fitting(needed: Mapping[str, int], room: int) -> tuple[str, ...]:
    """Return the columns that can be read in so much room, in their order.

    Args:
        needed: Width of each column.
        room: Characters of a line.
    """
    left = {name: width + GAP for name, width in needed.items()}
    left["reason"] = min(needed["reason"], _REASON_LEAST)
    for name in DROPPED:
        if sum(left.values()) <= room:
            break
        del left[name]
    return tuple(left)


def by_stack(rows: Iterable[Row]) -> dict[int | None, list[Row]]:
    """Return rows grouped, in the order they come."""
    groups: dict[int | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.state.stack, []).append(row)
    return groups


def plain(mirror: Mirror, now: float) -> Iterator[str]:
    """Return the table as lines for any terminal, file or pipe."""
    groups = by_stack(mirror.rows())
    table = [cells(row, now) for rows in groups.values() for row in rows]
    wide = widths(table)
    yield title(mirror)
    if not table:
        return
    yield _line(HEAD, wide)
    for stack, rows in groups.items():
        yield heading(stack, mirror)
        for row in rows:
            yield _line(cells(row, now), wide)


def _line(texts: tuple[str, ...], wide: Mapping[str, int]) -> str:
    padded = (
        text.rjust(wide[name]) if name in NUMBERS else text.ljust(wide[name])
        for name, text in zip(HEAD, texts, strict=True)
    )
    return ("  " + "  ".join(padded)).rstrip()
