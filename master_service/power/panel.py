"""Every outlet of the rack: what it feeds, what it should be, what it is; pure."""

from broker.messages import Power
from master_service.commands.effects import Moment
from master_service.commands.records import OutletRecord
from master_service.layout import Stack
from master_service.node import Node
from master_service.presence import Outlet
from master_service.settings import Driver, OutletRow, Settings


class Fed:
    """One outlet and what is known about it; the panel's own, mutable record.

    Args:
        row: From the configuration.
        wanted: What it should be.
        level: What it was last read back as.
    """

    __slots__ = ("changed", "fault", "level", "read", "row", "since", "wanted")

    def __init__(self, row: OutletRow, wanted: Power, level: Power) -> None:
        self.row = row
        self.wanted = wanted
        self.level = level
        self.since: float | None = None
        self.changed = 0.0
        self.fault = ""
        self.read = False
        """Whether the last attempt to read it told a level."""

    def record(self) -> OutletRecord:
        """Return what belongs on disk."""
        return OutletRecord(self.row.name, self.wanted, self.level, self.changed)

    def unchanged_s(self, at: Moment) -> float:
        """Return for how long it has its level, seconds; by the clock that says less.

        The wall clock alone outlives a restart, and may be set in between.
        """
        by_wall_s = at.wall - self.changed
        return by_wall_s if self.since is None else min(by_wall_s, at.now - self.since)

    def view(self) -> Outlet:
        """Return what presence needs to know."""
        return Outlet(self.wanted, self.level, self.since)


class Panel:
    """The outlets by name.

    Args:
        rows: Every outlet there is; see ``outlet_rows``.
        records: What is on disk.
    """

    def __init__(
        self, rows: tuple[OutletRow, ...], records: tuple[OutletRecord, ...] = ()
    ) -> None:
        known = {record.name: record for record in records}
        names = {row.name for row in rows}
        self.gone = tuple(one for one in records if one.name not in names)
        """Outlets on disk that the configuration has no more: nobody switches them."""
        self.outlets: dict[str, Fed] = {}
        for row in rows:
            self.outlets[row.name] = fed = Fed(row, Power.UNKNOWN, Power.UNKNOWN)
            record = known.get(row.name)
            if record is not None:
                fed.wanted, fed.level = record.wanted, record.level
                fed.changed = record.changed
        self._by_stack = {
            fed.row.stack: fed
            for fed in self.outlets.values()
            if fed.row.stack is not None
        }
        self._by_node = {
            node: fed for fed in self.outlets.values() for node in fed.row.nodes
        }

    def of_stack(self, stack: int) -> Fed | None:
        """Return the outlet that feeds a whole stack."""
        return self._by_stack.get(stack)

    def of_node(self, node: Node) -> Fed | None:
        """Return the outlet that feeds a node: its own, else its stack's."""
        own = self._by_node.get(node.id)
        if own is not None or node.stack is None:
            return own
        return self._by_stack.get(node.stack)

    def read_back(self, name: str, level: Power, now: float) -> bool:
        """Take what an outlet reads; return whether that is another level.

        The first reading after a start is no edge: nobody saw when it came.

        Args:
            name: Of the outlet.
            level: As read.
            now: Monotonic seconds.
        """
        fed = self.outlets[name]
        before, fed.level, fed.fault, fed.read = fed.level, level, "", True
        if fed.wanted is Power.UNKNOWN:
            fed.wanted = level
        if before is level:
            return False
        if before is not Power.UNKNOWN:
            fed.since = now
        return True

    def lost_sight(self, name: str, why: str) -> None:
        """Takes that the level of an outlet is not known any more.

        Args:
            name: Of the outlet.
            why: What went wrong, which is shown as its fault.
        """
        fed = self.outlets[name]
        fed.level, fed.fault, fed.read = Power.UNKNOWN, why, False


def outlet_rows(settings: Settings, stacks: dict[int, Stack]) -> tuple[OutletRow, ...]:
    """Return the configured outlets, and one for every stack that has none."""
    rows = list(settings.outlets)
    if settings.power.driver is not Driver.NONE:
        fed = {row.stack for row in rows}
        rows += [
            OutletRow(name=f"stack-{n}", driver=settings.power.driver, stack=n)
            for n in stacks
            if n not in fed
        ]
    return tuple(row for row in rows if row.driver is not Driver.NONE)
