"""One line of the rack's history."""

import enum

from broker.contract.messages.codec import Count, Payload, ShortText, Text, UnixTime


class EventKind(enum.StrEnum):
    """What an event is about."""

    VERDICT = "verdict"
    COMMAND = "command"
    POWER = "power"
    FAULT = "fault"
    REGISTRY = "registry"
    SERVICE = "service"
    INSTALL = "install"
    INCIDENT = "incident"
    """The headline of lines that belong together: what it is, and where to look."""
    HEAL = "heal"
    """What self-healing does, would do, or leaves alone."""
    OTHER = "other"
    """A kind that this release does not know; it is never sent."""

    @classmethod
    def _missing_(cls, value: object) -> "EventKind":  # noqa: ARG003  # as enum calls it
        return cls.OTHER


class Event(Payload, frozen=True, kw_only=True):
    """One line of the rack's history, on ``P/event``.

    Args:
        seq: Counts up over the life of the rack.
        ts: Unix time of the master's clock, seconds.
        kind: What it is about.
        text: A sentence a person reads.
        node: Node id, where it concerns one.
        stack: Stack number, where it concerns one.
        verb: Of the command, where there is one.
        by: Who caused it; empty for the system itself.
        correlation: Id of the command that caused it.
        incident: Id of the incident it belongs to; a reader may show all lines of one
            as one: its newest ``incident`` line, else its newest line.
    """

    seq: Count
    ts: UnixTime
    kind: EventKind
    text: Text
    node: ShortText = ""
    stack: Count | None = None
    verb: ShortText = ""
    by: ShortText = ""
    correlation: ShortText = ""
    incident: ShortText = ""
