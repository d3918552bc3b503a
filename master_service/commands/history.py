"""``events``: what is asked of the history, and the answer in parts; pure."""

from collections.abc import Iterator

import msgspec

from broker.contract.messages import Event, EventKind, Phase, Reply
from broker.contract.topics import ScopeKind
from master_service.commands.effects import Asked, RefusedError
from master_service.commands.receipt import numbered
from master_service.presence.rack import Rack
from master_service.rack.events import MOST_LINES, EventQuery
from master_service.rack.times import SpanError, moment

NAMES = ("since", "until", "kind", "incident", "correlation", "before", "limit")
LARGEST = 2**62
"""More than SQLite can count to would be an error there."""
_USAGE = f"write <name>=<value> with the names {', '.join(NAMES)}"


def query(rack: Rack, asked: Asked) -> EventQuery:
    """Return what is asked: the scope says about whom, the words which lines.

    Raises:
        RefusedError: A word is not understood, or the time asked for has no length.
        TopicError: The scope means nobody.
    """
    said: dict[str, object] = {}
    for word in asked.command.args:
        name, equals, value = word.partition("=")
        if name not in NAMES or not equals or not value:
            text = f"events {word[:64]!r} is not understood; {_USAGE}"
            raise RefusedError(text)
        said |= _read(name, value, asked.at.wall)
    found = msgspec.structs.replace(_about(rack, asked), **said)
    since, until = found.since, found.until
    if since is not None and until is not None and since > until:
        text = "events: since is later than until, so there can be no line between"
        raise RefusedError(text)
    return found


def replies(asked: Asked, events: list[Event], duration_s: float) -> Iterator[Reply]:
    """Return the answer in parts that fit the contract.

    Args:
        asked: The question.
        events: Newest first; the answer begins with the oldest.
        duration_s: How long it took, seconds.
    """
    reply = asked.reply(Phase.DONE, ok=True, duration_s=duration_s)
    return numbered(reply, "events", reversed(events))


def _about(rack: Rack, asked: Asked) -> EventQuery:
    """Return the query for a scope: a node's own lines, and those of its stack."""
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
        raise RefusedError(text) from error
    if name != "kind":
        return {name: value}
    known = set(EventKind)
    kinds = value.split(",")
    if not known.issuperset(kinds):
        text = f"events kind={value[:64]!r} is not known; known: {', '.join(EventKind)}"
        raise RefusedError(text)
    return {"kinds": frozenset(map(EventKind, kinds))}
