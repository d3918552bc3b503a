"""``pirack watch``: all nodes, live, in the terminal."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import textwrap
import time
from collections.abc import Iterator

from broker.client.link import Connect, Message
from broker.common.errors import ConfigError, LinkError, TopicError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_NO_BROKER, EXIT_OK
from broker.contract.messages import (
    Event,
    Heartbeat,
    MasterDetails,
    NodeState,
    Status,
    Verdict,
)
from broker.contract.topics import Topics
from pirack import rack_config, terminal
from pirack.rack_client import RackClient
from pirack.rack_picture import RackPicture, by_stack, overview
from pirack.screen import (
    Grid,
    Line,
    LiveScreen,
    Piece,
    is_redrawable,
    line,
    show,
    span,
    width,
)

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

GATHER_S = 3.0
"""How long what is retained may take to come."""
REDRAW_S = 0.5
LATE_S = 1.0
"""A heartbeat may be so late and still be on time."""

COLUMNS = ("node", "verdict", "for", "cpu", "mem", "disk", "temp", "up", "reason")
NUMBERS = frozenset({"for", "cpu", "mem", "disk", "temp", "up"})
"""Columns that are aligned to the right."""
DROPPED = ("disk", "up", "mem", "temp", "cpu")
"""What a narrow terminal goes without, the first first."""
UNLIMITED = 10**6
"""Characters or lines."""
FRAME_LINES = 6
"""Lines of a terminal that are left free around the table."""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack watch`` takes."""
    parser.add_argument("--once", action="store_true", help="print and end")
    parser.add_argument(
        "--json", action="store_true", help="a JSON object a line instead of a table"
    )
    parser.add_argument(
        "--plain", action="store_true", help="no colour, no cursor movement"
    )
    rack_config.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Watches until told to stop; returns the exit code."""
    try:
        return asyncio.run(_run(rack_config.find_rack(args), args))
    except (ConfigError, TopicError) as error:
        terminal.complain(f"pirack watch: {error}\n")
        return EXIT_CONFIG
    except LinkError as error:
        terminal.complain(f"pirack watch: {error}\n")
        return EXIT_NO_BROKER
    except KeyboardInterrupt:
        return EXIT_OK


async def _run(place: rack_config.FoundRack, args: argparse.Namespace) -> int:
    return await Watcher(await rack_config.connect(place), place.topics, args).watch()


class Watcher:
    """Shows the rack in the way that was asked for.

    Args:
        connect: Makes links.
        topics: Of the rack.
        args: From the command line.
    """

    def __init__(
        self, connect: Connect, topics: Topics, args: argparse.Namespace
    ) -> None:
        self._args = args
        self.client = RackClient(
            connect,
            topics,
            name="watch",
            hears=overview(topics),
            on_message=self._on_message,
        )
        self._log_events = False
        self.ended = asyncio.Event()
        """Set when a person ends it, or the reader goes away."""

    async def watch(self) -> int:
        """Connects, gathers, and shows; returns the exit code.

        Raises:
            LinkError: The broker cannot be reached.
        """
        args = self._args
        coloured = not args.plain and is_redrawable()
        async with self.client:
            await self.client.settle(GATHER_S)
            if args.once:
                return await self._once(coloured=coloured)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.ended.set)
            if coloured and not args.json:
                await self._live()
                return EXIT_OK
            if not args.json:
                show(lines(self.client.picture, time.time()), coloured=False)
                self._log_events = True
            await self.ended.wait()
        return EXIT_OK

    async def _once(self, *, coloured: bool) -> int:
        picture = self.client.picture
        if not self._args.json:
            await self._wait_for_vitals()
            room = width() if coloured else None
            show(lines(picture, time.time(), room), coloured=coloured)
        fine = WELL | AWAITED
        verdicts = [state.verdict for state in picture.nodes.values()]
        return EXIT_OK if verdicts and fine.issuperset(verdicts) else EXIT_FAILED

    async def _wait_for_vitals(self) -> None:
        """Waits for a heartbeat of every node that is online, at most an interval."""
        picture = self.client.picture
        within_s = picture.interval_s + LATE_S
        if sys.stderr.isatty() and not picture.has_vitals:
            sys.stderr.write(f"Waiting for vitals, at most {within_s:g} s …\n")
        await self.client.wait_for(lambda: picture.has_vitals, within_s)

    async def _live(self) -> None:
        with LiveScreen(whole=True) as screen:
            while not self.ended.is_set():
                # The column `for` counts on: drawn again even when nothing is new.
                screen.draw(lines(self.client.picture, time.time(), *screen.size))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REDRAW_S):
                        await self.ended.wait()

    def _on_message(self, message: Message, value: object) -> None:
        """Prints a message where lines are wanted."""
        if self._args.json:
            if value is not None and not isinstance(value, Heartbeat | MasterDetails):
                body = json.loads(message.payload)
                self._print(json.dumps({"topic": message.topic, **body}))
        elif self._log_events and isinstance(value, Event):
            stamp = time.strftime("%H:%M:%S", time.localtime(value.ts))
            self._print(f"{stamp} {value.text}")

    def _print(self, text: str) -> None:
        if not terminal.say(text):
            self.ended.set()


def lines(
    picture: RackPicture, now: float, room: int | None = None, height: int = UNLIMITED
) -> Iterator[Line]:
    """Returns the rack: a row a node where that fits, else a line a stack.

    Args:
        picture: What is known.
        now: Unix time, seconds.
        room: Characters of a line; None where lines may be as long as they like.
        height: Lines that fit.
    """
    groups = by_stack(picture.by_place())
    for text in textwrap.wrap(title(picture), room or UNLIMITED):
        yield line(Piece(text, "bold"))
    if not groups:
        return
    if sum(len(states) + 1 for states in groups.values()) + FRAME_LINES > height:
        yield from _short(picture, groups, room or UNLIMITED)
        return
    rows = {state.id: _cells(state, picture, now) for state in picture.nodes.values()}
    grid = Grid(
        COLUMNS,
        rows.values(),
        right=NUMBERS,
        indent="  ",
        room=room,
        drops=DROPPED,
        flexible="reason",
    )
    yield grid.titles("dim")
    for stack, states in groups.items():
        yield line(Piece(_heading(stack, picture), "dim"))
        for state in states:
            name, verdict, *rest = rows[state.id]
            yield from grid.lines([name, Piece(verdict, _style(state)), *rest])


def _short(
    picture: RackPicture, groups: dict[int | None, list[NodeState]], room: int
) -> Iterator[Line]:
    """Each node is its name in its colour, and its verdict where it is not online."""
    headings = {stack: _heading(stack, picture) for stack in groups}
    indent = max(map(len, headings.values()))
    for stack, states in groups.items():
        pieces, used = [Piece(headings[stack].ljust(indent), "dim")], indent
        for state in states:
            told = "" if state.verdict in WELL else f" {state.verdict}"
            piece = Piece(f"  {state.name}{told}", _style(state))
            if used + len(piece.text) > room:
                yield tuple(pieces)
                pieces, used = [Piece(" " * indent)], indent
            pieces.append(piece)
            used += len(piece.text)
        yield tuple(pieces)


def title(picture: RackPicture) -> str:
    """Returns the whole rack in one line."""
    counts: dict[str, int] = {}
    for state in picture.by_place():
        counts[state.verdict] = counts.get(state.verdict, 0) + 1
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    rack = picture.rack
    notes = [rack.frozen] if rack and rack.frozen else []
    if picture.master != Status.ONLINE:
        notes.append("master offline: this is its last word")
    said = f"{rack.rack if rack else 'rack'}: {words or 'no nodes yet'}"
    return " · ".join((said, *notes))


def _heading(stack: int | None, picture: RackPicture) -> str:
    """Returns what stands above a stack's rows."""
    if stack is None:
        return "no stack"
    state = picture.stacks.get(stack)
    power = f" · power {state.power}" if state and state.power else ""
    name = f"stack {stack}"
    if state and state.name.lower() != name:
        name += f" {state.name}"
    return name + power


def _cells(state: NodeState, picture: RackPicture, now: float) -> tuple[str, ...]:
    """Returns a node's cells, one for each of ``COLUMNS``."""
    vitals = ("",) * 5
    beat = picture.heartbeats.get(state.id)
    if state.verdict in WELL and beat is not None:
        vitals = (
            _rounded(beat.cpu_percent, "%"),
            _rounded(beat.memory_percent, "%"),
            _rounded(beat.disk_percent, "%"),
            _rounded(beat.temperature_c, "°"),
            span(beat.uptime_s),
        )
    verdict = state.verdict.value
    if state.running is not None:
        verdict += f" ({state.running.verb})"
    lasted = span(now - state.since) if state.since else ""
    reason = "; ".join((*filter(None, [state.reason]), *state.faults))
    return (state.name, verdict, lasted, *vitals, reason)


def _rounded(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.0f}{unit}"


def _style(state: NodeState) -> str:
    """Returns the colour of a node; the words beside it say the same."""
    if state.verdict in WELL:
        return "bold red" if state.faults else "green"
    return "yellow" if state.verdict in AWAITED else "bold red"
