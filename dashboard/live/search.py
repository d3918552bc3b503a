"""The search box: a small grammar, compiled once, asked of each node.

Terms are joined by AND; ``|`` inside a term means OR. Free words are looked for in id,
name, hostname, addresses, MACs, serial and tags. A term that makes no sense is told in
a hint and left out: half a query must never hide the whole rack.
"""

import enum
import operator
import re
from collections.abc import Callable

import msgspec

from dashboard.live.model import Record
from dashboard.live.tile import State

Test = Callable[[Record], bool]

MAX_QUERY_CHARACTERS = 200
_SEPARATORS = re.compile(r"[:\-.]")
_MAC_PIECE = re.compile(r"[0-9a-f]{4,12}")
_COMPARISON = re.compile(r"(>=|<=|>|<|=)?\s*(-?\d+(?:\.\d+)?)")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}


class Metric(enum.StrEnum):
    """Vitals a term can compare."""

    TEMP = "temp"
    CPU = "cpu"
    MEM = "mem"
    DISK = "disk"
    LOAD = "load"
    UPTIME = "uptime"


class Field(enum.StrEnum):
    """Texts a term can be limited to."""

    ID = "id"
    NAME = "name"
    HOST = "host"
    IP = "ip"
    MAC = "mac"
    SERIAL = "serial"
    TAG = "tag"
    STATE = "state"
    VERDICT = "verdict"
    STACK = "stack"
    OS = "os"
    MODEL = "model"


_PLACES = {Field.TAG, Field.STATE, Field.VERDICT, Field.STACK}
HELP = {
    "s03|s04": "either word in id, name, host, address, MAC, serial or tag",
    "state:offline|stale": ", ".join(state.name.lower() for state in State),
    "stack:3 tag:gpu": "both at once; stack:none for boards without a place",
    "temp:>70 cpu:>=80": f"vitals: {', '.join(Metric)}",
    "ip:10.0 mac:dca6": "one field: "
    + ", ".join(field for field in Field if field not in _PLACES),
}
"""Examples, each with what it finds."""
_KNOWN = [*(field.value for field in Field), *(metric.value for metric in Metric)]


class Query(msgspec.Struct, frozen=True):
    """A compiled query.

    Args:
        tests: All must hold.
        hint: What could not be understood; empty when all was.
    """

    tests: tuple[Test, ...] = ()
    hint: str = ""

    @property
    def active(self) -> bool:
        """Whether it excludes anything."""
        return bool(self.tests)

    def matches(self, record: Record) -> bool:
        """Whether a node is found."""
        return all(test(record) for test in self.tests)


def parse(text: str) -> Query:
    """Compiles what was typed; never fails."""
    tests: list[Test] = []
    hints: list[str] = []
    for term in text[:MAX_QUERY_CHARACTERS].lower().split():
        outcome = _term(term)
        if isinstance(outcome, str):
            hints.append(outcome)
        else:
            tests.append(outcome)
    return Query(tuple(tests), " ".join(hints))


def _term(term: str) -> Test | str:
    """Returns a term's test, or what is wrong with it."""
    key, colon, value = term.partition(":")
    if not colon or _looks_like_mac(term):
        return _free(term)
    if key in set(Metric):
        return _comparison(Metric(key), value)
    if key not in set(Field):
        return f"“{key}:” is unknown; try {', '.join(f'{word}:' for word in _KNOWN)}."
    choices = [choice for choice in value.split("|") if choice]
    if not choices:
        return f"“{term}” needs a value, for example {_example(Field(key))}."
    return _field(Field(key), choices)


def _example(field: Field) -> str:
    examples = {Field.STATE: "state:offline|stale", Field.STACK: "stack:3"}
    return examples.get(field, f"{field}:pi")


def _looks_like_mac(term: str) -> bool:
    pieces = term.split(":")
    return all(re.fullmatch(r"[0-9a-f]{1,2}", piece) for piece in pieces)


def _free(term: str) -> Test | str:
    words = tuple(word for word in term.split("|") if word)
    if not words:
        return f"“{term}” names nothing; write one word on each side of |."
    bare = tuple(_SEPARATORS.sub("", word) for word in words)
    macs = tuple(word for word in bare if _MAC_PIECE.fullmatch(word))

    def test(record: Record) -> bool:
        texts = _texts(record)
        if any(word in text for word in words for text in texts):
            return True
        return any(mac in found for mac in macs for found in _macs(record))

    return test


def _texts(record: Record) -> list[str]:
    found = [record.id, record.name.lower()]
    if record.details is not None:
        details = record.details
        found += [details.hostname.lower(), details.serial.lower(), *details.addresses]
    if record.state is not None:
        found += record.state.tags
    return found


def _macs(record: Record) -> list[str]:
    if record.details is None:
        return []
    return [_SEPARATORS.sub("", mac.lower()) for mac in record.details.macs]


def _field(field: Field, choices: list[str]) -> Test | str:
    if field is Field.STATE:
        return _states(choices)
    if field is Field.STACK:
        return _stacks(choices)
    if field is Field.MAC:
        bare = [_SEPARATORS.sub("", choice) for choice in choices]
        return lambda record: any(mac in text for mac in bare for text in _macs(record))
    whole = field in {Field.TAG, Field.VERDICT}
    read = _READERS[field]

    def test(record: Record) -> bool:
        texts = read(record)
        if whole:
            return any(choice == text for choice in choices for text in texts)
        return any(choice in text for choice in choices for text in texts)

    return test


def _detail(name: str) -> Callable[[Record], list[str]]:
    def read(record: Record) -> list[str]:
        if record.details is None:
            return []
        value = getattr(record.details, name)
        return [value.lower()] if isinstance(value, str) else list(value)

    return read


_READERS: dict[Field, Callable[[Record], list[str]]] = {
    Field.ID: lambda record: [record.id],
    Field.NAME: lambda record: [record.name.lower()],
    Field.HOST: _detail("hostname"),
    Field.IP: _detail("addresses"),
    Field.SERIAL: _detail("serial"),
    Field.OS: _detail("os"),
    Field.MODEL: _detail("model"),
    Field.TAG: lambda record: list(record.state.tags) if record.state else [],
    Field.VERDICT: lambda record: [record.state.verdict] if record.state else [],
}


def _states(choices: list[str]) -> Test | str:
    names = {state.name.lower(): state for state in State}
    unknown = [choice for choice in choices if choice not in names]
    if unknown:
        return f"state “{unknown[0]}” is unknown; try {', '.join(names)}."
    wanted = {names[choice] for choice in choices}
    return lambda record: record.tile is not None and record.tile.state in wanted


def _stacks(choices: list[str]) -> Test | str:
    wanted: set[int | None] = set()
    for choice in choices:
        if choice != "none" and not choice.isdecimal():
            return f"stack “{choice}” must be a number, or none."
        wanted.add(None if choice == "none" else int(choice))
    return lambda record: (record.state.stack if record.state else None) in wanted


def _comparison(metric: Metric, text: str) -> Test | str:
    match = _COMPARISON.fullmatch(text)
    if match is None:
        return f"“{metric}:{text}” needs a number, for example {metric}:>70."
    compare = _OPERATORS[match[1] or "="]
    limit = float(match[2])

    def test(record: Record) -> bool:
        value = _value(record, metric)
        return value is not None and compare(value, limit)

    return test


def _value(record: Record, metric: Metric) -> float | None:
    """Returns a vital as it is shown; None where none is shown."""
    beat, tile = record.beat, record.tile
    if beat is None or tile is None or tile.state > State.CRIT:
        return None
    values: dict[Metric, float | None] = {
        Metric.TEMP: _rounded(beat.temperature_c),
        Metric.CPU: _rounded(beat.cpu_percent),
        Metric.MEM: _rounded(beat.memory_percent),
        Metric.DISK: _rounded(beat.disk_percent),
        Metric.LOAD: None if beat.load is None else beat.load[0],
        Metric.UPTIME: beat.uptime_s,
    }
    return values[metric]


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
