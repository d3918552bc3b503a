"""One look at the model per tick, one small message to every tab.

The hub owns what was last sent; a node that would be drawn the same is not sent again.
Everything runs on the service's loop.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from broker.common.tasks import log_failure
from broker.contract.messages import Status
from dashboard.live import install_feed, rows
from dashboard.live.model import HISTORY_STEP_S, RackModel, Record
from dashboard.live.search import Query, parse
from dashboard.server.settings import Thresholds
from dashboard.server.users import PageUser

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
_MAX_WAITING = 50
"""Private items kept for a tab that does not listen; the newest win."""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Port(Protocol):
    """The way to one browser tab."""

    @property
    def open(self) -> bool:
        """Whether something sent now would be sent now."""

    def send(self, number: int, shared: str, private: str) -> None:
        """Sends one message.

        Args:
            number: Counts up by one; 0 begins again with a snapshot.
            shared: JSON that is the same for all tabs.
            private: JSON for this one.
        """


class View:
    """What one tab looks at, and what it has been sent."""

    def __init__(self, port: Port, user: PageUser) -> None:
        self.port = port
        self.user = user
        self.paused = False
        self.installing = False
        """Whether it shows the Install page."""
        self._number = 0
        self._fresh = False
        self._query = Query()
        self._matches: set[int] | None = None
        self._node = ""
        self._details_sent: object = None
        self._private: dict[str, Any] = {}
        self._all_due = True
        self._install_due = True
        self._failure_logged = False

    def resync(self) -> None:
        """Makes the next tick send everything again: the tab missed something."""
        self._fresh = False

    def failed(self, error: Exception) -> None:
        """Makes the next tick begin again; logs the first failure of a tab only."""
        self.resync()
        if not self._failure_logged:
            self._failure_logged = True
            log.error("sending to a tab of %s failed", self.user.name, exc_info=error)

    def search(self, text: str) -> None:
        """Searches for something else from now on."""
        self._query = parse(text)
        self._matches = None
        self._all_due = True
        self._private["query"] = {"text": text, "hint": self._query.hint}

    def open_node(self, node: str) -> None:
        """Follows one node closely from now on; empty for none."""
        self._node = node
        self._details_sent = None
        self._all_due = True

    def follow_install(self, *, on: bool) -> None:
        """Shows the install run board by board from now on, or no longer."""
        self.installing = on
        self._install_due = True

    def push(self, key: str, item: object) -> None:
        """Adds an item to the list ``key`` of the next message."""
        waiting = self._private.setdefault(key, [])
        waiting.append(item)
        del waiting[:-_MAX_WAITING]

    def deliver(self, news: "TickNews") -> None:
        """Sends what is new, in at most one message."""
        shared = news.shared
        if self.paused or not self.port.open:
            self._fresh = False
            return
        if not self._fresh:
            shared, self._number, self._fresh = news.snapshot(), -1, True
            self._all_due, self._matches, self._details_sent = True, None, None
            self._install_due = True
        looked_at = list(news.nodes.values()) if self._all_due else news.changed
        self._match(looked_at, news.nodes)
        self._follow(looked_at, news)
        self._all_due = False
        self._watch(news.install)
        if not shared and not self._private:
            return
        self._number += 1
        private = _json(self._private)
        self._private = {}
        self.port.send(self._number, shared or "{}", private)

    def _watch(self, install: install_feed.InstallFeed) -> None:
        if not self.installing:
            return
        found = install.whole() if self._install_due else install.delta
        self._install_due = False
        if found:
            self._private["install"] = found

    def _match(self, looked_at: Iterable[Record], nodes: dict[str, Record]) -> None:
        if not self._query.active:
            if self._all_due:
                self._private["match"] = None
            return
        found = set(self._matches or ())
        for record in looked_at:
            hit = record.id in nodes and self._query.matches(record)
            (found.add if hit else found.discard)(record.index)
        if found != self._matches:
            self._matches = found
            self._private["match"] = sorted(found)

    def _follow(self, looked_at: Iterable[Record], news: "TickNews") -> None:
        seen = any(each.id == self._node for each in looked_at)
        if not self._node or not (seen or self._all_due):
            return
        record = news.nodes.get(self._node)
        if record is None:
            self._private["node"] = {"id": self._node, "unknown": True}
            return
        found = rows.vitals(record, news.now, news.wall)
        if record.details is not self._details_sent:
            self._details_sent = record.details
            found["details"] = rows.details(record)
        self._private["node"] = found


class TickNews(msgspec.Struct, frozen=True, kw_only=True):
    """What one tick has for every view.

    Args:
        shared: JSON for all tabs; empty when there is nothing.
        snapshot: Makes the JSON of everything, once for all that need it.
        now: Monotonic time, seconds.
        wall: Unix time, seconds.
    """

    shared: str
    snapshot: Callable[[], str]
    changed: list[Record]
    nodes: dict[str, Record]
    install: install_feed.InstallFeed
    now: float
    wall: float


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
        """Adapts the wait to how late the last tick was, seconds."""
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
        self._install = install_feed.InstallFeed(model)
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
        """Notes that the connection to the broker came or went."""
        if up != self._broker[0]:
            self._broker = (up, self._wall(), why)
        if up:
            self.model.connection_made()

    @property
    def connection(self) -> ConnectionState:
        """How things stand right now."""
        up, since, why = self._broker
        model = self.model
        return ConnectionState(
            broker=up,
            since=round(since),
            why=why,
            master=model.master.value if isinstance(model.master, Status) else "",
            frozen=model.rack.frozen if model.rack is not None else "",
            slowed=self.pace.slowed,
            ready=model.rack is not None,
            install=install_feed.words(model.install),
            install_hint=install_feed.hint(model.install),
            install_trouble=install_feed.trouble(model.install),
            home=model.master_details.node if model.master_details else "",
        )

    async def run(self) -> None:
        """Ticks until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._wait_s()
        while True:
            await asyncio.sleep(max(due - loop.time(), 0))
            self.pace.note(loop.time() - due)
            due = loop.time() + self._wait_s()
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  # noted; the next one sends everything
                log_failure("tick of the page", error)
                for view in self.views:
                    view.resync()

    def _wait_s(self) -> float:
        crowd = len(self.model.nodes) > _CROWD
        return max(self.pace.period_s, _CROWD_TICK_S if crowd else 0.0)

    def tick(self) -> None:
        """Sends each view what changed since the last tick."""
        now, wall = self._clock(), self._wall()
        self._sample(now)
        changed = list(self.model.dirty | self.model.moved)
        wanted = any(view.installing for view in self.views)
        self._install.look(wall, wanted=wanted)
        delta = self._delta(now, wall)
        news = TickNews(
            shared=_json(delta) if delta and self.views else "",
            snapshot=functools.cache(lambda: _json(self._snapshot(wall))),
            changed=changed,
            nodes=self.model.nodes,
            install=self._install,
            now=now,
            wall=wall,
        )
        for view in tuple(self.views):
            try:
                view.deliver(news)
            except Exception as error:  # noqa: BLE001  # one tab's trouble stays its own
                view.failed(error)

    def _sample(self, now: float) -> None:
        if now - self._sampled_at < HISTORY_STEP_S:
            return
        self._sampled_at = now
        for record in self.model.nodes.values():
            record.sample()

    def _delta(self, now: float, wall: float) -> dict[str, Any]:
        """Clears the marks of the model and returns what they amount to."""
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
            delta["events"] = [rows.event_object(event) for event in events]
        if self.connection != self._connection_sent:
            delta["connection"] = self._connection_sent = self.connection
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
        """Judges what may have changed; keeps the rows that would look different."""
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
        here = [rows.stack_object(known[each]) for each in numbers if each in known]
        return {"stacks": here, "stacksGone": sorted(numbers - known.keys())}

    def _snapshot(self, wall: float) -> dict[str, Any]:
        """Returns everything; called after a tick has judged what was new."""
        model = self.model
        nodes = model.nodes.values()
        events = list(model.events)[-_EVENTS_SENT:]
        found: dict[str, Any] = {
            "snapshot": True,
            "now": wall,
            "rack": model.topics.rack,
            "connection": self.connection,
            "meta": [self._meta(record) for record in nodes],
            "stacks": [rows.stack_object(stack) for stack in model.stacks.values()],
            "rows": [self._rows[each.index] for each in nodes],
            "notes": [(each.index, *self._notes[each.index]) for each in nodes],
            "events": [rows.event_object(event) for event in events],
        }
        found["abilities"] = self._abilities.rows()
        if len(nodes) <= SPARKLINES_UP_TO:
            found["history"] = [(each.index, *each.history) for each in nodes]
        return found
