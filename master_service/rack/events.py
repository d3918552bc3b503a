"""What the pure parts leave for the service: history to write, states to publish."""

import msgspec

from broker.contract.messages import Event, EventKind


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as the pure parts say it; the journal numbers and dates it.

    Args:
        kind: What it is about.
        text: A sentence a person reads.
        node: Node id, where it concerns one.
        stack: Stack number, where it concerns one.
        verb: Of the command, where there is one.
        by: Who caused it; empty for the system itself.
        correlation: Id of the command that caused it.
        incident: Id of the incident it belongs to.
    """

    kind: EventKind
    text: str
    node: str = ""
    stack: int | None = None
    verb: str = ""
    by: str = ""
    correlation: str = ""
    incident: str = ""

    def event(self, *, seq: int, ts: float) -> Event:
        """Return the event as it is published.

        Args:
            seq: Its number in the life of the rack.
            ts: Unix time, seconds.
        """
        return Event(seq=seq, ts=ts, **msgspec.structs.asdict(self))


class Outbox:
    """Sets and lists that the pure parts fill and the service empties."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        """Ids of nodes whose state may have to be published."""
        self.moved: set[str] = set()
        """Ids of nodes that running commands want to look at again."""
        self.learnt: set[str] = set()
        """Ids of nodes about which something belongs on disk."""
        self.drafts: list[Draft] = []
        """History that has no number yet."""

    @property
    def waiting(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.moved or self.changed or self.drafts or self.learnt)

    def note(
        self,
        kind: EventKind,
        text: str,
        node: str = "",
        *,
        stack: int | None = None,
        incident: str = "",
    ) -> None:
        """Add a line of history that nobody in particular caused."""
        self.drafts.append(
            Draft(kind=kind, text=text, node=node, stack=stack, incident=incident)
        )
