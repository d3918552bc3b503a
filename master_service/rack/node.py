"""What the master remembers of one node, in one mutable record."""

import enum
import math

import msgspec

from broker.contract.messages import Details, NodeState, Running, Status, Verdict
from broker.contract.verbs import Verb

NEVER = math.inf
"""A moment that does not come."""


class Probe(enum.StrEnum):
    """What the board itself answered, apart from its agent."""

    UNASKED = "unasked"
    ANSWERED = "answered"
    SILENT = "silent"
    UNAVAILABLE = "unavailable"


class Pending(msgspec.Struct, frozen=True):
    """A reboot, a shutdown or a restart of the agent that is under way.

    Args:
        verb: Which of them.
        by: Who asked; empty if not said.
        deadline: Monotonic second after which it has failed.
    """

    verb: Verb
    by: str
    deadline: float


class PingMemory:
    """What is remembered of the pings of one board; the watch changes it."""

    __slots__ = (
        "answered_at",
        "asked_boot",
        "asked_times",
        "boot",
        "left_for",
        "silent_since",
    )

    def __init__(self) -> None:
        self.boot = ""
        """The boot in which it answered one while its agent was connected."""
        self.asked_boot = ""
        """The boot in which it was last pinged, with or without an answer."""
        self.asked_times = 0
        """How often it was pinged in that boot."""
        self.answered_at: float | None = None
        """When it last answered, monotonic seconds."""
        self.silent_since: float | None = None
        """The first ping in a row that it did not answer; None: it answered."""
        self.left_for = ("", "")
        """Boot id and verb of the last order to reboot or to restart the agent: the
        goodbye that follows is not that of a board that goes down for good."""


class Node:
    """One node, which only the registry makes. Slots: there may be thousands.

    Who and where it is, the registry changes; what it says, the watch; its verdict,
    ``Judging``; ``running``, the command that it names; ``published``, the publisher.

    Args:
        node_id: Its id.
        name: Display name.
    """

    __slots__ = (
        "boot_s",
        "contradicted_round",
        "deadline",
        "declared_dead",
        "details",
        "details_round",
        "dropped_at",
        "edited",
        "faults",
        "goodbye",
        "halted_by",
        "heard_at",
        "heartbeat_topic",
        "id",
        "interval_s",
        "known",
        "name",
        "no_vitals",
        "older_session",
        "pending",
        "pings",
        "probe",
        "probe_at",
        "probe_due",
        "probe_note",
        "published",
        "reason",
        "running",
        "seated",
        "session",
        "since",
        "slot",
        "stack",
        "status",
        "status_at",
        "status_round",
        "tags",
        "told",
        "told_since",
        "under_voltage",
        "verdict",
        "verdict_at",
        "wants_probe",
    )

    def __init__(self, node_id: str, name: str) -> None:
        self.id = node_id
        self.name = name
        self.stack: int | None = None
        self.slot: int | None = None
        self.tags: tuple[str, ...] = ()
        self.edited = False
        self.seated = False
        self.heartbeat_topic = ""
        self.known = False
        self.details: Details | None = None
        self.interval_s = 0.0
        self.session = ""
        self.older_session = ""
        self.heard_at: float | None = None
        self.status: Status | None = None
        self.status_at = 0.0
        self.declared_dead = False
        self.contradicted_round = 0
        """The round in which its connection denied that it is dead; 0: in none."""
        self.no_vitals = False
        """Its last heartbeat told nothing of the board but its uptime."""
        self.goodbye = ""
        self.status_round = 0
        self.details_round = 0
        self.dropped_at: float | None = None
        self.probe = Probe.UNASKED
        self.probe_at = 0.0
        self.probe_due = 0.0
        self.probe_note = ""
        self.wants_probe = False
        self.pings = PingMemory()
        self.pending: Pending | None = None
        self.halted_by = ""
        self.boot_s: float | None = None
        self.verdict = Verdict.UNSEEN
        self.told = Verdict.UNSEEN
        """The verdict of its last line in the history."""
        self.told_since = 0.0
        self.reason = "never heard"
        self.since = 0.0
        """When its verdict began, Unix seconds; also from before a restart."""
        self.verdict_at = 0.0
        """When it was found, monotonic seconds: no setting of the clock moves it."""
        self.deadline = NEVER
        self.under_voltage = False
        self.faults: dict[str, str] = {}
        self.running: Running | None = None
        self.published: NodeState | None = None

    @property
    def boot_id(self) -> str:
        """The last boot id it told; empty if none."""
        return self.details.boot_id if self.details is not None else ""

    @property
    def answers_ping(self) -> bool | None:
        """Whether it answered a ping in its present boot; None: it was not asked."""
        if self.boot_id and self.pings.boot == self.boot_id:
            return True
        return False if self.pings.asked_boot == self.boot_id else None

    @property
    def address(self) -> str:
        """The IPv4 address that reaches the broker best; empty if none is known."""
        found = self.details.addresses if self.details is not None else ()
        return next((one for one in found if ":" not in one), "")

    @property
    def abilities(self) -> tuple[str, ...]:
        """The verbs it can perform, as it says; empty if it said nothing yet."""
        known = self.details.abilities if self.details is not None else ()
        return tuple(ability.verb for ability in known)

    def __repr__(self) -> str:
        """Show id, name and verdict in a debugger or a failed test."""
        return f"Node({self.id!r}, name={self.name!r}, verdict={self.verdict})"
