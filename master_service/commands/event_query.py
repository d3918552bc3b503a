"""``events``: what is asked of the history, and the answer in parts."""

import logging
import sqlite3
from collections.abc import Callable

import msgspec

from broker.contract.messages import EventKind, Phase
from broker.contract.topics import ScopeKind
from master_service.presence.rack import Rack
from master_service.rack.command import (
    AskedCommand,
    CommandRefusedError,
    numbered_parts,
)
from master_service.rack.effects import BeginTask, Effects, SendReply
from master_service.rack.events import MOST_LINES, EventQuery
from master_service.rack.store import Store
from master_service.rack.times import Moment, SpanError, moment

log = logging.getLogger(__name__)

NAMES = ("since", "until", "kind", "incident", "correlation", "before", "limit")
LARGEST = 2**62
"""More than SQLite can count to would be an error there."""
_USAGE = f"write <name>=<value> with the names {', '.join(NAMES)}"


class EventQueries:
    """Carries out ``events``.

    Args:
        store: Where the history is.
        reply: Publishes replies.
    """

    def __init__(
        self,
        rack: Rack,
        store: Store,
        *,
        reply: Callable[[SendReply], None],
        moment: Callable[[], Moment],
    ) -> None:
        self._rack = rack
        self._store = store
        self._reply = reply
        self._moment = moment

    def begin(self, asked: AskedCommand) -> Effects:
        """Begins to read what is asked.

        Raises:
            CommandRefusedError: A word is not understood, or the time asked for has no
                length.
            TopicError: The scope means no board.
        """
        meant = query(self._rack, asked)
        name = f"events {asked.id}"
        return [BeginTask(name, lambda _: self._answer(asked, meant), droppable=True)]

    async def _answer(self, asked: AskedCommand, meant: EventQuery) -> None:
        """Replies with the lines in numbered parts, the oldest first."""
        try:
            # What happened a moment ago is still queued.
            await self._store.commit()
            events = await self._store.events(meant)
        except (sqlite3.Error, OSError) as error:
            log.exception("the history cannot be read")
            text = f"the history cannot be read: {error}"
            failed = asked.reply(Phase.FAILED, ok=False, error=text)
            self._reply(SendReply(failed, asked.route))
            return
        took_s = self._moment().now - asked.at.now
        reply = asked.reply(Phase.DONE, ok=True, duration_s=took_s)
        for part in numbered_parts(reply, "events", reversed(events)):
            self._reply(SendReply(part, asked.route))


def query(rack: Rack, asked: AskedCommand) -> EventQuery:
    """Returns what is asked: the scope says about whom, the words which lines.

    Raises:
        CommandRefusedError: A word is not understood, or the time asked for has no
            length.
        TopicError: The scope means no board.
    """
    said: dict[str, object] = {}
    for word in asked.command.args:
        name, equals, value = word.partition("=")
        if name not in NAMES or not equals or not value:
            text = f"events {word[:64]!r} is not understood; {_USAGE}"
            raise CommandRefusedError(text)
        said |= _read(name, value, asked.at.wall)
    found = msgspec.structs.replace(_about(rack, asked), **said)
    since, until = found.since, found.until
    if since is not None and until is not None and since > until:
        text = "events: since is later than until, so there can be no line between"
        raise CommandRefusedError(text)
    return found


def _about(rack: Rack, asked: AskedCommand) -> EventQuery:
    """Returns the query for a scope: a node's own lines, and those of its stack."""
    scope = asked.scope
    if scope.kind is ScopeKind.RACK:
        return EventQuery()
    if scope.kind is ScopeKind.STACK:
        stack = int(scope.name)
        nodes = rack.registry.in_stack(stack)
        ids = frozenset(node.id for node in nodes)
        return EventQuery(nodes=ids, stacks=frozenset({stack}))
    if scope.kind is ScopeKind.NODE and rack.registry.find(scope.name) is None:
        # A board that was forgotten still has a history.
        return EventQuery(nodes=frozenset({scope.name}))
    found = rack.registry.targets(scope)
    return EventQuery(
        nodes=frozenset(node.id for node in found),
        stacks=frozenset(n.stack for n in found if n.stack is not None),
    )


def _read(name: str, value: str, wall: float) -> dict[str, object]:
    try:
        if name in {"since", "until"}:
            return {name: moment(value, wall)}
        if name == "before":
            return {name: min(int(value), LARGEST)}
        if name == "limit":
            return {name: min(max(int(value), 1), MOST_LINES)}
    except (SpanError, ValueError) as error:
        text = f"events {name}={value[:64]!r}: {error}"
        raise CommandRefusedError(text) from error
    if name != "kind":
        return {name: value}
    known = set(EventKind)
    kinds = value.split(",")
    if not known.issuperset(kinds):
        text = f"events kind={value[:64]!r} is not known; known: {', '.join(EventKind)}"
        raise CommandRefusedError(text)
    return {"kinds": frozenset(map(EventKind, kinds))}
