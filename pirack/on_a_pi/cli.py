"""Runs all checks and prints the report; ``scripts/try-on-a-pi`` starts it.

Changes nothing: no package, service or file. Pins are touched only if two are named.
"""

import argparse
import contextlib
import os
import pwd
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from broker.common.errors import PiRackError
from broker.common.service import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from pirack.on_a_pi import board, jumper, pins, report
from pirack.on_a_pi.board import Machine, NoAnswerError
from pirack.on_a_pi.report import Row, agrees, unknown

QUESTION = f"""\
{{pins}} will be driven for some seconds.
  {jumper.WIRING}.
Is that so, and is no relay connected to this board? Type yes: """
ABORTED = "no pin was touched"


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
    machine = Machine()
    if pair and not (args.no_relay or confirmed(pair)):
        print(f"pirack: {ABORTED}", file=sys.stderr)
        return EXIT_USAGE
    # As at Ctrl-C: what began is ended, so that no pin stays an output.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    pins.see_system_packages()
    # lgpio leaves files where it is started.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = list(_rows(machine, args, pair))
    veil = None if args.whole else _veil(machine)
    print(report.as_json(found, veil) if args.json else report.text(found, veil))
    bad = any(row.result is report.Result.DIFFERS for row in found)
    return EXIT_FAILED if bad else EXIT_OK


def confirmed(pair: tuple[int, int]) -> bool:
    """Asks a person about the wiring; nobody there means no."""
    if not sys.stdin.isatty():
        text = "pirack: --jumper asks about relays; without a terminal add --no-relay"
        print(text, file=sys.stderr)
        return False
    names = " and ".join(f"GPIO{pin}" for pin in pair)
    print(QUESTION.format(pins=names), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == "yes"


def _rows(
    machine: Machine, args: argparse.Namespace, pair: tuple[int, int] | None
) -> Iterator[Row]:
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
    machine: Machine, config: Path | None, pair: tuple[int, int]
) -> Iterator[Row]:
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


def _units(machine: Machine) -> list[str]:
    with contextlib.suppress(NoAnswerError):
        return board.running_units(machine)
    return []


def _veil(machine: Machine) -> report.Veil:
    try:
        user = pwd.getpwuid(os.getuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:  # a system without users
        name, home = "", ""
    return report.of_this_machine(machine.root, machine.facts.serial, name, home)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
