"""``pirack events``: the rack's history, asked and followed."""

import argparse
import asyncio
import signal

from broker.client.link import Connect
from broker.common.errors import (
    ConfigError,
    LinkError,
    PiRackError,
    TopicError,
)
from broker.common.service import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NO_BROKER,
    EXIT_OK,
    EXIT_USAGE,
)
from broker.common.tasks import first
from broker.contract.messages import EventKind
from broker.contract.topics import Topics
from pirack import option_types, pipe, where
from pirack.ask import Patience, Question, ask
from pirack.event_follow import Follower
from pirack.event_lines import fold, written
from pirack.event_question import DEFAULT_LINES, MANY_LINES, question
from pirack.receipt import Receipt
from pirack.where import Place

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

CONNECT_S = 5.0
NOTHING = "the history has no such line; is what you asked about called so?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``pirack events`` takes."""
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
    where.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the history; return the exit code."""
    if args.follow and (args.until or args.fold):
        text = "--follow goes on: it takes neither --until nor --fold"
        return _fail(text, EXIT_USAGE)
    try:
        asked = question(args)
    except TopicError as error:
        return _fail(str(error), EXIT_USAGE)
    try:
        return asyncio.run(_run(where.find(args), asked, args))
    except (ConfigError, TopicError) as error:
        code, text = EXIT_CONFIG, str(error)
    except LinkError as error:
        code, text = EXIT_NO_BROKER, str(error)
    except PiRackError as error:
        code, text = EXIT_FAILED, str(error)
    except KeyboardInterrupt:
        return EXIT_OK
    return _fail(text, code)


async def _run(place: Place, asked: Question, args: argparse.Namespace) -> int:
    return await show(await where.connect(place), place.topics, asked, args)


async def show(
    connect: Connect, topics: Topics, asked: Question, args: argparse.Namespace
) -> int:
    """Ask, print, and follow if that is wanted; return the exit code.

    Raises:
        LinkError: The broker cannot be reached.
        NoAnswerError: The master is offline, or nothing answers.
    """

    async def asking(one: Question) -> Receipt:
        return await ask(
            connect, topics, one, patience=Patience(), progress=lambda *_: None
        )

    if args.follow:
        return await _follow(connect, Follower(topics, args, asking), asked)
    receipt = await asking(asked)
    if not receipt.ok:
        return _fail(receipt.why, EXIT_FAILED)
    for event in fold(receipt.events) if args.fold else receipt.events:
        pipe.say(written(event, as_json=args.json))
    if not receipt.events:
        # Nobody but a person wants to know: a program reads standard output.
        pipe.complain(f"pirack events: {NOTHING}\n")
    return EXIT_OK


async def _follow(connect: Connect, follower: Follower, asked: Question) -> int:
    """Print the history, and go on until told to stop.

    Raises:
        PiRackError: The broker cannot be reached, or nothing answers.
    """
    link = connect(
        follower,
        client_id=f"pirack-events-{asked.command.id}",
        subscriptions=follower.subscriptions,
    )
    await link.start()
    try:
        if not await link.wait_connected(CONNECT_S):
            raise LinkError(follower.trouble or f"no connection within {CONNECT_S:g} s")
        error = await follower.begin(asked)
        if error:
            return _fail(error, EXIT_FAILED)
        await first(follower.keep_up(), _until_told())
        return EXIT_OK
    finally:
        await link.stop()


async def _until_told() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


def _fail(text: str, code: int) -> int:
    pipe.complain(f"pirack events: {text}\n")
    return code
