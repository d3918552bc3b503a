"""The rack as the master knows it: the parts that think, put together; pure."""

from broker.topics import Topics
from master_service import layout
from master_service.events import Outbox
from master_service.judging import Judging
from master_service.power.panel import Panel, outlet_rows
from master_service.registry import Registry
from master_service.settings import Settings
from master_service.store import Saved
from master_service.watch import Watch


class Rack:
    """Everything known about the rack.

    Args:
        settings: From the configuration.
        saved: From disk.
    """

    def __init__(self, settings: Settings, saved: Saved) -> None:
        self.settings = settings
        self.topics = Topics(settings.rack.name)
        self.stacks = layout.stacks(settings)
        self.outbox = Outbox()
        self.panel = Panel(outlet_rows(settings, self.stacks), saved.outlets)
        self.registry = Registry(self.topics)
        self.registry.restore(settings.nodes, saved.nodes, saved.tombstones)
        self.judging = Judging(self.registry, self.panel, self.outbox, settings.master)
        self.watch = Watch(
            self.registry,
            self.judging,
            self.outbox,
            clock_skew_s=settings.master.clock_skew_s,
        )
        self.outbox.changed.update(self.registry.nodes)
