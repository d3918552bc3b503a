"""The master: a thin shell that brings messages and time to the pure parts.

One asyncio loop owns everything. What decides is pure and elsewhere; here the parts are
put together, started, ticked and stopped.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from broker import VERSION
from broker.client.link import Connect, Link, Message
from broker.common import tasks
from broker.common.errors import LinkError, PayloadError
from broker.common.log import Rejections
from broker.common.tasks import keep_running, log_failures
from broker.contract.messages import Event, EventKind, encode
from broker.contract.topics import Topics
from broker.contract.verbs import Verb
from master_service.commands.dispatcher import Dispatcher
from master_service.commands.event_query import EventQueries
from master_service.effect_runner import EffectRunner
from master_service.healing.healer import Healer
from master_service.install.install_command import InstallCommands
from master_service.install.service import Installs, Setup
from master_service.master_details import own_details
from master_service.message_router import MessageRouter, subscriptions
from master_service.power.outlet_poller import OutletPoller, claim_all
from master_service.power.outlets import Outlets
from master_service.power.switching import Switcher
from master_service.presence.probe import Prober
from master_service.presence.rack import Rack
from master_service.rack.effects import Commit, Persist
from master_service.rack.events import EventLog, Retention, of_last_day
from master_service.rack.records import BootRecord, Saved
from master_service.rack.settings import Settings
from master_service.rack.store import Store
from master_service.rack.times import Moment
from master_service.state_publisher import StatePublisher

log = logging.getLogger(__name__)

CLIENT_ID = "master"
TICK_S = 0.25
DATABASE = "master.db"
CLOCK_STEP_S = 60.0
"""A wall clock that goes wrong by more than this in one tick was set."""
CLOCK_LOOK_S = 600.0
"""Seconds between two looks at whether the clock is right, and between two records of
what is left of each lock."""
ROWS_AT_MOST = 500
"""Queued statements that are written without waiting for ``flush_s``."""


class Master:
    """The service; see ``broker.common.service.Service``.

    Its parts are there from ``start`` on: they are made of what is on disk.

    Args:
        new_id: Makes ids for commands that have none.
        boot_id: Of this machine's present boot; empty: not known.
        sleep: Waits so many seconds between two attempts to switch.
        clock_synced: Whether this machine's clock is set; None: not known.
        ticking: False for a test that calls ``tick`` itself.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Connect,
        prober: Prober,
        outlets: Outlets,
        setup: Setup = Setup(),  # noqa: B008  # frozen: provisioning is off
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex[:16],
        boot_id: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock_synced: Callable[[], bool | None] = lambda: True,
        ticking: bool = True,
    ) -> None:
        self.rejections = Rejections("master")
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._boot_id = boot_id
        self._switcher = Switcher(outlets, sleep)
        self._ticking = ticking
        self._prober = prober
        self._outlets = outlets
        self._setup = setup
        self._topics = Topics(settings.rack.name)
        self._store = Store(
            Path(settings.master.data_dir) / DATABASE,
            retention=Retention(
                settings.master.events_kept, settings.master.keep_events_days
            ),
            wall=wall,
            clock_synced=lambda: self._synced() is True,
        )
        self._synced = clock_synced
        self._wall_less_monotonic = wall() - clock()
        self._clock_due = clock()
        self._link: Link = connect(
            self,
            client_id=CLIENT_ID,
            subscriptions=subscriptions(self._topics),
            status_topic=self._topics.master_status,
        )
        self._started = wall()
        self._flush_due = clock()
        self._flushing = False
        self._ticker: asyncio.Task[None] | None = None
        self._running = False

    async def start(self) -> None:
        """Reads the disk, claims the outlets as they are, and connects.

        Raises:
            ConfigError: The data folder cannot be used.
        """
        saved = await self._store.open()
        self._assemble(saved)
        query = of_last_day(EventKind.HEAL, self._wall())
        self._healer.remember(await self._store.events(query))
        self._running = True
        self.rack.outbox.note(EventKind.SERVICE, f"master {VERSION} started")
        if saved.problem:
            self.rack.outbox.note(EventKind.FAULT, saved.problem)
        cold = "" not in {self._boot_id, saved.boot_id}
        cold = cold and self._boot_id != saved.boot_id
        if cold:
            self.rack.verdicts.power_came()
        await claim_all(self._outlets, self.rack, self._moment(), cold=cold)
        for fed in self.rack.panel.outlets.values():
            self._store.put(fed.record())
        self._installs.open()
        await self._prober.start()
        await self._link.start()
        if self._ticking:
            self._ticker = keep_running("ticks of the master", self._tick_for_ever)
        self._take_up(saved, cold=cold)
        self._installs.start()

    async def stop(self) -> None:
        """Publishes offline, writes everything, and leaves every outlet as it is."""
        if not self._running:
            return
        self._running = False
        self._effects.halt()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self._installs.stop()
        await self._effects.stop()
        self.rack.outbox.note(EventKind.SERVICE, "master stopped")
        self._collect()
        await self._link.stop()
        await self._prober.stop()
        await self._outlets.close()
        await self._store.close()

    def on_connected(self, session: str) -> None:
        """Judges every board and publishes every state again."""
        at = self._moment()
        self.rack.verdicts.link_up(at.now, at.wall)
        self._router.connected(session)
        self._note_link("the broker is there")
        self._publisher.everything()
        self._publish_own_details(session)
        self._effects.publish_held()
        self._installs.board.everything()
        self._collect()

    def on_disconnected(self, reason: str) -> None:
        """Freezes every verdict."""
        self.rack.verdicts.link_down(self._clock())
        self._router.disconnected()
        self._note_link(f"the broker is away: {reason}")
        self._collect()

    def on_message(self, message: Message) -> None:
        """Takes one message; what is bad is counted and dropped."""
        now = self._clock()
        self.rack.verdicts.heard_at = now
        if not self._router.heartbeat(message, now):
            self._effects.perform(self._router.take(message, self._moment()))
        if self.rack.outbox.waiting:
            self._collect()

    def _watch_clock(self, at: Moment) -> None:
        """Notices that the wall clock was set, and whether it is right."""
        if at.now >= self._clock_due:
            self._clock_due = at.now + CLOCK_LOOK_S
            self.rack.clock_synced = self._synced() is True
            for lock in self.rack.locks.all():
                self._store.put(lock)  # with what is left of it
        difference_s = at.wall - at.now
        step_s = difference_s - self._wall_less_monotonic
        self._wall_less_monotonic = difference_s
        if abs(step_s) >= CLOCK_STEP_S:
            self.rack.clock_set(step_s)
            self._healer.clock_set(step_s)
            for lock in self.rack.locks.all():
                self._store.put(lock)
            for fed in self.rack.panel.outlets.values():
                self._store.put(fed.record())
            for stack in self.rack.stacks:
                self._publisher.stack(stack)

    def tick(self) -> None:
        """Does what is due: verdicts, deadlines, the rack's state, the disk."""
        at = self._moment()
        # Each by itself: what one cannot do must not keep the others from their work.
        for step in (
            self._judge,
            self._read_outlets,
            self._go_on_with_commands,
            self._heal,
            self._publish,
            self._write,
        ):
            with log_failures(f"tick of the master, {step.__name__}"):
                step(at)

    def _judge(self, at: Moment) -> None:
        for node in self.rack.verdicts.tick(at.now, at.wall):
            self._effects.probe(node)
        if self.rack.verdicts.echo_due(at.now):
            self._publish_own_details(self._link.session)
        self.rack.tracker.tick(at.now)

    def _read_outlets(self, at: Moment) -> None:
        for outlet in self._poller.due(at.now, self._dispatcher.power.unsure(at.now)):
            self._effects.begin(f"read {outlet}", self._poller.visit(outlet))

    def _go_on_with_commands(self, at: Moment) -> None:
        self._effects.publish_held()
        self._effects.perform(self._dispatcher.tick(at))

    def _heal(self, at: Moment) -> None:
        for command in self._healer.tick(at):
            _ = self._dispatcher.submit(command)  # told in the history

    def _publish(self, at: Moment) -> None:
        self._collect()
        self._flush()
        with contextlib.suppress(LinkError):
            self._publisher.rack_state(at.now)

    def _write(self, at: Moment) -> None:
        many = self._store.waiting >= ROWS_AT_MOST and not self._effects.unwritable
        if self._store.waiting and (many or at.now >= self._flush_due):
            self._flush_due = at.now + self._settings.master.flush_s
            self._effects.commit_soon()

    async def settle(self) -> None:
        """Waits for everything under way, as a test does."""
        await self._effects.settle()

    def _assemble(self, saved: Saved) -> None:
        """Makes the parts from what was on disk."""
        self.rack = Rack(self._settings, saved)
        self._dispatcher = Dispatcher(
            self.rack,
            saved.done,
            self._new_id,
            perform=lambda effects: self._effects.perform(effects),  # noqa: PLW0108  # made below
            moment=self._moment,
        )
        self._healer = Healer(self.rack, self._new_id)
        self._installs = Installs(
            self._setup,
            self.rack,
            self._dispatcher,
            self._outlets,
            self._link,
            moment=self._moment,
        )
        self._router = MessageRouter(
            self.rack, self._dispatcher, self.rejections, self._installs
        )
        self._publisher = StatePublisher(
            self.rack, self._link, self.rejections, self._errors
        )
        self._events = EventLog(saved.seq, self._store.keep_event, self._publish_event)
        self._effects = EffectRunner(
            rack=self.rack,
            dispatcher=self._dispatcher,
            router=self._router,
            publisher=self._publisher,
            link=self._link,
            store=self._store,
            prober=self._prober,
            switcher=self._switcher,
            moment=self._moment,
            settled=self._collect,
        )
        reply = self._effects.replies.publish
        queries = EventQueries(self.rack, self._store, reply=reply, moment=self._moment)
        installing = InstallCommands(self.rack, self._dispatcher, self._installs, reply)
        self._dispatcher.handlers[Verb.EVENTS] = queries.begin
        self._dispatcher.handlers[Verb.INSTALL] = installing.begin
        self._poller = OutletPoller(
            self.rack,
            self._outlets,
            self._switcher,
            moment=self._moment,
            kept=self._effects.keep_outlet,
            awaited=self._dispatcher.power.awaited,
        )

    def _errors(self) -> dict[str, int]:
        """Returns what went wrong in the master itself, by kind."""
        return self._link.listener_errors.counts | self._effects.errors() | tasks.counts

    def _moment(self) -> Moment:
        at = Moment(self._clock(), self._wall())
        if self._running:
            self._watch_clock(at)
        return at

    def _collect(self) -> None:
        """Does what the pure parts left in the outbox."""
        outbox, at = self.rack.outbox, self._moment()
        while outbox.moved:
            node = self.rack.registry.nodes.get(outbox.moved.pop())
            if node is not None:
                self._effects.perform(self._dispatcher.look(node, at))
        registry = self.rack.registry
        learnt = outbox.learnt & registry.nodes.keys()
        records = [registry.record(registry.nodes[node_id]) for node_id in learnt]
        outbox.learnt.clear()
        self._effects.perform([Persist(record) for record in records])
        self._events.write(outbox.drafts, at.now, at.wall)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _publish_own_details(self, session: str) -> None:
        """Publishes what the master is; it hears that itself, as an echo."""
        about = own_details(
            self._settings.master, session=session, started=self._started
        )
        self._publisher.master(about)

    def _publish_event(self, event: Event) -> None:
        with contextlib.suppress(LinkError, PayloadError):
            self._link.publish(self._topics.event, encode(event), qos=1)

    def _note_link(self, text: str) -> None:
        outage = self.rack.incidents.outage
        self.rack.outbox.note(EventKind.SERVICE, text, incident=outage)

    def _flush(self) -> None:
        """Publishes what changed since the loop's last turn, together."""
        self._flushing = False
        self._publisher.flush()

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def _take_up(self, saved: Saved, *, cold: bool) -> None:
        """Resumes what was under way, and brings outlets back after a mains cut."""
        at = self._moment()
        effects = self._dispatcher.resume(saved.parts, at)
        if self._boot_id:
            effects.append(Persist(BootRecord(self._boot_id)))
        if cold:
            note = "this machine booted: outlets are brought to what they shall be"
            self.rack.outbox.note(EventKind.POWER, note)
            effects += self._dispatcher.cold_start(self._boot_id, at)
        self._effects.perform([*effects, Commit()])
