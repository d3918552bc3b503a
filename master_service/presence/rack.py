"""The rack as the master knows it: the pure parts, put together."""

from broker.common.errors import TopicError
from broker.contract.messages import EventKind
from broker.contract.topics import Topics
from master_service.incidents.incidents import Incidents
from master_service.presence.node_tracker import NodeTracker
from master_service.presence.verdicts import Verdicts
from master_service.rack import layout
from master_service.rack.events import Outbox
from master_service.rack.layout import FoundBoard, Placement, Stack
from master_service.rack.locks import Locks
from master_service.rack.outlet_state import Panel, outlet_rows
from master_service.rack.records import Saved
from master_service.rack.registry import Registry
from master_service.rack.settings import Settings
from master_service.rack.times import words


class Rack:
    """Everything known about the rack."""

    def __init__(self, settings: Settings, saved: Saved) -> None:
        self.settings = settings
        self.topics = Topics(settings.rack.name)
        self.clock_synced = True
        """Whether the wall clock is known to be right; the master keeps it true."""
        self.stacks = layout.stacks(settings)
        self.outbox = Outbox()
        self.panel = Panel(outlet_rows(settings, self.stacks), saved.outlets)
        self.registry = Registry(self.topics)
        at_start = layout.at_start(settings.nodes, saved.nodes)
        self.registry.restore(at_start, saved.tombstones)
        self.placement = Placement(self.registry, settings.nodes, self.outbox)
        self.locks = Locks(saved.locks)
        self.incidents = Incidents(
            self.registry, self.panel, self.outbox, first=saved.seq
        )
        self.verdicts = Verdicts(
            self.registry, self.panel, self.outbox, settings.master, self.incidents
        )
        self.tracker = NodeTracker(
            self.registry,
            self.verdicts,
            self.outbox,
            self.incidents,
            clock_skew_s=settings.master.clock_skew_s,
        )
        self.outbox.changed.update(self.registry.nodes)

    @property
    def found(self) -> tuple[FoundBoard, ...]:
        """Boards that install runs found."""
        return self.placement.found

    def clock_set(self, step_s: float) -> None:
        """Moves with the wall clock what began or ends at a moment told by it.

        Spans stay as long as they were; the history keeps the times it was told.
        """
        self.locks.clock_set(step_s)
        for fed in self.panel.outlets.values():
            fed.clock_set(step_s)
        for node in self.registry.nodes.values():
            node.since = max(0.0, node.since + step_s)
            node.told_since = max(0.0, node.told_since + step_s)
        self.outbox.changed.update(self.registry.nodes)
        sign = "+" if step_s > 0 else "-"
        text = f"the clock was set by {sign}{words(abs(step_s))}"
        self.outbox.note(EventKind.SERVICE, text)

    def stack(self, number: int) -> Stack:
        """Returns a stack.

        Raises:
            TopicError: It is not in the rack; says which are.
        """
        if number in self.stacks:
            return self.stacks[number]
        listed = ", ".join(map(str, self.stacks)) or "none"
        text = f"stack {number} is not in the rack; there are: {listed}"
        raise TopicError(text)
