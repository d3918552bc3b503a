"""What the master says: the retained state of nodes, stacks and rack."""

import enum

import msgspec

from broker.contract.messages.codec import (
    Count,
    IpAddress,
    Payload,
    Seconds,
    ShortText,
    Text,
    UnixTime,
)
from broker.contract.messages.command import Phase


class Verdict(enum.StrEnum):
    """How a node is, in one word.

    - ``online``: its heartbeats come.
    - ``late``: two of them are missing, or its agent was told to restart.
    - ``booting``: its outlet came on, or it answers ping again and its agent does not
      yet; ``rebooting`` and ``stopping``: it was told to.
    - ``hung``: its agent is silent, but the board answers ping.
    - ``lost``: its agent is silent, and the board does not answer ping or cannot be
      pinged.
    - ``unpowered``: its outlet reads off although it should be on, or all boards of its
      stack or outlet fell silent together.
    - ``off``: on purpose, by its outlet or a shutdown.
    - ``unseen``: known from the configuration, never heard.
    - ``unknown``: the broker or the master just came back; nothing can be said yet.
    - ``other``: a word that this release does not know; it is never sent.
    """

    ONLINE = "online"
    LATE = "late"
    BOOTING = "booting"
    REBOOTING = "rebooting"
    STOPPING = "stopping"
    HUNG = "hung"
    LOST = "lost"
    UNPOWERED = "unpowered"
    OFF = "off"
    UNSEEN = "unseen"
    UNKNOWN = "unknown"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> "Verdict":  # noqa: ARG003  # as enum calls it
        return cls.OTHER


class Power(enum.StrEnum):
    """The state of an outlet, as read back."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> "Power":  # noqa: ARG003  # as enum calls it
        return cls.UNKNOWN


class Askable(enum.StrEnum):
    """Whether a board must be asked to shut down before its outlet is cut.

    - ``must-be-asked``: it runs, and its agent can shut it down.
    - ``down``: it said goodbye and then fell silent by a ping that it had answered in
      the same boot, or its outlet reads off.
    - ``cannot-be-asked``: it may be running, and cannot be asked, or nothing would show
      that it went down. Its outlet is cut only with ``force=<board>`` or ``force``.
    - ``no-board``: nothing was ever heard or found in that slot.
    """

    MUST_BE_ASKED = "must-be-asked"
    DOWN = "down"
    CANNOT_BE_ASKED = "cannot-be-asked"
    NO_BOARD = "no-board"


class Running(Payload, frozen=True, kw_only=True):
    """A command under way on a node.

    Args:
        id: Of the command.
        verb: What is being done.
        phase: accepted or running.
        by: Who asked.
        word: Which way a ``power`` switches: on, off or cycle; else empty.
    """

    id: ShortText
    verb: ShortText
    phase: Phase
    by: ShortText = ""
    word: ShortText = ""


class Lock(Payload, frozen=True, kw_only=True):
    """Who has reserved a node or a stack, and until when.

    Args:
        scope: What was reserved: ``node/<id>`` or ``stack/<n>``.
        by: Who; only the same name may interrupt it.
        until: Unix time of the master's clock, seconds.
        reason: In words; may be empty.
    """

    scope: ShortText
    by: ShortText
    until: UnixTime
    reason: Text = ""


class NodeState(Payload, frozen=True, kw_only=True):
    """The master's view of one node, on ``P/node/<id>/state``.

    Published when it changes; a newer ``last_seen`` alone is not a change.

    Args:
        id: Node id.
        name: Display name.
        verdict: In one word.
        since: Unix time of the master's clock when the verdict began, seconds.
        reason: Why, in words a person can act on.
        stack: Stack number; None where the node has no place.
        slot: Position in the stack from 1, top first; None where it has no place.
        tags: Sorted.
        power: Of the outlet that feeds it; None where none is known.
        outlet: Name of that outlet; boards with the same one lose power together.
        last_seen: Unix time of the master's clock when it was last heard, seconds.
        faults: Named faults, for example ``duplicate identity: …``; empty when none.
        running: The command under way, if any.
        lock: Who has reserved it, or its stack; None: it is free.
        askable: Whether it must be asked to shut down before its outlet is cut.
        askable_why: Why it counts as down, or cannot be asked.
    """

    id: ShortText
    name: ShortText
    verdict: Verdict
    since: UnixTime = 0.0
    reason: Text = ""
    stack: Count | None = None
    slot: Count | None = None
    tags: tuple[ShortText, ...] = ()
    power: Power | None = None
    outlet: ShortText = ""
    last_seen: UnixTime | None = None
    faults: tuple[Text, ...] = ()
    running: Running | None = None
    lock: Lock | None = None
    askable: Askable = Askable.MUST_BE_ASKED
    askable_why: Text = ""


class StackState(Payload, frozen=True, kw_only=True):
    """The master's view of one stack, on ``P/stack/<n>/state``.

    Args:
        stack: Number.
        name: What people call it.
        x: Column in the rack, from 0.
        y: Row in the rack, from 0, top first.
        slots: How many boards it holds.
        wanted: What its outlet should be, from disk; None where it has no outlet.
        power: What the outlet reads back.
        worst: The worst verdict of its nodes; None where it has none.
        totals: Nodes per verdict.
        lock: Who has reserved the stack as a whole; None: it is free.
        fault: Why its outlet is not as wanted or does not answer; empty otherwise.
        found: Slots in which an install run found a board whose agent was never heard.
    """

    stack: Count
    name: ShortText
    x: Count
    y: Count
    slots: Count
    wanted: Power | None = None
    power: Power | None = None
    worst: Verdict | None = None
    totals: dict[Verdict, Count] = msgspec.field(default_factory=dict)
    lock: Lock | None = None
    fault: Text = ""
    found: tuple[Count, ...] = ()


class RackState(Payload, frozen=True, kw_only=True):
    """The whole rack in one message, on ``P/rack/state``.

    Args:
        rack: Name.
        stacks: Numbers of all stacks.
        nodes: How many nodes are known.
        totals: Nodes per verdict.
        versions: Program to version: ``pirack``, ``python``.
        frozen: Why verdicts are frozen, in words; empty in normal operation.
        rejected: Messages from outside that were refused since start, by kind.
        errors: Errors of the master itself since start, by kind: its log has more.
    """

    rack: ShortText
    stacks: tuple[Count, ...] = ()
    nodes: Count = 0
    totals: dict[Verdict, Count] = msgspec.field(default_factory=dict)
    versions: dict[ShortText, ShortText] = msgspec.field(default_factory=dict)
    frozen: Text = ""
    rejected: dict[ShortText, Count] = msgspec.field(default_factory=dict)
    errors: dict[ShortText, Count] = msgspec.field(default_factory=dict)


class MasterDetails(Payload, frozen=True, kw_only=True):
    """Who the master is, retained on ``P/master/details``; nodes receive it too.

    Args:
        session: The connection that says this.
        hostname: Of the master's Pi.
        version: Version of PiRack.
        started: Unix time the service started, seconds.
        node: Id of the node that is the master's own Pi; empty if not known.
        addresses: Its IP addresses.
        interval_s: Heartbeat interval the rack expects, seconds.
    """

    session: ShortText
    hostname: ShortText = ""
    version: ShortText = ""
    started: UnixTime = 0.0
    node: ShortText = ""
    addresses: tuple[IpAddress, ...] = ()
    interval_s: Seconds = 10.0
