"""New lines of the history, as they come, for ``pirack events --follow``."""

import argparse
import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable

from broker.client.link import Message, Subscription
from broker.client.mqtt_link import Backoff
from broker.common.errors import ContractError, PiRackError
from broker.contract.messages import Event, NodeState, decode
from broker.contract.topics import NodeLeaf, NodeTopic, Topics
from pirack import pipe
from pirack.ask import NoAnswerError, Question
from pirack.event_lines import written
from pirack.event_question import question
from pirack.receipt import Receipt

PAGE_LINES = 500
"""What was missed is asked in pages, the newest first."""
CATCH_UP_S = 60.0
"""How long a master that is not back yet is asked again for what was missed."""

Asking = Callable[[Question], Awaitable[Receipt]]
"""Asks the master."""


class Follower:
    """Prints new lines that are meant, by their numbers; each is said once.

    Whenever the broker is there (again), new lines are held back until the history was
    asked: what happened in between is in one of the two.

    Args:
        topics: Of the rack.
        args: What was asked for.
        asking: Asks the master.
    """

    def __init__(
        self, topics: Topics, args: argparse.Namespace, asking: Asking
    ) -> None:
        self._topics = topics
        self._args = args
        self._asking = asking
        self._places: dict[str, NodeState] = {}
        self._held: list[Event] | None = []
        self.trouble = ""
        self._newest = 0
        self._returned = asyncio.Event()
        self._unread = False

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What must be heard: new lines, and which id is called what and where."""
        states = self._topics.node("+", NodeLeaf.STATE)
        return Subscription(self._topics.event, qos=1), Subscription(states, qos=1)

    def on_connected(self, session: str) -> None:
        """Hold new lines back until it is known what was missed before them."""
        del session
        if self._held is None:
            self._held = []
        self._returned.set()

    def on_disconnected(self, reason: str) -> None:
        """Say it: nothing new can be heard for now."""
        self.trouble = reason
        pipe.complain(f"pirack events: the broker is away: {reason}\n")

    def on_message(self, message: Message) -> None:
        """Take a line, or a node's name and place."""
        with contextlib.suppress(ContractError):
            match self._topics.parse(message.topic):
                case NodeTopic(node=node) if message.payload:
                    self._places[node] = decode(message.payload, NodeState)
                case NodeTopic():
                    pass
                case _:
                    self._take(decode(message.payload, Event))

    async def begin(self, asked: Question) -> str:
        """Print the history that was asked for; return why not, empty if all is well.

        Raises:
            PiRackError: Nothing answers.
        """
        self._returned.clear()
        receipt = await self._asking(asked)
        self._show(receipt.events)
        return receipt.why

    async def keep_up(self) -> None:
        """Let new lines out, and ask for what was missed whenever the link was down.

        It ends when nobody reads them any more.
        """
        while not self._unread:
            if not self._returned.is_set():
                self._release()
            await self._returned.wait()
            self._returned.clear()
            if not self._unread:
                self._show(await self._missed())

    async def _missed(self) -> list[Event]:
        """Return the lines after the newest one known; none where nobody tells them."""
        backoff = Backoff(random.random)
        deadline = time.monotonic() + CATCH_UP_S
        while True:
            try:
                return await self._after_newest()
            except PiRackError as error:
                if time.monotonic() > deadline:
                    pipe.complain(f"pirack events: lines may be missing: {error}\n")
                    return []
            await asyncio.sleep(backoff.after(0))

    async def _after_newest(self) -> list[Event]:
        """Page back to the newest line known: by number, for clocks are set at times.

        Raises:
            PiRackError: The master does not answer.
        """
        lines: list[Event] = []
        before = 0
        while True:
            asked = question(self._args, limit=PAGE_LINES, before=before)
            receipt = await self._asking(asked)
            if not receipt.ok:
                raise NoAnswerError(receipt.why)
            page = [event for event in receipt.events if event.seq > self._newest]
            lines = page + lines
            if len(page) < PAGE_LINES:
                return lines
            before = page[0].seq

    def _show(self, history: Iterable[Event]) -> None:
        """Print what the master answered and was not printed yet, oldest first."""
        for event in history:
            self._print(event)

    def _release(self) -> None:
        """Print what was held back, and from now on everything."""
        held, self._held = self._held or [], None
        for event in held:
            self._take(event)

    def _take(self, event: Event) -> None:
        if self._held is not None:
            self._held.append(event)
        elif self._means(event):
            self._print(event)

    def _print(self, event: Event) -> None:
        if event.seq > self._newest:
            self._newest = event.seq
            if not pipe.say(written(event, as_json=self._args.json)):
                self._unread = True
                self._returned.set()

    def _means(self, event: Event) -> bool:
        args = self._args
        return (
            (not args.kind or event.kind in args.kind)
            and (not args.incident or event.incident == args.incident)
            and (not args.correlation or event.correlation == args.correlation)
            and self._about(event)
        )

    def _about(self, event: Event) -> bool:
        """Whether a line is about the node or stack that was asked for.

        As the master answers it: a node has its own lines and those of its stack.
        """
        name, stack = self._args.node, self._args.stack
        if name is None and stack is None:
            return True
        place = self._places.get(event.node)
        if stack is not None:
            of = place.stack if place is not None else event.stack
            return bool(of == stack)
        if event.node:
            called = place.name if place is not None else ""
            return name in {event.node, called}
        mine = (one for one in self._places.values() if name in {one.id, one.name})
        return event.stack is not None and any(o.stack == event.stack for o in mine)
