"""Runs all checks and prints the report; ``scripts/try-on-a-pi`` starts it.

Changes nothing: no package, service or file. Pins are touched only if two are named.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pwd
import re
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from broker import VERSION
from broker.common.errors import PiRackError
from broker.common.log import printable, printable_json
from broker.common.service import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from pirack.on_a_pi import board, jumper, pins
from pirack.on_a_pi.board import (
    ReportRow,
    RowResult,
    ToolError,
    TriedMachine,
    agrees,
    unknown,
)

QUESTION = f"""\
{{pins}} will be driven for some seconds.
  {jumper.WIRING}.
Is that so, and is no relay connected to this board? Type yes: """
ABORTED = "no pin was touched"
MOST_SEEN = 1200
"""Characters of what was seen; a program may say anything."""
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
"""Host and user names that are no secret, and are parts of other words."""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the options."""
    made = argparse.ArgumentParser(
        prog="try-on-a-pi",
        description="Compare this machine with what PiRack takes a Raspberry Pi to be, "
        "and print a report to send. It changes nothing and needs no root.",
        epilog="Exit code 0: nothing differs (what cannot be checked is named); 1: "
        "something differs; 2: wrong words; 3: it cannot run.",
    )
    made.add_argument(
        "--jumper", metavar="PIN:PIN", help=f"drive these pins (BCM): {jumper.WIRING}"
    )
    made.add_argument(
        "--no-relay", action="store_true", help="answer the question about relays: none"
    )
    made.add_argument(
        "--config", type=Path, metavar="FILE", help="a pirack.toml whose pins to avoid"
    )
    made.add_argument(
        "--light", action="store_true", help="blink the ACT light for 4 s"
    )
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument(
        "--whole", action="store_true", help="with serial, addresses and names in full"
    )
    made.add_argument(
        "--install-note", default="installed before", help=argparse.SUPPRESS
    )
    return made


def main() -> int:
    """Runs the checks; returns the exit code."""
    options = parser()
    args = options.parse_args()
    pair = None
    if args.jumper is not None:
        try:
            pair = jumper.named(args.jumper)
        except ValueError as error:
            options.error(f"--jumper {error}")
    if args.no_relay and pair is None:
        options.error("--no-relay is about --jumper, which is not given")
    machine = TriedMachine()
    if pair and not (args.no_relay or confirmed(pair)):
        print(f"pirack: {ABORTED}", file=sys.stderr)
        return EXIT_USAGE
    # As at Ctrl-C: what began is ended, so that no pin stays an output.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    pins.see_system_packages()
    # lgpio leaves files where it is started.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = list(_rows(machine, args, pair))
    redactor = None if args.whole else _redactor(machine)
    print(as_json(found, redactor) if args.json else as_text(found, redactor))
    bad = any(row.result is RowResult.DIFFERS for row in found)
    return EXIT_FAILED if bad else EXIT_OK


def confirmed(pair: tuple[int, int]) -> bool:
    """Asks a person about the wiring; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        text = "pirack: --jumper asks about relays; without a terminal add --no-relay"
        print(text, file=sys.stderr)
        return False
    names = " and ".join(f"GPIO{pin}" for pin in pair)
    print(QUESTION.format(pins=names), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == "yes"


def _rows(
    machine: TriedMachine, args: argparse.Namespace, pair: tuple[int, int] | None
) -> Iterator[ReportRow]:
    before = _units(machine)
    yield board.python(args.install_note)
    yield from board.rows(machine)
    if args.light:
        yield board.blinked(machine)
    yield from pins.rows(machine)
    if pair is None:
        yield unknown("jumper", f"--jumper names no pins; {jumper.WIRING}")
    else:
        yield from _jumper(machine, args.config, pair)
    if before:
        after = _units(machine)
        seen, expected = ", ".join(after) or "none", ", ".join(before)
        yield agrees(
            "services still run", seen, expected=expected, holds=before == after
        )


def _jumper(
    machine: TriedMachine, config: Path | None, pair: tuple[int, int]
) -> Iterator[ReportRow]:
    hat = board.hat(machine).seen
    try:
        bench = pins.BoardBench(machine)
        why = list(
            jumper.refusals(
                pair,
                bench,
                outlets=pins.configured(machine, config),
                hat="" if hat.startswith("none") else hat,
                exists=os.path.exists,
            )
        )
    except PiRackError as error:
        why, bench = [str(error)], None
    if why or bench is None:
        yield unknown("jumper", f"{ABORTED}: {'; '.join(why)}")
        return
    yield from jumper.rows(pair, bench, pins.usable())


def _units(machine: TriedMachine) -> list[str]:
    with contextlib.suppress(ToolError):
        return board.running_units(machine)
    return []


class Redactor:
    """Removes from a text what names this machine, its owner or its network.

    Serials keep their last four digits, hardware addresses the first half, which names
    the maker.

    Args:
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


def as_text(rows: Sequence[ReportRow], redactor: Redactor | None) -> str:
    """Returns the report as a person reads it.

    Args:
        redactor: What takes names out; None shows all.
    """
    width = max(len(row.name) for row in rows)
    lines = [f"PiRack {VERSION} on this machine", ""]
    for row in _shown_rows(rows, redactor):
        said = row.result if row.result is not RowResult.UNKNOWN else f"{row.result}:"
        parts = [row.why, row.seen] if row.result is RowResult.UNKNOWN else [row.seen]
        lines.append(f"{row.name:<{width}}  {said} {'; '.join(filter(None, parts))}")
        if row.result is RowResult.DIFFERS:
            lines.append(f"{'':{width}}  {row.why}")
    counts = (f"{sum(r.result is kind for r in rows)} {kind}" for kind in RowResult)
    return "\n".join([*lines, "", ", ".join(counts)])


def as_json(rows: Sequence[ReportRow], redactor: Redactor | None) -> str:
    """Returns the report as a program reads it."""
    found = [dataclasses.asdict(row) for row in _shown_rows(rows, redactor)]
    value = {"pirack": VERSION, "whole": redactor is None, "rows": found}
    return printable_json(json.dumps(value, ensure_ascii=False, indent=1))


def _shown_rows(
    rows: Iterable[ReportRow], redactor: Redactor | None
) -> list[ReportRow]:
    def shown(text: str) -> str:
        one_line = printable(" ".join(text.split()))
        return (redactor(one_line) if redactor else one_line)[:MOST_SEEN]

    return [
        dataclasses.replace(row, seen=shown(row.seen), why=shown(row.why))
        for row in rows
    ]


def _redactor(machine: TriedMachine) -> Redactor:
    """Returns what takes this machine's names out."""
    try:
        user = pwd.getpwuid(os.getuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:  # a system without users
        name, home = "", ""
    host = machine.text("proc/sys/kernel/hostname")
    return Redactor(machine.facts.serial, (host, host.partition(".")[0], name), home)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
