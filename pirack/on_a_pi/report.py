"""The report of the checks: rows, without what names a machine, as text or as JSON."""

import dataclasses
import enum
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from broker import VERSION
from broker.common.log import printable, printable_json

MOST_SEEN = 1200
"""Characters of what was seen; a program may say anything."""


class Result(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    DIFFERS = "differs"
    """This machine is not what PiRack's code or documents say."""
    UNKNOWN = "cannot be checked"


@dataclasses.dataclass(frozen=True)
class Row:
    """One check.

    Args:
        name: What was checked, in a few words.
        result: How it went.
        seen: What was seen.
        why: Why it could not be checked, or what was expected.
    """

    name: str
    result: Result
    seen: str = ""
    why: str = ""


def ok(name: str, seen: str) -> Row:
    """Returns a row for what is as it should be."""
    return Row(name, Result.OK, seen)


def differs(name: str, seen: str, expected: str) -> Row:
    """Returns a row for what is not as it should be."""
    return Row(name, Result.DIFFERS, seen, f"expected: {expected}")


def unknown(name: str, why: str, seen: str = "") -> Row:
    """Returns a row for what nobody can say here."""
    return Row(name, Result.UNKNOWN, seen, why)


def agrees(name: str, seen: str, *, expected: str, holds: bool) -> Row:
    """Returns a row for what either is as expected or is not."""
    return ok(name, seen) if holds else differs(name, seen, expected)


_MAC = re.compile(
    r"\b([0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2})(?::[0-9a-f]{2}){3}\b", re.IGNORECASE
)
_NAMED_BY_MAC = re.compile(r"\b(enx|wlx)[0-9a-f]{12}\b", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_HEX = r"[0-9a-f]{1,4}"
_IPV6 = re.compile(
    rf"(?<![\w:])(?:(?:{_HEX}:){{7}}{_HEX}"
    rf"|(?:{_HEX}(?::{_HEX})*)?::(?:{_HEX}(?::{_HEX})*)?)(?![\w:])",
    re.IGNORECASE,
)
_KEPT_DIGITS = 4
_LEAST_SERIAL = 8
_COMMON = frozenset({"pi", "root", "debian", "localhost", "raspberrypi", "raspberry"})
"""Host and user names that name nobody, and are parts of other words."""


class Veil:
    """Takes out of a text what names this machine, its owner or its network.

    Serials keep their last four digits, hardware addresses the first half, which names
    the maker.

    Args:
        serial: Of the board; may be empty.
        names: Of the machine and its user.
        home: Of the user; empty for none.
    """

    def __init__(
        self, serial: str = "", names: Iterable[str] = (), home: str = ""
    ) -> None:
        self._serial = serial
        self._names = [one for one in names if one and one.lower() not in _COMMON]
        self._home = home if home not in {"", "/"} else ""

    def __call__(self, text: str) -> str:
        """Returns the text without it."""
        if self._home:
            text = text.replace(self._home, "~")
        for digits in (self._serial, self._serial[-_LEAST_SERIAL:]):
            if len(digits) >= _LEAST_SERIAL:
                short = f"…{digits[-_KEPT_DIGITS:]}"
                text = re.sub(re.escape(digits), short, text, flags=re.IGNORECASE)
        for name in self._names:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "(name)", text)
        text = _MAC.sub(r"\1:…", text)
        text = _NAMED_BY_MAC.sub(r"\1…", text)
        return _IPV6.sub("(address)", _IPV4.sub("(address)", text))


def text(rows: Sequence[Row], veil: Veil | None) -> str:
    """Returns the report as a person reads it.

    Args:
        rows: In their order.
        veil: What takes names out; None shows all.
    """
    width = max(len(row.name) for row in rows)
    lines = [f"PiRack {VERSION} on this machine", ""]
    for row in _veiled(rows, veil):
        said = row.result if row.result is not Result.UNKNOWN else f"{row.result}:"
        parts = [row.why, row.seen] if row.result is Result.UNKNOWN else [row.seen]
        lines.append(f"{row.name:<{width}}  {said} {'; '.join(filter(None, parts))}")
        if row.result is Result.DIFFERS:
            lines.append(f"{'':{width}}  {row.why}")
    counts = (f"{sum(r.result is kind for r in rows)} {kind}" for kind in Result)
    return "\n".join([*lines, "", ", ".join(counts)])


def as_json(rows: Sequence[Row], veil: Veil | None) -> str:
    """Returns the report as a program reads it."""
    found = [dataclasses.asdict(row) for row in _veiled(rows, veil)]
    value = {"pirack": VERSION, "whole": veil is None, "rows": found}
    return printable_json(json.dumps(value, ensure_ascii=False, indent=1))


def of_this_machine(root: Path, serial: str, user: str, home: str) -> Veil:
    """Returns what takes this machine's names out."""
    try:
        host = (root / "proc/sys/kernel/hostname").read_text().strip()
    except OSError:
        host = ""
    return Veil(serial, (host, host.partition(".")[0], user), home)


def _veiled(rows: Iterable[Row], veil: Veil | None) -> list[Row]:
    def shown(text: str) -> str:
        one_line = printable(" ".join(text.split()))
        return (veil(one_line) if veil else one_line)[:MOST_SEEN]

    return [
        dataclasses.replace(row, seen=shown(row.seen), why=shown(row.why))
        for row in rows
    ]
