"""New lines of the history, as they come, for ``pirack events --follow``."""

import argparse
import contextlib
import sys

from broker.errors import ContractError
from broker.link import Message, Subscription
from broker.messages import Event, NodeState, decode
from broker.topics import NodeLeaf, NodeTopic, Topics
from pirack.event_lines import written


class Follower:
    """Prints new lines that are meant; holds them back until it is released.

    Args:
        topics: Of the rack.
        args: What was asked for.
    """

    def __init__(self, topics: Topics, args: argparse.Namespace) -> None:
        self._topics = topics
        self._args = args
        self._places: dict[str, NodeState] = {}
        self._held: list[Event] | None = []
        self.trouble = ""
        self.shown: set[int] = set()
        """Numbers of the lines that were printed."""

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What must be heard: new lines, and which id is called what and where."""
        states = self._topics.node("+", NodeLeaf.STATE)
        return Subscription(self._topics.event, qos=1), Subscription(states, qos=1)

    def on_connected(self, session: str) -> None:
        """Take note of nothing: the link's own state says it."""
        del session

    def on_disconnected(self, reason: str) -> None:
        """Say it: lines may be missing."""
        self.trouble = reason
        sys.stderr.write(f"pirack events: the broker is away: {reason}\n")

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

    def release(self) -> None:
        """Print what was held back, and from now on everything."""
        held, self._held = self._held or [], None
        for event in held:
            self._take(event)

    def _take(self, event: Event) -> None:
        if self._held is not None:
            self._held.append(event)
        elif event.seq not in self.shown and self._means(event):
            self.shown.add(event.seq)
            print(written(event, as_json=self._args.json), flush=True)

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
