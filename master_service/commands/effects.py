"""What the commands want done; ``EffectRunner`` does it, in order."""

from collections.abc import Iterable

import msgspec

from broker.common.errors import PiRackError
from broker.contract.messages import Command, Order, Phase, Reply, TargetRow
from broker.contract.topics import Scope
from master_service.commands.install_words import InstallOrder
from master_service.rack.events import EventQuery
from master_service.rack.records import Record
from master_service.rack.times import Moment


class RefusedError(PiRackError):
    """A command was understood and is not carried out; the text says why.

    Args:
        text: Why, and what would be right.
        rows: The targets it would have had, where they matter.
    """

    def __init__(self, text: str, rows: Iterable[TargetRow] = ()) -> None:
        super().__init__(text)
        self.rows = tuple(rows)


class Route(msgspec.Struct, frozen=True):
    """Where answers go.

    Args:
        scope: Of the command.
        verb: Of the command.
        response_topic: MQTT 5 inbox of the asker, which is answered as well; empty:
            none, or none that is honoured.
        correlation: MQTT 5 correlation data of the asker.
        topic: Where a command is refused whose topic has no legal scope or verb; empty:
            on the reply topic of scope and verb.
    """

    scope: Scope
    verb: str
    response_topic: str = ""
    correlation: bytes = b""
    topic: str = ""


class Request(msgspec.Struct, frozen=True):
    """A command as it arrived, and understood as far as its payload allows.

    Args:
        topic: As published.
        route: Where answers go.
        payload: Raw.
        retained: It came out of the broker's store, or was to be stored.
        attempt: Tell also a node that is silent while its connection seems open.
        outside: It came over the broker: whoever it says it is by, it is not us.
    """

    topic: str
    route: Route
    payload: bytes = b""
    retained: bool = False
    attempt: bool = False
    outside: bool = False


class Asked(msgspec.Struct, frozen=True):
    """A command that was let in.

    Args:
        id: Its id, given by us if the asker gave none.
        command: What it says.
        route: Where answers go.
        at: When it was received.
        attempt: Tell also a node that is silent while its connection seems open.
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
        """Return a reply to it; see ``Reply`` for what can be said."""
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


class Answer(msgspec.Struct, frozen=True):
    """Publish one part of a receipt."""

    reply: Reply
    route: Route


class SendOrder(msgspec.Struct, frozen=True):
    """Send an order to a node.

    Args:
        node: Its id.
        order: The order.
    """

    node: str
    order: Order


class AskBoard(msgspec.Struct, frozen=True):
    """Probe a node's board now."""

    node: str


class ClearTopics(msgspec.Struct, frozen=True):
    """Remove retained messages from the broker."""

    topics: tuple[str, ...]


class Persist(msgspec.Struct, frozen=True):
    """Queue a row for the disk."""

    row: Record


class ReadEvents(msgspec.Struct, frozen=True):
    """Read lines of history and answer with them.

    Args:
        asked: The question.
        query: What is meant.
    """

    asked: Asked
    query: EventQuery


class DoInstall(msgspec.Struct, frozen=True):
    """Carry an install command out and answer it.

    Args:
        asked: The command.
        order: What it says.
    """

    asked: Asked
    order: InstallOrder


class Commit(msgspec.Struct, frozen=True):
    """Lets what follows wait until everything queued is on disk.

    Args:
        command: Id of the command whose result these rows are: if they cannot be
            written, its receipt says so instead of "done". Empty: none.
    """

    command: str = ""


class Switch(msgspec.Struct, frozen=True):
    """Bring an outlet to a level, and read it back.

    Args:
        outlet: Its name.
        on: The level.
        look: Read it first, and leave it if it is there already.
    """

    outlet: str
    on: bool
    look: bool = False


class Switched(msgspec.Struct, frozen=True):
    """What came of a ``Switch``; the outlet was read back by now.

    Args:
        outlet: Its name.
        on: The level it was to have.
        error: Why it has not; empty: it has, or it does not tell.
        begun: Whether it was told at all.
        already: It was there already when it was read first.
    """

    outlet: str
    on: bool
    error: str = ""
    begun: bool = True
    already: bool = False


class PublishAll(msgspec.Struct, frozen=True):
    """Publish every retained state again."""


Effect = (
    Answer
    | SendOrder
    | AskBoard
    | ClearTopics
    | Persist
    | Commit
    | Switch
    | PublishAll
    | ReadEvents
    | DoInstall
)
Effects = list[Effect]
