"""Every outlet of the rack: what it feeds, what it should be, what it is; pure."""

import msgspec

from broker.contract.messages import Power
from master_service.rack.layout import Stack
from master_service.rack.node import RackNode
from master_service.rack.records import OutletRecord
from master_service.rack.settings import Driver, OutletRow, Settings
from master_service.rack.times import Moment

UNTIL_ON = "it is tried until it is on"
"""Told in the fault of an outlet that must come on."""


class Outlet(msgspec.Struct, frozen=True):
    """The supply of a node.

    Args:
        wanted: What it should be, from disk.
        level: What it reads back.
        since: Monotonic second of the last change seen; None: before the master began.
    """

    wanted: Power
    level: Power
    since: float | None = None


class OutletState:
    """One outlet and what is known about it; nothing else writes its fields.

    Args:
        row: From the configuration.
        record: From disk; None: nothing was known about it.
    """

    __slots__ = (
        "_looked",
        "before",
        "changed",
        "fault",
        "level",
        "owed",
        "read",
        "row",
        "seen",
        "since",
        "switched",
        "wanted",
    )

    def __init__(self, row: OutletRow, record: OutletRecord | None = None) -> None:
        on_disk = record or OutletRecord(row.name, Power.UNKNOWN)
        self.row = row
        self.wanted = on_disk.wanted
        """What it should be: what somebody asked for last, a cycle being *on*."""
        self.level = Power.UNKNOWN
        """What it is; unknown before it was read, and while it does not answer."""
        self.seen = on_disk.level
        """What it was last read as; unknown after a switching without an answer."""
        self.before = Power.UNKNOWN
        """What it was before the last change of level."""
        self.since: float | None = None
        """Monotonic second of the last change of level; None: before the start."""
        self.changed = on_disk.changed
        self.owed = on_disk.owed
        """Whether it must come on, and is tried until it is on."""
        self.switched = on_disk.switched
        self.fault = UNTIL_ON if self.owed else ""
        self.read = False
        """Whether the last attempt to read it told a level."""
        self._looked = False

    def record(self) -> OutletRecord:
        """Returns what belongs on disk."""
        return OutletRecord(
            self.row.name,
            self.wanted,
            self.seen,
            self.changed,
            owed=self.owed,
            switched=self.switched,
        )

    def unchanged_s(self, at: Moment) -> float:
        """Returns for how long it has its level, seconds; by the clock that says less.

        The wall clock alone outlives a restart, and may be set in between.
        """
        by_wall_s = max(0.0, at.wall - self.changed)  # it may have been set back
        return by_wall_s if self.since is None else min(by_wall_s, at.now - self.since)

    def clock_set(self, step_s: float) -> None:
        """Moves the time of the last change with the wall clock, which was set."""
        self.changed = max(0.0, self.changed + step_s)

    def view(self) -> Outlet:
        """Returns what presence needs to know.

        While it cannot be read, boards are judged by what it was last read as: a plug
        that is away for a moment makes no board of a stack that is off `lost`.
        """
        return Outlet(self.wanted, self.seen, self.since)

    def want(self, level: Power, *, owed: bool = False) -> None:
        """Sets what it should be from now on.

        Args:
            level: As somebody asked.
            owed: It must come on, and is tried until it is on.
        """
        self.wanted = level
        if self.owed and not owed:
            self.fault = ""
        self.owed = owed

    def read_back(self, level: Power, at: Moment) -> bool:
        """Notes what it reads; returns whether that is another level than before.

        The first reading after a start is not a change: its moment was not seen.
        """
        before, self.seen, self.level, self.read = self.seen, level, level, True
        if level is Power.ON:
            self.owed = False
        if not self.owed:
            self.fault = ""
        if self.wanted is Power.UNKNOWN:
            self.wanted = level
        looked, self._looked = self._looked, True
        if before is level:
            return False
        self.before = before
        if looked:
            self.since = at.now
        if looked or before is not Power.UNKNOWN:
            self.changed = at.wall
        return True

    def lost_sight(self, why: str, *, switching: bool = False) -> None:
        """Notes that it did not answer: its level is not known any more.

        Args:
            why: What went wrong, which is shown as its fault.
            switching: It was being switched, so it may have moved.
        """
        self.level, self.read = Power.UNKNOWN, False
        self.set_fault(why)
        if switching:
            self.seen, self._looked = Power.UNKNOWN, True

    def set_fault(self, why: str) -> None:
        """Notes why it is not as it should be, and whether it is tried again."""
        self.fault = f"{why}; {UNTIL_ON}" if self.owed else why

    def was_switched(self, level: Power | None, error: str, at: Moment) -> bool:
        """Notes the result of a switching; returns whether the level changed.

        Args:
            level: As read back; None: it did not answer.
            error: Why it is not where it should be; empty if it is.
            at: This moment.
        """
        if level is None:
            self.lost_sight(error, switching=True)
            return False
        self.switched = True
        self._looked = True
        moved = self.read_back(level, at)
        if error:
            self.set_fault(error)
        return moved


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
        """Outlets on disk that the configuration has no more; none is switched."""
        self.outlets: dict[str, OutletState] = {}
        for row in rows:
            self.outlets[row.name] = OutletState(row, known.get(row.name))
        self._by_stack = {
            fed.row.stack: fed
            for fed in self.outlets.values()
            if fed.row.stack is not None
        }
        self._by_node = {
            node: fed for fed in self.outlets.values() for node in fed.row.nodes
        }

    def of_stack(self, stack: int) -> OutletState | None:
        """Returns the outlet that feeds a whole stack."""
        return self._by_stack.get(stack)

    def of_node(self, node: RackNode) -> OutletState | None:
        """Returns the outlet that feeds a node: its own, else its stack's."""
        own = self._by_node.get(node.id)
        if own is not None or node.stack is None:
            return own
        return self._by_stack.get(node.stack)


def outlet_rows(settings: Settings, stacks: dict[int, Stack]) -> tuple[OutletRow, ...]:
    """Returns the configured outlets, and one for every stack that has none."""
    rows = list(settings.outlets)
    if settings.power.driver is not Driver.NONE:
        fed = {row.stack for row in rows}
        rows += [
            OutletRow(name=f"stack-{n}", driver=settings.power.driver, stack=n)
            for n in stacks
            if n not in fed
        ]
    return tuple(row for row in rows if row.driver is not Driver.NONE)
