"""``pirack events``: the rack's history, asked and followed."""

import argparse
import asyncio
import random
import signal
import time
from collections.abc import Iterable

import msgspec

from broker.client.link import Connect, Message, Subscription
from broker.client.mqtt_link import Backoff
from broker.common.errors import ConfigError, LinkError, PiRackError, TopicError
from broker.common.log import printable, printable_json
from broker.common.service import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NO_BROKER,
    EXIT_OK,
    EXIT_USAGE,
)
from broker.common.tasks import first
from broker.contract.messages import Event, EventKind
from broker.contract.topics import NodeLeaf, Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from pirack import option_types, rack_config, terminal
from pirack.rack_client import RACK, NoAnswerError, Question, RackClient, question
from pirack.rack_config import FoundRack

HELP = "show the rack's history, and follow it"

EPILOG = """\
examples
  pirack events                             the last 50 lines
  pirack events --since 2h --node s03n2     what became of a board, and of its stack
  pirack events --since 2026-03-01T08:00 --until 30m
  pirack events --stack 3 --kind power --kind incident
  pirack events --since 1d --fold           one line for each incident
  pirack events --incident i-1207           every line of one incident
  pirack events --command c0ffee01          everything one command caused
  pirack events --follow --json | jq -r 'select(.kind=="fault").text'

A moment is how long ago (90s, 30m, 2h, 1d12h, 1w), a date and time of ISO 8601 (UTC
unless it says otherwise), or Unix seconds. Times are printed in this machine's zone.

It publishes pirack/v1/<rack>/<target>/cmd/events, and --follow reads …/event, as
  mosquitto_pub -t pirack/v1/lab/node/s03n2/cmd/events -m 'since=2h kind=power,fault'

exit codes
  0 fine   1 refused, or nothing answers   2 wrong usage   3 configuration
  4 the broker cannot be reached
"""

DEFAULT_LINES = 50
MANY_LINES = 5_000
PAGE_LINES = 500
"""What was missed is asked in pages, the newest first."""
CATCH_UP_S = 60.0
"""How long a master that is not back yet is asked again for what was missed."""
NOTHING = "the history has no such line; is what you asked about called so?"
_KIND_WIDTH = max(len(kind) for kind in EventKind)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack events`` takes."""
    parser.add_argument("--since", metavar="WHEN", help="oldest: 2h, 1d, a date")
    parser.add_argument("--until", metavar="WHEN", help="newest, likewise")
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--node", metavar="NAME", help="about one node, by name or id")
    about.add_argument("--stack", type=int, metavar="N", help="about one stack")
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=[kind.value for kind in EventKind if kind is not EventKind.OTHER],
        metavar="KIND",
        help=f"{', '.join(EventKind)}; may be given several times",
    )
    parser.add_argument("--incident", metavar="ID", help="only lines of one incident")
    parser.add_argument(
        "--command",
        dest="correlation",
        metavar="ID",
        help="only lines that one command caused",
    )
    parser.add_argument(
        "--limit",
        type=option_types.whole("number of lines", 1, MANY_LINES),
        metavar="N",
        help=f"the newest N lines (default: {DEFAULT_LINES}, with --since "
        f"{MANY_LINES}, which is the most)",
    )
    parser.add_argument(
        "--fold", action="store_true", help="one line for each incident"
    )
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on with new lines until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    rack_config.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the history; returns the exit code."""
    if args.follow and (args.until or args.fold):
        text = "--follow goes on: it takes neither --until nor --fold"
        return _fail(text, EXIT_USAGE)
    try:
        asked = history(args)
    except TopicError as error:
        return _fail(str(error), EXIT_USAGE)
    try:
        return asyncio.run(_run(rack_config.find_rack(args), asked, args))
    except (ConfigError, TopicError) as error:
        code, text = EXIT_CONFIG, str(error)
    except LinkError as error:
        code, text = EXIT_NO_BROKER, str(error)
    except PiRackError as error:
        code, text = EXIT_FAILED, str(error)
    except KeyboardInterrupt:
        return EXIT_OK
    return _fail(text, code)


def history(
    args: argparse.Namespace, *, limit: int | None = None, before: int = 0
) -> Question:
    """Returns what is asked of the master.

    Args:
        args: From the command line.
        limit: Another number of lines than the command line's.
        before: Only lines with a number below this; 0 for all.

    Raises:
        TopicError: The node's name or the stack's number cannot be one.
    """
    limit = limit or args.limit or (MANY_LINES if args.since else DEFAULT_LINES)
    said = {
        "since": args.since,
        "until": args.until,
        "kind": ",".join(args.kind),
        "incident": args.incident,
        "correlation": args.correlation,
        "before": before,
        "limit": limit,
    }
    words = [f"{name}={value}" for name, value in said.items() if value]
    scope = RACK
    if args.node:
        scope = Scope(ScopeKind.NODE, args.node)
    elif args.stack is not None:
        scope = Scope(ScopeKind.STACK, str(args.stack))
    return question(scope, Verb.EVENTS, *words)


async def _run(place: FoundRack, asked: Question, args: argparse.Namespace) -> int:
    return await show(await rack_config.connect(place), place.topics, asked, args)


async def show(
    connect: Connect, topics: Topics, asked: Question, args: argparse.Namespace
) -> int:
    """Asks, prints, and follows if that is wanted; returns the exit code.

    Raises:
        LinkError: The broker cannot be reached.
        NoAnswerError: The master is offline, or nothing answers.
    """
    if args.follow:
        return await Follower(connect, topics, args).follow(asked)
    replies = [topics.reply(asked.scope, asked.verb)]
    async with RackClient(connect, topics, name="events", replies=replies) as client:
        receipt = await client.ask(asked)
    if not receipt.ok:
        return _fail(receipt.why, EXIT_FAILED)
    for event in fold(receipt.events) if args.fold else receipt.events:
        terminal.say(written(event, as_json=args.json))
    if not receipt.events:
        # Only for a person: a program reads standard output.
        terminal.complain(f"pirack events: {NOTHING}\n")
    return EXIT_OK


def written(event: Event, *, as_json: bool) -> str:
    """Returns a line for a program, or for a terminal: local time, kind, sentence."""
    if as_json:
        return printable_json(msgspec.json.encode(event).decode())
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.ts))
    mark = f"  ({event.incident})" if event.incident else ""
    return printable(f"{stamp}  {event.kind:<{_KIND_WIDTH}}  {event.text}{mark}", "")


def fold(events: Iterable[Event]) -> list[Event]:
    """Returns one event for each incident, and every other event, in order.

    Args:
        events: Oldest first.
    """
    heads: dict[str, Event] = {}
    counts: dict[str, int] = {}
    kept: dict[int, Event] = {}
    for event in events:
        if not event.incident:
            kept[event.seq] = event
            continue
        before = heads.get(event.incident)
        counts[event.incident] = counts.get(event.incident, 0) + 1
        weaker = before is None or before.kind is not EventKind.INCIDENT
        if weaker or event.kind is EventKind.INCIDENT:
            heads[event.incident] = event
    for incident, head in heads.items():
        more = counts[incident] - 1
        tail = f" [{more} more line{'s' * (more > 1)}]" if more else ""
        kept[head.seq] = msgspec.structs.replace(head, text=head.text + tail)
    return [kept[seq] for seq in sorted(kept)]


class Follower:
    """Prints new lines that match, each once by its number.

    After every connection new lines are held back until the history was asked: what
    happened in between is in one of the two.

    Args:
        connect: Makes links.
        topics: Of the rack.
        args: What was asked for.
    """

    def __init__(
        self, connect: Connect, topics: Topics, args: argparse.Namespace
    ) -> None:
        self._args = args
        states = topics.node("+", NodeLeaf.STATE)
        self._client = RackClient(
            connect,
            topics,
            name="events",
            # The states say which id is called what, and where it is.
            hears=[Subscription(topics.event, qos=1), Subscription(states, qos=1)],
            replies=[topics.reply(history(args).scope, Verb.EVENTS)],
            on_message=self._on_message,
        )
        self._held: list[Event] = []
        self._complete = 0
        """The number of the connection up to which the history was asked."""
        self._newest = 0
        self._ended = asyncio.Event()
        """Set when a person ends it, or when the reader of the output goes away."""

    async def follow(self, asked: Question) -> int:
        """Prints the history, then new lines until the end; returns the exit code.

        Raises:
            LinkError: The broker cannot be reached.
            NoAnswerError: The master is offline, or nothing answers.
        """
        async with self._client:
            connection = self._client.connections
            receipt = await self._client.ask(asked)
            if receipt.why:
                return _fail(receipt.why, EXIT_FAILED)
            self._release(receipt.events, connection)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._ended.set)
            await first(self._keep_up(), self._ended.wait())
            return EXIT_OK

    async def _keep_up(self) -> None:
        """Asks for what was missed whenever the connection was lost."""
        client = self._client
        while True:
            await client.wait_for(lambda: client.trouble != "" or self._behind)
            if client.trouble:
                terminal.complain(
                    f"pirack events: the broker is away: {client.trouble}\n"
                )
            await client.wait_for(lambda: self._behind)
            connection = client.connections
            self._release(await self._missed(), connection)

    @property
    def _behind(self) -> bool:
        return self._client.connections != self._complete

    async def _missed(self) -> list[Event]:
        """Returns the lines after the newest one known; none if they cannot be had."""
        backoff = Backoff(random.random)
        deadline = time.monotonic() + CATCH_UP_S
        while True:
            try:
                return await self._after_newest()
            except PiRackError as error:
                if time.monotonic() > deadline:
                    terminal.complain(f"pirack events: lines may be missing: {error}\n")
                    return []
            await asyncio.sleep(backoff.after(0))

    async def _after_newest(self) -> list[Event]:
        """Pages back to the newest line known, by number: clocks may be set.

        Raises:
            PiRackError: The master does not answer.
        """
        lines: list[Event] = []
        before = 0
        while True:
            asked = history(self._args, limit=PAGE_LINES, before=before)
            receipt = await self._client.ask(asked)
            if not receipt.ok:
                raise NoAnswerError(receipt.why)
            page = [event for event in receipt.events if event.seq > self._newest]
            lines = page + lines
            if len(page) < PAGE_LINES:
                return lines
            before = page[0].seq

    def _on_message(self, _message: Message, value: object) -> None:
        if not isinstance(value, Event):
            return
        if self._behind:
            self._held.append(value)
        elif self._matches(value):
            self._print(value)

    def _release(self, history: Iterable[Event], connection: int) -> None:
        """Prints the history and what was held back meanwhile."""
        for event in history:
            self._print(event)
        if connection != self._client.connections:
            return  # lost again since it was asked
        self._complete = connection
        held, self._held = self._held, []
        for event in held:
            if self._matches(event):
                self._print(event)

    def _print(self, event: Event) -> None:
        if event.seq > self._newest:
            self._newest = event.seq
            if not terminal.say(written(event, as_json=self._args.json)):
                self._ended.set()

    def _matches(self, event: Event) -> bool:
        args = self._args
        return (
            (not args.kind or event.kind in args.kind)
            and (not args.incident or event.incident == args.incident)
            and (not args.correlation or event.correlation == args.correlation)
            and self._is_about(event)
        )

    def _is_about(self, event: Event) -> bool:
        """Whether a line is about the node or stack that was asked for.

        As the master answers it: a node has its own lines and those of its stack.
        """
        name, stack = self._args.node, self._args.stack
        nodes = self._client.picture.nodes
        state = nodes.get(event.node)
        if stack is not None:
            return bool(stack == (event.stack if state is None else state.stack))
        if name is None:
            return True
        if event.node:
            return name in {event.node, state.name if state else ""}
        mine = [one for one in nodes.values() if name in {one.id, one.name}]
        return event.stack is not None and any(o.stack == event.stack for o in mine)


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack events: {text}\n")
    return code
