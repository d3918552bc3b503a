"""``pirack watch``: all nodes, live, in the terminal."""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import signal
import sys
import time

from broker.client.link import Connect, Message
from broker.common.errors import ConfigError, LinkError, TopicError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_NO_BROKER, EXIT_OK
from broker.contract.messages import Event, Heartbeat
from broker.contract.topics import Topics
from pirack import pipe, table, where
from pirack.mirror import Mirror
from pirack.where import Place

HELP = "show all nodes, live, in the terminal"

EPILOG = """\
examples
  pirack watch                  until Ctrl-C; a log of events where there is no terminal
  pirack watch --once           wait for everybody's vitals, an interval at most, print
                                the table and end: exit code 1 if a node needs you
  pirack watch --json           a line for each state and event, for jq and scripts
  pirack watch --json --once | jq -r 'select(.verdict=="lost").name'

It reads what mosquitto_sub can read: pirack/v1/<rack>/node/+/state, …/heartbeat,
stack/+/state, rack/state and event.

exit codes
  0 fine   1 --once: a node needs a person, or nothing was heard   2 wrong usage
  3 configuration   4 the broker cannot be reached
"""

CONNECT_S = 5.0
GATHER_S = 3.0
QUIET_S = 0.3
"""Where the master tells no total, so much silence means that everything was sent."""
REDRAW_S = 0.5
LATE_S = 1.0
"""A heartbeat may be so late and still be on time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``pirack watch`` takes."""
    parser.add_argument("--once", action="store_true", help="print and end")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object a line instead of a table"
    )
    parser.add_argument(
        "--plain", action="store_true", help="no colour, no cursor movement"
    )
    where.add_options(parser)


class Watcher:
    """Feeds the mirror; prints lines where lines are asked for.

    Args:
        topics: Of the rack.
        as_json: Print every state and event as a line of JSON.
    """

    def __init__(self, topics: Topics, *, as_json: bool) -> None:
        self.mirror = Mirror(topics)
        self._as_json = as_json
        self.log_events = False
        self.heard_at = 0.0
        self.heard = asyncio.Event()
        """Set at every message."""
        self.ended = asyncio.Event()
        """Set when a person ends it, or nobody reads on."""
        self.trouble = ""

    def on_connected(self, session: str) -> None:
        """Forget the trouble."""
        del session
        self.trouble = ""

    def on_disconnected(self, reason: str) -> None:
        """Remember why, for the title."""
        self.trouble = reason

    def on_message(self, message: Message) -> None:
        """Take it into the picture, and print it where lines are wanted."""
        taken = self.mirror.take(message)
        self.heard_at = time.monotonic()
        self.heard.set()
        if self._as_json and taken is not None and not isinstance(taken, Heartbeat):
            with contextlib.suppress(ValueError):  # `status` is a plain word
                self._print(_json(message))
        elif self.log_events and isinstance(taken, Event):
            stamp = time.strftime("%H:%M:%S", time.localtime(taken.ts))
            self._print(f"{stamp} {taken.text}")

    def _print(self, line: str) -> None:
        if not pipe.say(line):
            self.ended.set()


def _json(message: Message) -> str:
    return json.dumps({"topic": message.topic, **json.loads(message.payload)})


def run(args: argparse.Namespace) -> int:
    """Watch until told to stop; return the exit code."""
    try:
        place = where.find(args)
    except (ConfigError, TopicError) as error:
        pipe.complain(f"pirack watch: {error}\n")
        return EXIT_CONFIG
    watcher = Watcher(place.topics, as_json=args.json)
    try:
        return asyncio.run(_run(place, watcher, args))
    except LinkError as error:
        pipe.complain(f"pirack watch: {error}\n")
        return EXIT_NO_BROKER
    except KeyboardInterrupt:
        return EXIT_OK


async def _run(place: Place, watcher: Watcher, args: argparse.Namespace) -> int:
    return await follow(await where.connect(place), watcher, args)


async def follow(connect: Connect, watcher: Watcher, args: argparse.Namespace) -> int:
    """Connect, gather, and show in the way that was asked for.

    Raises:
        LinkError: The broker cannot be reached.
    """
    link = connect(
        watcher,
        client_id=f"pirack-watch-{time.monotonic_ns():x}",
        subscriptions=watcher.mirror.subscriptions(),
    )
    await link.start()
    try:
        if not await link.wait_connected(CONNECT_S):
            raise LinkError(watcher.trouble or f"no connection within {CONNECT_S:g} s")
        await gather(watcher)
        return await _show(watcher, args)
    finally:
        await link.stop()


async def gather(watcher: Watcher) -> None:
    """Wait until the retained picture is there, at most ``GATHER_S``."""
    deadline = time.monotonic() + GATHER_S
    while time.monotonic() < deadline and not watcher.mirror.whole:
        await asyncio.sleep(REDRAW_S / 10)
        quiet_s = time.monotonic() - watcher.heard_at
        if watcher.heard_at and watcher.mirror.rack is None and quiet_s > QUIET_S:
            return


async def vitals(watcher: Watcher) -> None:
    """Wait for a heartbeat of every node that is online, at most an interval."""
    within_s = watcher.mirror.interval_s + LATE_S
    if sys.stderr.isatty() and not watcher.mirror.vital:
        sys.stderr.write(f"Waiting for vitals, at most {within_s:g} s …\n")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not watcher.mirror.vital:
                watcher.heard.clear()
                await watcher.heard.wait()


async def _show(watcher: Watcher, args: argparse.Namespace) -> int:
    coloured = not args.plain and sys.stdout.isatty() and _has_rich()
    if args.once:
        if not args.json:
            await vitals(watcher)
        return _once(watcher, as_json=args.json, coloured=coloured)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, watcher.ended.set)
    if coloured and not args.json:
        await _live(watcher)
    else:
        if not args.json:
            _print_plain(watcher)
            watcher.log_events = True
        await watcher.ended.wait()
    return EXIT_OK


async def _live(watcher: Watcher) -> None:
    from pirack.watch_rich import Screen  # noqa: PLC0415  # an extra

    with Screen(watcher.mirror) as screen:
        while not watcher.ended.is_set():
            # The column `for` counts on: drawn again even when nothing is new.
            screen.draw(time.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REDRAW_S):
                    await watcher.ended.wait()


def _once(watcher: Watcher, *, as_json: bool, coloured: bool) -> int:
    if coloured and not as_json:
        from pirack.watch_rich import print_once  # noqa: PLC0415  # an extra

        print_once(watcher.mirror, time.time())
    elif not as_json:
        _print_plain(watcher)
    fine = table.WELL | table.AWAITED
    rows = watcher.mirror.rows()
    well = rows and all(row.state.verdict in fine for row in rows)
    return EXIT_OK if well else EXIT_FAILED


def _print_plain(watcher: Watcher) -> None:
    print("\n".join(table.plain(watcher.mirror, time.time())), flush=True)


def _has_rich() -> bool:
    return importlib.util.find_spec("rich") is not None
