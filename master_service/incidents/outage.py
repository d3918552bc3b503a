"""The broker was away: one incident, whatever became of the boards meanwhile; pure."""

import enum
from collections.abc import Callable

from broker.contract.messages import EventKind, Verdict
from master_service.incidents.words import SILENT, listed
from master_service.rack.events import Outbox
from master_service.rack.node import Node
from master_service.rack.registry import Registry
from master_service.rack.times import words

SETTLE_S = 5.0
"""Seconds after the grace in which boards that are not back are asked and judged."""


class Stage(enum.Enum):
    """How far an outage is."""

    NONE = enum.auto()
    AWAY = enum.auto()
    BACK = enum.auto()
    """The boards are given time to speak."""
    MISSING = enum.auto()
    """Some did not, and are waited for."""


class Outage:
    """The last outage of the broker.

    Args:
        registry: The nodes.
        outbox: Where headlines go.
        new_id: Makes ids.
    """

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
        """Take that the broker is away; again within the grace is the same outage."""
        if self._stage is Stage.MISSING:
            self._end()
        if self._stage is Stage.NONE:
            self.id = self._new_id()
        self._stage, self._down_at = Stage.AWAY, now

    def up(self, now: float, grace_until: float) -> None:
        """Take that it is back."""
        if self._stage is not Stage.AWAY:
            return
        self._stage, self._settled_at = Stage.BACK, grace_until + SETTLE_S
        away = words(now - self._down_at)
        self._say(f"the broker was away for {away}; verdicts were frozen meanwhile")

    def of(self, node_id: str) -> str:
        """Return our id if a node is not back since the outage."""
        return self.id if node_id in self._missing else ""

    def verdict(self, node: Node, before: Verdict) -> str:
        """Take a new verdict; return our id if it is a consequence of the outage."""
        if node.id in self._missing and node.verdict not in SILENT:
            self.drop(node.id)
            return self.id
        unheard = self._stage is Stage.BACK and before is Verdict.UNKNOWN
        if unheard and node.verdict in SILENT:
            self._missing.add(node.id)
        return self.id if node.id in self._missing else ""

    def drop(self, node_id: str) -> None:
        """Wait for a node no more."""
        self._missing.discard(node_id)

    def tick(self, now: float) -> None:
        """Say who is not back, once; and when all are."""
        if self._stage is Stage.BACK and now >= self._settled_at:
            self._stage = Stage.MISSING
            if self._missing:
                nodes = self._nodes()
                text = f"not back since the broker's outage: {nodes}"
                self._say(text)
                return
            self._end()
        elif self._stage is Stage.MISSING and not self._missing:
            self._say("all boards are back since the broker's outage")
            self._end()

    def _nodes(self) -> str:
        nodes = (self._registry.nodes[node_id] for node_id in self._missing)
        return listed(self._registry, nodes)

    def _say(self, text: str) -> None:
        self._outbox.note(EventKind.INCIDENT, text, incident=self.id)

    def _end(self) -> None:
        self._stage, self.id = Stage.NONE, ""
        self._missing.clear()
