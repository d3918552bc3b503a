"""A command that was let in, what is replied to it, and its line of history; pure."""

from collections.abc import Iterable, Iterator

import msgspec

from broker.common.errors import PiRackError
from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Command,
    EventKind,
    Payload,
    Phase,
    Reply,
    TargetRow,
)
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import PowerAction, Verb
from master_service.rack.effects import Effects, Route, SendReply
from master_service.rack.events import Draft
from master_service.rack.registry import Registry
from master_service.rack.times import Moment

ROOM_BYTES = MAX_PAYLOAD_BYTES - 256
"""For numbers that are only known when the parts are counted."""
_SHORTEST = 64
_POWER_WORDS = frozenset(PowerAction)
_encoder = msgspec.json.Encoder()


class CommandRefusedError(PiRackError):
    """A command was understood and is not carried out; the text says why.

    Args:
        text: Why, and what would be right.
        rows: The targets it would have had, where they matter.
    """

    def __init__(self, text: str, rows: Iterable[TargetRow] = ()) -> None:
        super().__init__(text)
        self.rows = tuple(rows)


class CommandMessage(msgspec.Struct, frozen=True):
    """A command as it arrived over the broker.

    Args:
        topic: As published.
        route: Where replies go.
        payload: Raw.
        retained: It came out of the broker's store, or was to be stored.
    """

    topic: str
    route: Route
    payload: bytes = b""
    retained: bool = False


class OwnCommand(msgspec.Struct, frozen=True):
    """A command of the master's own, as self-healing and install runs submit it.

    Args:
        scope: Whom it is for.
        verb: What is asked.
        attempt: Send the order also to a node that is silent while its connection seems
            open.
    """

    scope: Scope
    verb: str
    command: Command
    attempt: bool = False


class AskedCommand(msgspec.Struct, frozen=True):
    """A command that was let in.

    Args:
        id: Its id, given by us if the asker gave none.
        route: Where replies go.
        at: When it was received.
        attempt: Send the order also to a node that is silent while its connection seems
            open.
    """

    id: str
    command: Command
    route: Route
    at: Moment
    attempt: bool = False

    @property
    def scope(self) -> Scope:
        """Whom it is for."""
        return self.route.scope

    @property
    def verb(self) -> str:
        """What is asked."""
        return self.route.verb

    @property
    def power_word(self) -> str:
        """Which way a power command switches; empty for anything else."""
        words = self.command.args[:1] if self.verb == Verb.POWER else ()
        return "".join(word for word in words if word in _POWER_WORDS)

    def reply(
        self,
        phase: Phase,
        *,
        ok: bool | None = None,
        error: str = "",
        targets: tuple[TargetRow, ...] = (),
        verified: bool = False,
        duration_s: float = 0.0,
    ) -> Reply:
        """Returns a reply to it; see ``Reply`` for what can be said."""
        return Reply(
            id=self.id,
            verb=self.verb,
            scope=str(self.scope),
            phase=phase,
            ok=ok,
            error=error,
            targets=targets,
            by=self.command.by,
            verified=verified,
            duration_s=duration_s,
        )

    def replies(self, reply: Reply, rows: Iterable[TargetRow]) -> Effects:
        """Returns a reply with its rows, in as many parts as it takes."""
        parts = receipt_parts(reply, list(rows))
        return [SendReply(part, self.route) for part in parts]

    def history_line(self, registry: Registry, text: str) -> Draft:
        """Returns the line of history about it; a node or stack is found under it.

        Args:
            text: What became of it.
        """
        scope = self.scope
        node = registry.find(scope.name) if scope.kind is ScopeKind.NODE else None
        what = " ".join(filter(None, (self.verb, self.power_word)))
        by = f" by {self.command.by}" if self.command.by else ""
        return Draft(
            kind=EventKind.COMMAND,
            text=f"{what} {scope}{by}: {text}",
            node=node.id if node is not None else "",
            stack=int(scope.name) if scope.kind is ScopeKind.STACK else None,
            verb=self.verb,
            by=self.command.by,
            correlation=self.id,
        )


def receipt_parts(reply: Reply, rows: list[TargetRow]) -> Iterator[Reply]:
    """Shares out the rows of a receipt over as many replies as it takes.

    Args:
        reply: Everything but the rows.
        rows: All of them, in order.
    """
    room = ROOM_BYTES - _head(reply, "targets")
    return numbered_parts(reply, "targets", (_fitted(row, room) for row in rows))


def numbered_parts(
    reply: Reply, field: str, values: Iterable[Payload]
) -> Iterator[Reply]:
    """Shares out the values of one field over as many replies as it takes.

    Args:
        reply: Everything but the values.
        field: Where they go.
        values: All of them, in order; each fits alone.
    """
    head = used = _head(reply, field)
    shares: list[list[Payload]] = [[]]
    for value in values:
        size = _size(value)
        if used + size > ROOM_BYTES and shares[-1]:
            shares.append([])
            used = head
        shares[-1].append(value)
        used += size
    for number, share in enumerate(shares, start=1):
        mine = {field: tuple(share), "part": number, "parts": len(shares)}
        yield msgspec.structs.replace(reply, **mine)


def _head(reply: Reply, field: str) -> int:
    return len(_encoder.encode(reply)) + len(f',"{field}":[]')


def _size(value: Payload) -> int:
    """Returns the bytes of a value and the comma after it."""
    return len(_encoder.encode(value)) + 1


def _fitted(row: TargetRow, room: int) -> TargetRow:
    """Returns a row that fits alone, its output cut from the front."""
    keep = max(len(row.stdout), len(row.stderr))
    while _size(row) > room and keep > _SHORTEST:
        keep //= 2
        row = msgspec.structs.replace(
            row, stdout=row.stdout[-keep:], stderr=row.stderr[-keep:], truncated=True
        )
    return row
