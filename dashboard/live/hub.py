"""One look at the model per tick, one small message to every tab.

The hub owns what was last sent; a node that would be drawn the same is not sent again.
Everything runs on the service's loop.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from broker.common.tasks import note
from broker.contract.messages import Status
from dashboard.live import install_feed as install
from dashboard.live import rows
from dashboard.live.model import RackModel
from dashboard.live.record import HISTORY_STEP_S, Record
from dashboard.live.view import View
from dashboard.server.settings import Thresholds

log = logging.getLogger(__name__)

SPARKLINES_UP_TO = 120
"""Racks up to this size are drawn with sparklines; larger ones as cells."""
_CROWD = 240
_CROWD_TICK_S = 0.5
"""A crowd is drawn as shades, where half a second is soon enough."""
_PULSE_S = 5.0
_EVENTS_SENT = 200
_LATE_S = 0.5
_SLOWEST_S = 2.0


class TickPace:
    """How long to wait between ticks: twice as long after a late one, never a queue.

    Args:
        tick_s: The wait when all is well, seconds.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self.period_s = tick_s

    @property
    def slowed(self) -> bool:
        """Whether updates come slower than they should."""
        return self.period_s > self._tick_s

    def note(self, late_s: float) -> None:
        """Take account of how late the last tick was, seconds."""
        if late_s > _LATE_S:
            self.period_s = max(min(self.period_s * 2, _SLOWEST_S), self._tick_s)
        elif late_s < _LATE_S / 5:
            self.period_s = max(self.period_s / 2, self._tick_s)


class ConnectionState(msgspec.Struct, frozen=True):
    """How the dashboard stands with the broker and the master.

    Args:
        broker: Whether the broker is connected.
        since: Unix time this began, seconds.
        why: Why it is not, in words.
        master: ``online``, ``offline``, or empty if it was never heard.
        frozen: Why the master's verdicts are frozen; empty when they are not.
        slowed: Whether updates come slower than they should.
        ready: Whether the master has told what the rack looks like.
        install: How far the latest install run is, in words; empty without one.
        install_hint: The same for the navigation; empty when none is under way.
        install_trouble: Whether that run failed or met a problem.
        home: Id of the node that is the master's own Pi; empty if not known.
    """

    broker: bool = False
    since: float = 0.0
    why: str = ""
    master: str = ""
    frozen: str = ""
    slowed: bool = False
    ready: bool = False
    install: str = ""
    install_hint: str = ""
    install_trouble: bool = False
    home: str = ""


class Hub:
    """Tells every open tab what changed.

    Args:
        model: What is known of the rack.
        limits: From where on a vital is bad.
        tick_s: Time between messages, seconds.
        clock: Monotonic time, seconds.
        wall: Unix time, seconds.
    """

    def __init__(
        self,
        model: RackModel,
        limits: Thresholds,
        *,
        tick_s: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.views: set[View] = set()
        self.model = model
        self.pace = TickPace(tick_s)
        self._install = install.InstallFeed(model)
        self._limits = limits
        self._clock = clock
        self._wall = wall
        self._broker = (False, wall(), "not reached yet")
        self._connection_sent = ConnectionState()
        self._rows: dict[int, rows.Row] = {}
        self._notes: dict[int, rows.Note] = {}
        self._abilities = rows.AbilitySets()
        self._abilities_sent = 0
        self._sampled_at = clock()
        self._pulsed_at = clock()

    def broker_is(self, *, up: bool, why: str = "") -> None:
        """Note that the connection to the broker came or went."""
        if up != self._broker[0]:
            self._broker = (up, self._wall(), why)
        if up:
            self.model.connection_made()

    @property
    def connection(self) -> ConnectionState:
        """How things stand right now."""
        up, since, why = self._broker
        rack, master = self.model.rack, self.model.master
        return ConnectionState(
            broker=up,
            since=round(since),
            why=why,
            master=master.value if isinstance(master, Status) else "",
            frozen=rack.frozen if rack is not None else "",
            slowed=self.pace.slowed,
            ready=rack is not None,
            install=install.words(self.model.install),
            install_hint=install.hint(self.model.install),
            install_trouble=install.trouble(self.model.install),
            home=self.model.master_details.node if self.model.master_details else "",
        )

    async def run(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._wait_s()
        while True:
            await asyncio.sleep(max(due - loop.time(), 0))
            self.pace.note(loop.time() - due)
            due = loop.time() + self._wait_s()
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  # noted; the next one sends everything
                note("tick of the page", error)
                for view in self.views:
                    view.resync()

    def _wait_s(self) -> float:
        crowd = len(self.model.nodes) > _CROWD
        return max(self.pace.period_s, _CROWD_TICK_S if crowd else 0.0)

    def tick(self) -> None:
        """Send each view what changed since the last tick."""
        now, wall = self._clock(), self._wall()
        self._sample(now)
        changed = list(self.model.dirty | self.model.moved)
        wanted = any(view.installing for view in self.views)
        self._install.look(wall, wanted=wanted)
        delta = self._delta(now, wall)
        looked_at = delta and self.views
        shared = msgspec.json.encode(delta).decode() if looked_at else ""
        made: list[str] = []

        def snapshot() -> str:
            if not made:
                made.append(msgspec.json.encode(self._snapshot(wall)).decode())
            return made[0]

        for view in tuple(self.views):
            try:
                view.deliver(
                    shared,
                    changed,
                    self.model.nodes,
                    snapshot,
                    self._install,
                    now=now,
                    wall=wall,
                )
            except Exception as error:  # noqa: BLE001  # one tab's trouble stays its own
                view.failed(error)

    def _sample(self, now: float) -> None:
        if now - self._sampled_at < HISTORY_STEP_S:
            return
        self._sampled_at = now
        for record in self.model.nodes.values():
            record.sample()

    def _delta(self, now: float, wall: float) -> dict[str, Any]:
        """Take the marks off the model and return what they amount to."""
        model = self.model
        delta: dict[str, Any] = {}
        if model.moved:
            delta["meta"] = [self._meta(record) for record in model.moved]
        if self._abilities.latest != self._abilities_sent:
            self._abilities_sent = self._abilities.latest
            self._abilities.keep(model.nodes.values())
            delta["abilities"] = self._abilities.rows()
        self._tiles(delta, wall)
        if model.gone:
            delta["gone"] = sorted(model.gone)
            for index in model.gone:
                self._rows.pop(index, None)
                self._notes.pop(index, None)
        if model.stacks_changed:
            delta |= self._stacks(model.stacks_changed)
        if model.new_events:
            events = model.new_events[-_EVENTS_SENT:]
            delta["events"] = [rows.event_row(event) for event in events]
        if self.connection != self._connection_sent:
            self._connection_sent = self.connection
            delta["connection"] = msgspec.to_builtins(self.connection)
        for marks in (model.dirty, model.moved, model.gone, model.stacks_changed):
            marks.clear()
        model.new_events.clear()
        if delta or now - self._pulsed_at >= _PULSE_S:
            self._pulsed_at = now
            delta["now"] = wall
        return delta

    def _meta(self, record: Record) -> list[Any]:
        return rows.meta_row(record, self._abilities.number(record))

    def _tiles(self, delta: dict[str, Any], wall: float) -> None:
        """Judge what may have changed; keep the rows that would look different."""
        changed, notes = [], []
        for record in self.model.dirty:
            tile = record.judge(self._limits, wall)
            row = rows.tile_row(record.index, tile)
            if self._rows.get(record.index) != row:
                self._rows[record.index] = row
                changed.append(row)
            note = rows.tile_note(tile, record.tile_since)
            if self._notes.get(record.index) != note:
                self._notes[record.index] = note
                notes.append((record.index, *note))
        if changed:
            delta["rows"] = changed
        if notes:
            delta["notes"] = notes

    def _stacks(self, numbers: set[int]) -> dict[str, Any]:
        known = self.model.stacks
        here = [rows.stack_row(known[each]) for each in numbers if each in known]
        return {"stacks": here, "stacksGone": sorted(numbers - known.keys())}

    def _snapshot(self, wall: float) -> dict[str, Any]:
        """Return everything; called after a tick has judged what was new."""
        model = self.model
        nodes = model.nodes.values()
        found: dict[str, Any] = {
            "snapshot": True,
            "now": wall,
            "rack": model.topics.rack,
            "connection": msgspec.to_builtins(self.connection),
            "meta": [self._meta(record) for record in nodes],
            "stacks": [rows.stack_row(stack) for stack in model.stacks.values()],
            "rows": [self._rows[each.index] for each in nodes],
            "notes": [(each.index, *self._notes[each.index]) for each in nodes],
            "events": [rows.event_row(e) for e in list(model.events)[-_EVENTS_SENT:]],
        }
        found["abilities"] = self._abilities.rows()
        if len(nodes) <= SPARKLINES_UP_TO:
            found["history"] = [(each.index, *each.history) for each in nodes]
        return found
