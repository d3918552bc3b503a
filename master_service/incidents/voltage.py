"""Under-voltage: one board's cable, or what the boards of a stack share; pure."""

import enum
from collections.abc import Callable

from broker.contract.messages import EventKind
from master_service.rack.events import Outbox
from master_service.rack.node import RackNode
from master_service.rack.registry import Registry

WINDOW_S = 60.0
"""Boards of a stack that complain within this time complain of the same thing."""
SETTLE_S = 15.0
"""Seconds a second board is given to complain: more than a heartbeat interval."""
MEMORY_S = 600.0
"""A supply that is weak again within this time is the same incident: it flaps."""


class Said(enum.IntEnum):
    """What was said of an incident."""

    NOTHING = 0
    OWN = 1
    SHARED = 2


class Weakness:
    """One incident."""

    def __init__(self, incident: str) -> None:
        self.id = incident
        self.last_at = 0.0
        self.due = float("inf")
        self.said = Said.NOTHING
        self.low: set[str] = set()
        self.seen: dict[str, float] = {}
        """Node to when it last began or ceased to complain."""

    def foreign(self, node_id: str, now: float) -> bool:
        """Returns whether a board that never complained here is no part of it."""
        over = not self.low and now - self.last_at > WINDOW_S
        return over and node_id not in self.seen


class Voltages:
    """The incidents of stacks whose boards complain, and of such boards without one."""

    def __init__(
        self, registry: Registry, outbox: Outbox, new_id: Callable[[], str]
    ) -> None:
        self._registry = registry
        self._outbox = outbox
        self._new_id = new_id
        self._open: dict[int | str, Weakness] = {}

    def edge(self, node: RackNode, now: float, *, low: bool) -> str:
        """Takes an edge; returns the id of its incident."""
        place = _place(node)
        mine = self._open.get(place)
        if mine is None or mine.foreign(node.id, now):
            mine = self._open[place] = Weakness(self._new_id())
        mine.last_at = mine.seen[node.id] = now
        for each in self._open.values():  # it may have stood elsewhere when it began
            each.low.discard(node.id)
        if low:
            mine.low.add(node.id)
            mine.due = min(mine.due, now + SETTLE_S)
        return mine.id

    def recent(self, stack: int | None, now: float) -> bool:
        """Returns whether boards of a stack complained just now, or still do."""
        mine = self._open.get(stack) if stack is not None else None
        return mine is not None and (bool(mine.low) or now - mine.last_at <= WINDOW_S)

    def drop(self, node: RackNode) -> None:
        """Takes a board out that is forgotten."""
        for each in self._open.values():
            each.low.discard(node.id)
            each.seen.pop(node.id, None)

    def tick(self, now: float) -> None:
        """Writes the headlines of what has become clear; drops what is long over."""
        for place, mine in list(self._open.items()):
            if now >= mine.due:
                mine.due = float("inf")
                self._judge(place, mine, now)
            elif not mine.low and now - mine.last_at > MEMORY_S:
                del self._open[place]

    def _judge(self, place: int | str, mine: Weakness, now: float) -> None:
        recent = [
            self._registry.nodes[node_id]
            for node_id, at in mine.seen.items()
            if node_id in mine.low or now - at <= WINDOW_S
        ]
        if not recent:
            return
        shared = len(recent) > 1
        said = Said.SHARED if shared else Said.OWN
        if said <= mine.said:
            return
        mine.said = said
        stack = place if isinstance(place, int) else None
        names = self._registry.listed(recent)
        text = (
            f"under-voltage of stack {stack}: {len(recent)} boards complain ({names}); "
            "check what they share: PSU, relay contact, cable of the stack"
            if shared
            else f"under-voltage of {names} alone: check its own cable and plug"
        )
        self._outbox.note(EventKind.INCIDENT, text, stack=stack, incident=mine.id)


def _place(node: RackNode) -> int | str:
    """Returns where a weakness belongs: its stack, or the board itself."""
    return node.id if node.stack is None else node.stack
