"""What the master knows of one board, in one mutable record."""

import enum
import math

import msgspec

from broker.contract.messages import Details, NodeState, Running, Status, Verdict
from broker.contract.verbs import Verb

NEVER = math.inf
"""A moment that does not come."""
SILENT = frozenset({Verdict.LATE, Verdict.HUNG, Verdict.LOST, Verdict.UNPOWERED})
"""Verdicts of a board that should speak and does not."""


PINGS_A_BOOT = 3
"""Pings of a board that is online, until it is known whether it answers any."""
ANOTHER_BOOT_S = 5.0
"""A board that left, was silent for so long and answers again has booted again."""


class PingState(enum.StrEnum):
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
    """What is remembered of the pings of one board; nothing else writes its fields."""

    __slots__ = (
        "answered_at",
        "asked_boot",
        "asked_times",
        "boot",
        "left_for",
        "silent_since",
    )

    def __init__(self, boot: str = "") -> None:
        self.boot = boot
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

    def learn(
        self, probe: PingState, boot_id: str, now: float, *, connected: bool
    ) -> bool:
        """Notes a ping; returns whether ``boot`` changed.

        Silence means something only in a boot that has answered pings. What answers
        after its agent left may be the next boot, of which nothing is known yet.

        Args:
            probe: What came of it.
            boot_id: Of the board, as it said last.
            now: Monotonic seconds.
            connected: Its agent has not left.
        """
        if self.asked_boot != boot_id:
            self.asked_boot, self.asked_times = boot_id, 0
        self.asked_times += 1
        if probe is PingState.SILENT and self.silent_since is None:
            self.silent_since = now
        if probe is not PingState.ANSWERED:
            return False
        silent_since, self.silent_since = self.silent_since, None
        self.answered_at = now
        before = self.boot
        if connected:
            self.boot = boot_id
        elif silent_since is not None and now - silent_since >= ANOTHER_BOOT_S:
            self.boot = ""
        return self.boot != before

    def wanted(self, boot_id: str) -> bool:
        """Returns whether it is still to be learnt if this boot answers pings.

        It must be known before the board goes down: its silence is evidence only then.
        """
        if not boot_id or self.boot == boot_id:
            return False
        return self.asked_boot != boot_id or self.asked_times < PINGS_A_BOOT


class RackNode:
    """One board, made by the registry only. Slots: there may be thousands.

    The registry changes who and where it is; ``NodeTracker``, what it says;
    ``Verdicts``, its verdict; a command, ``running``; the publisher, ``published``.
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
        self.probe = PingState.UNASKED
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
        """The last boot id it said; empty if none."""
        return self.details.boot_id if self.details is not None else ""

    @property
    def answers_ping(self) -> bool | None:
        """Whether it answered a ping in this boot; None: it was not asked."""
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
        """Shows id, name and verdict in a debugger or a failed test."""
        return f"RackNode({self.id!r}, name={self.name!r}, verdict={self.verdict})"
