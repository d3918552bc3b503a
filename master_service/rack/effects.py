"""What the pure parts want done; ``EffectRunner`` does it, in this order."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from broker.contract.messages import Order, Reply
from broker.contract.topics import Scope
from master_service.rack.records import Record


class Route(msgspec.Struct, frozen=True):
    """Where the replies to a command go.

    Args:
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


class Persist(msgspec.Struct, frozen=True):
    """Queues a row for the disk."""

    row: Record


class Commit(msgspec.Struct, frozen=True):
    """Lets what follows wait until everything queued is on disk.

    Args:
        command: Id of the command whose result these rows are: if they cannot be
            written, its receipt says so instead of "done". Empty: none.
    """

    command: str = ""


class SwitchOutlet(msgspec.Struct, frozen=True):
    """Brings an outlet to a level, and reads it back.

    Args:
        look: Read it first, and leave it if it is there already.
    """

    outlet: str
    on: bool
    look: bool = False


class OutletSwitched(msgspec.Struct, frozen=True):
    """Result of a ``SwitchOutlet``; the outlet was read back by now.

    Args:
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


class SendOrder(msgspec.Struct, frozen=True):
    """Sends an order to a node, by its id."""

    node: str
    order: Order


class SendReply(msgspec.Struct, frozen=True):
    """Publishes one part of a receipt."""

    reply: Reply
    route: Route


class ClearTopics(msgspec.Struct, frozen=True):
    """Removes retained messages from the broker."""

    topics: tuple[str, ...]


class PublishAll(msgspec.Struct, frozen=True):
    """Publishes every retained state again."""


class PingBoard(msgspec.Struct, frozen=True):
    """Pings a node's board now."""

    node: str


class BeginTask(msgspec.Struct, frozen=True):
    """Begins something that takes time, and does not wait for it.

    Args:
        name: What it is, for the log.
        work: Makes the coroutine; called with why it must not be done, which is empty
            where it may.
        droppable: It may be left out where too much waits for the disk.
    """

    name: str
    work: Callable[[str], Coroutine[Any, Any, None]]
    droppable: bool = False


Effect = (
    Persist
    | Commit
    | SwitchOutlet
    | SendOrder
    | SendReply
    | ClearTopics
    | PublishAll
    | PingBoard
    | BeginTask
)
Effects = list[Effect]
