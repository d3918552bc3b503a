"""``pirack send``: a command, with its receipt."""

import argparse
import asyncio
import math
import sys
import uuid

import msgspec

from broker.common.errors import (
    ConfigError,
    LinkError,
    PayloadError,
    PiRackError,
    TopicError,
)
from broker.common.log import printable_json
from broker.common.service import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NO_BROKER,
    EXIT_OK,
    EXIT_USAGE,
)
from broker.contract import command_text
from broker.contract.messages import DEFAULT_TTL_S, Phase, RowCode, TargetRow
from broker.contract.topics import Scope, ScopeKind, check_name
from broker.contract.verbs import ADMIN_VERBS, DESTRUCTIVE
from pirack import option_types, rack_config, terminal
from pirack.rack_client import NoAnswerError, Patience, Question, RackClient, person
from pirack.rack_config import ADMIN, FoundRack
from pirack.receipt import Receipt, row_lines, tells

HELP = "send a command to a node, stack, tag or the rack, and print the receipt"

EPILOG = """\
targets
  s03n1 or node/s03n1   one node, by name or id
  stack/3  tag/gpu  rack
  sim                   the simulator: faults on demand

verbs
  ping refresh identify temperature reboot shutdown update power run …, and every alias
  of the nodes' command files (`pirack send s03n1 snapshot` is refused with the list).
  cancel stops what its target has under way, as far as it has not begun; with an id,
  that command only.

many nodes at a time
  wave=4 pause_s=5 on_failure=stop    words among the arguments, for any verb: so many
  nodes at a time, so long a pause between, and whether a failure stops the rest (or
  on_failure=continue). reboot and update go by fours unless told otherwise; wave=0 is
  all at once.

examples
  pirack send stack/3 ping
  pirack send rack temperature --json
  pirack send s03n1 reboot
  pirack send stack/3 power cycle --confirm stack/3
  pirack send rack reboot wave=2 on_failure=continue --confirm rack
  pirack send rack cancel
  pirack send s03n1 journal unit=nginx lines=20   an alias with arguments
  pirack send sim crash s03n1 for=30          the simulator only

It publishes pirack/v1/<rack>/<target>/cmd/<verb> and reads …/reply/<verb>, as
  mosquitto_pub -t pirack/v1/lab/stack/3/cmd/ping -n

exit codes
  0 every target is done   1 not all are, or nothing answers   2 wrong usage
  3 configuration          4 the broker cannot be reached
"""

QUIET_S = 75.0
"""Without news for so long it gives up: a board whose program says nothing gives a
sign of life every 60 s."""
DESTRUCTIVE_QUIET_S = 960.0
"""The same for destructive verbs; the master itself gives up a board after ``[master]
run_s``, 900 s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack send`` takes."""
    parser.add_argument(
        "target", help="node name or id, stack/<n>, tag/<tag>, rack, or sim"
    )
    parser.add_argument("verb", help="what to do: ping, reboot, or an alias")
    parser.add_argument(
        "args",
        nargs="*",
        help="words after the verb; name=value fills a placeholder, or see below",
    )
    parser.add_argument(
        "--ttl",
        type=option_types.seconds,
        default=DEFAULT_TTL_S,
        metavar="S",
        help="a target that has not started after so many seconds must not "
        f"(default: {DEFAULT_TTL_S:g})",
    )
    parser.add_argument(
        "--confirm",
        default="",
        metavar="TARGET",
        help="the target again: needed for what interrupts more than one node",
    )
    parser.add_argument(
        "--timeout",
        type=option_types.seconds,
        metavar="S",
        help="wait at most so many seconds for the whole receipt (default: until it is "
        f"complete, or there was no news for {QUIET_S:g} s; for "
        f"{DESTRUCTIVE_QUIET_S:g} s for what restarts a node)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the whole receipt as one JSON object"
    )
    rack_config.add_options(parser)


def parse_target(text: str) -> Scope:
    """Reads a target as a person types it; a bare word is a node.

    Raises:
        TopicError: It is not a target.
    """
    if "/" in text or text in {ScopeKind.RACK, ScopeKind.SIM}:
        return Scope.parse(text)
    return Scope(ScopeKind.NODE, text)


def question(args: argparse.Namespace) -> Question:
    """Returns what the options ask.

    Raises:
        TopicError: Target or verb cannot stand in a topic.
        PayloadError: A word like ``wave=`` has a value that it cannot have.
    """
    return Question(
        scope=parse_target(args.target),
        verb=check_name(args.verb, "verb"),
        command=command_text.read(
            args.args,
            id=uuid.uuid4().hex,
            ttl_s=args.ttl,
            confirm=args.confirm,
            by=person(),
        ),
    )


def patience_for(args: argparse.Namespace) -> Patience:
    """Returns how long to wait: for the whole receipt, or for news of it."""
    if args.timeout is not None:
        return Patience(whole_s=float(args.timeout))
    quiet_s = DESTRUCTIVE_QUIET_S if args.verb in DESTRUCTIVE else QUIET_S
    return Patience(whole_s=math.inf, quiet_s=quiet_s)


def run(args: argparse.Namespace) -> int:
    """Sends, and prints the receipt; returns the exit code."""
    try:
        asked = question(args)
    except (TopicError, PayloadError) as error:
        return _fail(str(error), EXIT_USAGE)
    patience = patience_for(args)
    printer = Printer(as_json=args.json)
    try:
        receipt = asyncio.run(
            talk(rack_config.find_rack(args, asked.verb), asked, patience, printer)
        )
    except (ConfigError, TopicError) as error:
        return _fail(str(error), EXIT_CONFIG)
    except LinkError as error:
        return _fail(str(error), EXIT_NO_BROKER)
    except PiRackError as error:
        return _fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail("stopped waiting; what was asked goes on", EXIT_FAILED)
    code = printer.end(receipt, patience)
    if needs_confirm(asked, receipt):
        again = f"to mean it: --confirm {asked.scope}"
        terminal.complain(f"pirack send: {again}\n")
    return code


def needs_confirm(asked: Question, receipt: Receipt) -> bool:
    """Returns whether it was refused because it was not confirmed."""
    whole = receipt.whole()
    if whole is None or whole.phase is not Phase.REFUSED:
        return False
    if any(row.code is RowCode.NEEDS_CONFIRM for row in whole.targets):
        return True
    # A master of an earlier version gives no code.
    return asked.verb in DESTRUCTIVE and f"confirm={asked.scope}" in whole.error


async def talk(
    place: FoundRack, asked: Question, patience: Patience, printer: "Printer"
) -> Receipt:
    """Asks, prints what comes, and returns the receipt.

    Raises:
        LinkError: The broker cannot be reached.
        NoAnswerError: The master is offline, or nothing answers.
    """
    client = RackClient(
        await rack_config.connect(place),
        place.topics,
        name="send",
        replies=[place.topics.reply(asked.scope, asked.verb)],
        connect_s=patience.connect_s,
    )
    try:
        async with client:
            return await client.ask(asked, patience=patience, progress=printer.progress)
    except NoAnswerError as error:
        if asked.verb not in ADMIN_VERBS or place.endpoint.username in {"", ADMIN}:
            raise
        text = (
            f"{error}. `{asked.verb}` needs the role admin; it was sent as user "
            f"{place.endpoint.username}"
        )
        raise NoAnswerError(text) from error


class Printer:
    """Prints a receipt while it grows.

    Args:
        as_json: Print nothing but one object at the end.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._accepted = False
        self._counter = sys.stderr.isatty() and not as_json

    def progress(self, receipt: Receipt, rows: tuple[TargetRow, ...]) -> None:
        """Prints the targets that are finished now."""
        if self._as_json:
            return
        self._wipe()
        if not self._accepted and not receipt.complete:
            self._accepted = True
            terminal.say(receipt.summary(below_rows=True))
        for row in rows:
            if row.phase.final and tells(row):
                terminal.say("\n".join(row_lines(row)))
        self._count(receipt)

    def end(self, receipt: Receipt, patience: Patience) -> int:
        """Prints the last line and returns the exit code."""
        if self._as_json:
            whole = receipt.whole()
            text = msgspec.json.encode(whole).decode() if whole else "null"
            print(printable_json(text))
        else:
            self._wipe()
            for row in receipt.rows:
                if not row.phase.final:
                    print("\n".join(row_lines(row)))
            print(receipt.summary(below_rows=True))
        if not receipt.complete:
            waited_s = min(patience.whole_s, patience.quiet_s)
            after = "" if patience.whole_s <= patience.quiet_s else " without news"
            text = (
                f"gave up after {waited_s:g} s{after}; what was asked may still go on"
            )
            return _fail(text, EXIT_FAILED)
        return EXIT_OK if receipt.ok else EXIT_FAILED

    def _count(self, receipt: Receipt) -> None:
        """Prints how many are finished, on a terminal, in a line it writes over."""
        if self._counter and not receipt.complete and receipt.rows:
            ended = sum(row.phase.final for row in receipt.rows)
            sys.stderr.write(f"  {ended} of {len(receipt.rows)} …")
            sys.stderr.flush()

    def _wipe(self) -> None:
        if self._counter:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack send: {text}\n")
    return code
