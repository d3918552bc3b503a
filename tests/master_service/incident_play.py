"""Edges played on a rack of three stacks with four boards each, without a master."""

from broker.contract.messages import EventKind, Power, Verdict
from broker.contract.topics import Topics
from master_service.incidents.incidents import Incidents
from master_service.rack.events import Outbox
from master_service.rack.outlet_state import Panel
from master_service.rack.records import NodeRecord, OutletRecord
from master_service.rack.registry import Registry
from master_service.rack.settings import Driver, OutletRow

STACK = ("s01n1", "s01n2", "s01n3", "s01n4")


class Play:
    """Incidents, and a rack whose boards have the verdicts they are given."""

    def __init__(self, level: Power = Power.ON) -> None:
        self.registry = Registry(Topics("lab"))
        records = [
            NodeRecord(f"pi-{s}{n}", f"s0{s}n{n}", s, n, known=True)
            for s in (1, 2, 3)
            for n in (1, 2, 3, 4)
        ]
        records.append(NodeRecord("pi-alone", "alone", known=True))
        self.registry.restore(records, ())
        rows = [
            OutletRow(name=f"plug-{s}", driver=Driver.FAKE, stack=s) for s in (1, 2, 3)
        ]
        saved = tuple(OutletRecord(row.name, Power.ON, level) for row in rows)
        self.outbox = Outbox()
        panel = Panel(tuple(rows), saved)
        self.incidents = Incidents(self.registry, panel, self.outbox, first=100)
        for node in self.registry.nodes.values():
            node.verdict = Verdict.ONLINE
        self.now = 0.0
        self.ids: dict[str, list[str]] = {}

    def until(self, now: float) -> None:
        while self.now < now:
            self.now = min(now, self.now + 0.5)
            self.incidents.tick(self.now)

    def edge(self, name: str, what: Verdict | bool, *, asked: bool = False) -> str:  # noqa: FBT001  # the table's cell
        """Give a board another verdict, or begin or end its under-voltage."""
        node = self.registry.find(name)
        assert node is not None
        if isinstance(what, bool):
            mine = self.incidents.voltage(node, self.now, low=what)
        else:
            before, node.verdict = node.verdict, what
            mine = self.incidents.verdict(node, before, self.now, asked=asked)
        self.ids.setdefault(name, []).append(mine)
        return mine

    @property
    def headlines(self) -> list[str]:
        assert {draft.kind for draft in self.outbox.drafts} <= {EventKind.INCIDENT}
        return [f"{draft.incident}: {draft.text}" for draft in self.outbox.drafts]
