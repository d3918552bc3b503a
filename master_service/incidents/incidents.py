"""The incidents of a rack: which one an edge belongs to, whatever its cause; pure.

Every line of the log is written when it happens and is never changed. So a line gets
the id of its incident at once, when nobody knows yet how far it will reach; what it
turns out to be is said later by the incident's headline, which carries the same id.
"""

import enum
import itertools
from collections.abc import Callable

from broker.contract.messages import EventKind, Verdict
from master_service.incidents.silence import Silences
from master_service.incidents.voltage import Voltages
from master_service.rack.events import Outbox
from master_service.rack.node import SILENT, RackNode
from master_service.rack.outlet_state import Panel
from master_service.rack.registry import Registry
from master_service.rack.times import words

SETTLE_S = 5.0
"""Seconds after the grace in which boards that are not back are asked and judged."""


class Incidents:
    """Names the incident of each edge.

    Args:
        first: Number of the next line of history. Every incident has at least one line,
            so ids that count up from here are never given twice, restarts included.
    """

    def __init__(
        self, registry: Registry, panel: Panel, outbox: Outbox, *, first: int = 1
    ) -> None:
        numbers = itertools.count(first)

        def new_id() -> str:
            return f"i-{next(numbers)}"

        self._voltages = Voltages(registry, outbox, new_id)
        self._outage = Outage(registry, outbox, new_id)
        self._silences = Silences(registry, panel, outbox, new_id)

    @property
    def outage(self) -> str:
        """Id of the broker's outage that is not over yet; empty: there is none."""
        return self._outage.id

    def of(self, node: RackNode) -> str:
        """Returns the id of the incident a silent board belongs to; empty: none."""
        return self._outage.of(node.id) or self._silences.of(node.id)

    def verdict(
        self, node: RackNode, before: Verdict, now: float, *, asked: bool
    ) -> str:
        """Takes a new verdict; returns the id of its incident, empty: none.

        Args:
            node: Whose it is; it has it already.
            before: The one it had.
            asked: A command under way explains it, or it was told before.
        """
        mine = self._outage.verdict(node, before)
        if mine:
            return mine
        weak = self._voltages.recent(node.stack, now)
        return self._silences.verdict(node, now, asked=asked, weak=weak)

    def voltage(self, node: RackNode, now: float, *, low: bool) -> str:
        """Takes an edge of a board's under-voltage; returns the id of its incident."""
        return self._voltages.edge(node, now, low=low)

    def link_down(self, now: float) -> None:
        """Begins an outage: the broker is away."""
        self._outage.down(now)

    def link_up(self, now: float, grace_until: float) -> None:
        """Notes that the broker is back: boards may be silent until the grace ends."""
        self._outage.up(now, grace_until)

    def forget(self, node: RackNode) -> None:
        """Drops a board that is forgotten."""
        self._outage.drop(node.id)
        self._silences.drop(node.id)
        self._voltages.drop(node)

    def tick(self, now: float) -> None:
        """Writes the headlines whose time has come."""
        self._outage.tick(now)
        self._silences.tick(now)
        self._voltages.tick(now)


class Stage(enum.Enum):
    """How far an outage is."""

    NONE = enum.auto()
    AWAY = enum.auto()
    BACK = enum.auto()
    """The boards are given time to speak."""
    MISSING = enum.auto()
    """Some did not, and are waited for."""


class Outage:
    """The last outage of the broker: one incident, whatever became of the boards."""

    def __init__(
        self, registry: Registry, outbox: Outbox, new_id: Callable[[], str]
    ) -> None:
        self.id = ""
        """Of the outage that is not over; empty: there is none."""
        self._registry = registry
        self._outbox = outbox
        self._new_id = new_id
        self._stage = Stage.NONE
        self._down_at = 0.0
        self._settled_at = 0.0
        self._missing: set[str] = set()

    def down(self, now: float) -> None:
        """Begins an outage; within the grace of the last one it is the same."""
        if self._stage is Stage.MISSING:
            self._end()
        if self._stage is Stage.NONE:
            self.id = self._new_id()
        self._stage, self._down_at = Stage.AWAY, now

    def up(self, now: float, grace_until: float) -> None:
        """Says for how long the broker was away, and begins to wait for the boards."""
        if self._stage is not Stage.AWAY:
            return
        self._stage, self._settled_at = Stage.BACK, grace_until + SETTLE_S
        away = words(now - self._down_at)
        self._say(f"the broker was away for {away}; verdicts were frozen meanwhile")

    def of(self, node_id: str) -> str:
        """Returns our id if a board is not back since the outage."""
        return self.id if node_id in self._missing else ""

    def verdict(self, node: RackNode, before: Verdict) -> str:
        """Takes a new verdict; returns our id if it is a consequence of the outage."""
        if node.id in self._missing and node.verdict not in SILENT:
            self.drop(node.id)
            return self.id
        unheard = self._stage is Stage.BACK and before is Verdict.UNKNOWN
        if unheard and node.verdict in SILENT:
            self._missing.add(node.id)
        return self.of(node.id)

    def drop(self, node_id: str) -> None:
        """Waits for a board no more."""
        self._missing.discard(node_id)

    def tick(self, now: float) -> None:
        """Says which boards are not back, once; and when all are."""
        if self._stage is Stage.BACK and now >= self._settled_at:
            self._stage = Stage.MISSING
            if not self._missing:
                self._end()
                return
            nodes = (self._registry.nodes[node_id] for node_id in self._missing)
            names = self._registry.listed(nodes)
            self._say(f"not back since the broker's outage: {names}")
        elif self._stage is Stage.MISSING and not self._missing:
            self._say("all boards are back since the broker's outage")
            self._end()

    def _say(self, text: str) -> None:
        self._outbox.note(EventKind.INCIDENT, text, incident=self.id)

    def _end(self) -> None:
        self._stage, self.id = Stage.NONE, ""
        self._missing.clear()
