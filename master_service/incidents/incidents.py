"""The incidents of a rack, by cause, behind one door; pure.

Every line of the log is written when it happens and is never changed. So a line gets
the id of its incident at once, when nobody knows yet how far it will reach; what it
turns out to be is said later by the incident's headline, which carries the same id.
"""

from broker.contract.messages import Verdict
from master_service.incidents.outage import Outage
from master_service.incidents.silence import Silences
from master_service.incidents.voltage import Voltages
from master_service.rack.events import Outbox
from master_service.rack.node import Node
from master_service.rack.outlet_state import Panel
from master_service.rack.registry import Registry


class Numbers:
    """Ids that are never given twice.

    Every incident has at least one line, so counting up from the number of the next
    line stays behind the numbers that the next start begins with.

    Args:
        first: Number of the next line of history.
    """

    def __init__(self, first: int) -> None:
        self._next = first

    def new(self) -> str:
        """Return another id."""
        self._next += 1
        return f"i-{self._next - 1}"


class Incidents:
    """Says for each edge which incident it belongs to.

    Args:
        registry: The nodes.
        panel: The outlets.
        outbox: Where headlines go.
        first: Number of the next line of history.
    """

    def __init__(
        self, registry: Registry, panel: Panel, outbox: Outbox, *, first: int = 1
    ) -> None:
        numbers = Numbers(first)
        self._voltages = Voltages(registry, outbox, numbers.new)
        self._outage = Outage(registry, outbox, numbers.new)
        self._silences = Silences(registry, panel, outbox, numbers.new)

    @property
    def outage(self) -> str:
        """Id of the broker's outage that is not over yet; empty: there is none."""
        return self._outage.id

    def of(self, node: Node) -> str:
        """Return the id of the incident a silent node belongs to; empty: none."""
        return self._outage.of(node.id) or self._silences.of(node.id)

    def verdict(self, node: Node, before: Verdict, now: float, *, asked: bool) -> str:
        """Take a new verdict; return the id of its incident, empty: none.

        Args:
            node: Whose it is; it has it already.
            before: The one it had.
            now: Monotonic seconds.
            asked: A command under way explains it, or it was told before.
        """
        mine = self._outage.verdict(node, before)
        if mine:
            return mine
        weak = self._voltages.recent(node.stack, now)
        return self._silences.verdict(node, now, asked=asked, weak=weak)

    def voltage(self, node: Node, now: float, *, low: bool) -> str:
        """Take an edge of a node's under-voltage; return the id of its incident."""
        return self._voltages.edge(node, now, low=low)

    def link_down(self, now: float) -> None:
        """Take that the broker is away."""
        self._outage.down(now)

    def link_up(self, now: float, grace_until: float) -> None:
        """Take that the broker is back.

        Args:
            now: Monotonic seconds.
            grace_until: Until when the nodes are given time to speak.
        """
        self._outage.up(now, grace_until)

    def forget(self, node: Node) -> None:
        """Drop a node that is forgotten."""
        self._outage.drop(node.id)
        self._silences.drop(node.id)
        self._voltages.drop(node)

    def tick(self, now: float) -> None:
        """Say the headlines whose time has come."""
        self._outage.tick(now)
        self._silences.tick(now)
        self._voltages.tick(now)
