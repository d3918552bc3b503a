"""Boards that fall silent: one alone, several of a stack, or a stack as one; pure."""

import enum
from collections.abc import Callable

from broker.contract.messages import EventKind, Power, Verdict
from master_service.rack.events import Outbox
from master_service.rack.node import SILENT, RackNode
from master_service.rack.outlet_state import Panel
from master_service.rack.registry import Registry
from master_service.rack.times import words

JOIN_INTERVALS = 2.0
JOIN_S = 5.0
"""Boards of one stack that fall silent within so many heartbeat intervals, and so many
seconds, belong together: a cut is noticed at the next beat that does not come."""
SETTLE_S = 1.0
"""Seconds without another verdict after which it is said what it is."""
_WELL = frozenset({Verdict.ONLINE, Verdict.OFF, Verdict.UNSEEN})
"""Verdicts that end it: it speaks, or is not expected to."""
_TELLS = frozenset({Verdict.HUNG, Verdict.LOST, Verdict.UNPOWERED})


class Cause(enum.IntEnum):
    """What is thought of an incident, from nothing to certain."""

    OPEN = 0
    """One board, or not known yet: its own lines say it all."""
    SEVERAL = 1
    SUPPLY = 2


class Silence:
    """One incident.

    Args:
        stack: Where; None: a board without a place.
        now: Monotonic second of its first line.
    """

    def __init__(self, incident: str, stack: int | None, now: float) -> None:
        self.id = incident
        self.stack = stack
        self.opened = now
        self.due = now + SETTLE_S
        self.weak = False
        self.cause = Cause.OPEN
        self.members: set[str] = set()


class Silences:
    """The incidents of boards that fell silent unasked."""

    def __init__(
        self,
        registry: Registry,
        panel: Panel,
        outbox: Outbox,
        new_id: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._panel = panel
        self._outbox = outbox
        self._new_id = new_id
        self._by_node: dict[str, Silence] = {}
        self._open: dict[str, Silence] = {}

    def of(self, node_id: str) -> str:
        """Returns the id of the incident a board is in; empty: none."""
        mine = self._by_node.get(node_id)
        return "" if mine is None else mine.id

    def verdict(self, node: RackNode, now: float, *, asked: bool, weak: bool) -> str:
        """Takes a new verdict; returns the id of its incident, empty: none.

        Args:
            asked: A command under way explains it.
            weak: The stack complained of under-voltage a moment ago.
        """
        mine = self._by_node.get(node.id)
        if mine is None and node.verdict in SILENT and not asked:
            mine = self._by_node[node.id] = self._join(node, now)
            mine.members.add(node.id)
            mine.weak |= weak
        if mine is None:
            return ""
        mine.due = now + SETTLE_S
        if node.verdict in _WELL:
            self.drop(node.id)
        return mine.id

    def drop(self, node_id: str) -> None:
        """Takes a board out: it speaks again, or is not expected to."""
        mine = self._by_node.pop(node_id, None)
        if mine is not None:
            mine.members.discard(node_id)

    def tick(self, now: float) -> None:
        """Writes the headlines of what has become clear, and of what is over."""
        for mine in list(self._open.values()):
            if now < mine.due:
                continue
            mine.due = float("inf")
            if not mine.members:
                self._close(mine, now)
            elif (cause := self._cause(mine)) > mine.cause:
                mine.cause = cause
                self._say(mine, self._headline(mine))

    def _join(self, node: RackNode, now: float) -> Silence:
        """Returns the incident of its stack if that has just begun, else another."""
        window_s = JOIN_INTERVALS * (node.interval_s or 10.0) + JOIN_S
        for mine in self._open.values():
            here = mine.stack is not None and mine.stack == node.stack
            if here and now - mine.opened <= window_s:
                return mine
        mine = Silence(self._new_id(), node.stack, now)
        self._open[mine.id] = mine
        return mine

    def _cause(self, mine: Silence) -> Cause:
        verdicts = [node.verdict for node in self._nodes(mine)]
        if Verdict.UNPOWERED in verdicts and mine.stack is not None:
            return Cause.SUPPLY
        told = all(verdict in _TELLS for verdict in verdicts)
        return Cause.SEVERAL if told and len(verdicts) > 1 else Cause.OPEN

    def _headline(self, mine: Silence) -> str:
        nodes = self._nodes(mine)
        whole = len(self._registry.in_stack(mine.stack or 0))
        names = self._registry.listed(nodes)
        if len(nodes) == whole:
            names = f"all {whole} boards"
        if mine.cause is Cause.SEVERAL:
            return (
                f"{len(nodes)} of {whole} boards of stack {mine.stack} fell silent "
                f"together: {names}; the others live, so look at what these share: "
                "switch, cable, plug"
            )
        fed = self._panel.of_node(nodes[0])
        if fed is not None and fed.seen is Power.OFF:
            return (
                f"stack {mine.stack} has no power: outlet {fed.row.name} reads off "
                f"although it should be on; check the relay; silent: {names}"
            )
        outlet = f" while outlet {fed.row.name} reads {fed.seen}" if fed else ""
        weak = "; under-voltage came before" if mine.weak else ""
        return (
            f"stack {mine.stack}: {names} fell silent together{outlet}; no power or no "
            "network: check its supply (PSU, fuse, relay contact, cable) and its "
            f"switch{weak}"
        )

    def _close(self, mine: Silence, now: float) -> None:
        del self._open[mine.id]
        if mine.cause is not Cause.OPEN:
            lasted = words(now - mine.opened)
            self._say(mine, f"stack {mine.stack} is well again after {lasted}")

    def _nodes(self, mine: Silence) -> list[RackNode]:
        return [self._registry.nodes[node_id] for node_id in sorted(mine.members)]

    def _say(self, mine: Silence, text: str) -> None:
        self._outbox.note(EventKind.INCIDENT, text, stack=mine.stack, incident=mine.id)
