"""Runs the effects that commands ask for, in one queue, in the order of their arrival.

A ``Commit`` at the front waits for the disk, and all that stands behind it waits too;
everything else runs at once. Rows of further commits that wait already go to disk in
the same transaction, so that a thousand commands at once cost a few writes. Switching
an outlet is started in its turn and not waited for: a slow outlet holds up no other.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from broker.client.link import Link
from broker.common.errors import LinkError, PayloadError
from broker.common.tasks import Tasks, log_failure
from broker.contract.messages import Lock, encode
from broker.contract.topics import NodeLeaf
from master_service.commands.dispatcher import Dispatcher
from master_service.message_router import MessageRouter
from master_service.power.switching import Switcher, SwitchResult
from master_service.presence.probe import PingAnswer as ProbeAnswer
from master_service.presence.probe import ProbeQueue, Prober
from master_service.presence.rack import Rack
from master_service.rack.effects import (
    BeginTask,
    ClearTopics,
    Commit,
    Effect,
    Effects,
    OutletSwitched,
    Persist,
    PingBoard,
    PublishAll,
    SendOrder,
    SendReply,
    SwitchOutlet,
)
from master_service.rack.locks import locked_stack
from master_service.rack.node import PingState, RackNode
from master_service.rack.outlet_state import OutletState
from master_service.rack.records import (
    CommandEnded,
    LockEnd,
    OutletRecord,
    Record,
)
from master_service.rack.store import Store
from master_service.rack.times import Moment
from master_service.reply_publisher import ListErrors, ReplyPublisher
from master_service.state_publisher import StatePublisher

log = logging.getLogger(__name__)

WAITING_AT_MOST = 20_000
"""Effects that wait for the disk; above that replies and questions are dropped and
counted. The others are bounded by the commands that may be under way at once."""
COMMIT_S = 30.0
"""Seconds the disk may take for one commit."""
STOP_SWITCHING_S = 4.0
"""Seconds a switching that is under way may hold up the stop of the master."""
STOP_COMMIT_S = 2.0
"""Seconds the rows that are queued may hold it up."""
STOPPED = "the master stopped while the outlet was being switched"
DROPPED_WHEN_FULL = (PingBoard, PublishAll, SendReply)
_BEGINS = (BeginTask, PingBoard, SendOrder, SwitchOutlet)
"""Effects that do not happen any more once the master stops."""


class _Waiting:
    """One effect in the queue."""

    __slots__ = ("done", "effect", "errors", "last", "number")

    def __init__(
        self, effect: Effect, errors: ListErrors, number: int, *, last: bool
    ) -> None:
        self.effect = effect
        self.errors = errors
        self.number = number
        self.last = last
        """Whether it is the last of its list."""
        self.done = False
        """Whether its row was put into the transaction of an earlier commit."""


class EffectRunner:
    """Runs effects.

    Args:
        dispatcher: Told the results of orders and switchings.
        router: Told which echoes of cleared topics to expect.
        publisher: Told which states to publish again.
        link: Sends orders.
        prober: Pings boards.
        switcher: Switches outlets.
        settled: Called when something that took time may have changed the rack.
    """

    def __init__(
        self,
        *,
        rack: Rack,
        dispatcher: Dispatcher,
        router: MessageRouter,
        publisher: StatePublisher,
        link: Link,
        store: Store,
        prober: Prober,
        switcher: Switcher,
        moment: Callable[[], Moment],
        settled: Callable[[], None],
    ) -> None:
        self._rack = rack
        self._dispatcher = dispatcher
        self._router = router
        self._publisher = publisher
        self._link = link
        self._store = store
        self._switcher = switcher
        self._moment = moment
        self._settled = settled
        self.replies = ReplyPublisher(link, rack.topics)
        self._queue: deque[_Waiting] = deque()
        self._numbers = 0
        self._settled_number = 0
        self._last_commit = ""
        self._draining = False
        self._committing: asyncio.Task[None] | None = None
        self._flushing = False
        self._flush_again = False
        self._stopping = False
        self._stopped = False
        self.tasks = Tasks()
        """Everything under way but switchings."""
        self._probes = ProbeQueue(prober, self.tasks, self._probed)
        self.switchings = Tasks()
        self.dropped = 0
        """Effects that were dropped because the queue was full, since the start."""
        self.unwritable = ""
        """Why the last attempt to write to the disk failed; empty: it did not."""

    @property
    def waiting(self) -> int:
        """Effects that wait for the disk."""
        return len(self._queue)

    def errors(self) -> dict[str, int]:
        """Returns what was given up, by kind."""
        given_up = {
            "replies given up": self.replies.lost,
            "effects dropped": self.dropped,
        }
        return {kind: count for kind, count in given_up.items() if count}

    def perform(self, effects: Effects) -> None:
        """Puts effects into the queue, and runs what need not wait.

        What fails unforeseen holds up nothing else; the next last reply of the same
        list tells it.
        """
        errors = ListErrors()
        for position, effect in enumerate(effects, start=1):
            if _droppable(effect) and self._full():
                continue
            if isinstance(effect, Persist | Commit):
                self._numbers += 1
            last = position == len(effects)
            self._queue.append(_Waiting(effect, errors, self._numbers, last=last))
        self._drain()

    def publish_held(self) -> None:
        """Publishes the last replies that found no broker, or no place in its queue."""
        self.replies.publish_held()

    def probe(self, node: RackNode, *, urgent: bool = False) -> None:
        """Asks a board whether it is there, soon; see ``ProbeQueue.ask``."""
        if not self._stopping:
            self._probes.ask(node, urgent=urgent)

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that takes time and may change the rack.

        Args:
            name: What it is, for the log.
            work: The coroutine.
        """
        self._spawn(name, self._then_settled(work))

    def keep_outlet(self, outlet: OutletState) -> None:
        """Queues an outlet's record for the disk."""
        self.perform([Persist(outlet.record())])

    def commit_soon(self) -> None:
        """Writes what is queued, and does not wait for it."""
        self._flush_again = True
        if not self._flushing and not self._stopped:
            self._flushing = True
            self._spawn("flush", self._flush())

    async def settle(self) -> None:
        """Waits for everything under way."""
        while len(self.tasks) or len(self.switchings):
            await self.tasks.settle()
            await self.switchings.settle()

    def halt(self) -> None:
        """Lets nothing more begin: no switching, no order, no question."""
        self._stopping = True
        self._probes.clear()
        self._switcher.halt()
        self._dispatcher.halt()

    async def stop(self) -> None:
        """Ends everything under way, each within its time; twice is fine.

        A switching under way is waited for; one that takes too long is left, and its
        level is unknown from then on. The next start takes up what is on disk.
        """
        self.halt()
        await self._within(STOP_SWITCHING_S, self.switchings.settle())
        await self.switchings.stop()
        if self._committing is not None:
            await self._within(STOP_COMMIT_S, asyncio.wait([self._committing]))
        self._stopped = True
        await self.tasks.stop()
        self._committing = None
        self._queue.clear()  # as if it was killed now: the next start goes on

    @staticmethod
    async def _within(seconds: float, work: Coroutine[Any, Any, Any] | Any) -> None:  # noqa: ANN401  # anything to wait for
        try:
            async with asyncio.timeout(seconds):
                await work
        except TimeoutError:
            log.warning("something under way did not end within %.0f s", seconds)

    # --- the queue --------------------------------------------------------------------

    def _full(self) -> bool:
        if len(self._queue) < WAITING_AT_MOST:
            return False
        self.dropped += 1
        if self.dropped == 1:
            log.error("%d effects wait for the disk; replies are dropped", self.waiting)
        return True

    def _drain(self) -> None:
        """Runs effects from the front until a commit there has to wait."""
        if self._draining or self._committing is not None:
            return
        self._draining = True
        try:
            while self._queue:
                first = self._queue[0]
                if self._must_wait(first):
                    self._begin_commit()
                    return
                self._queue.popleft()
                self._take(first)
        finally:
            self._draining = False

    def _must_wait(self, one: _Waiting) -> bool:
        """Returns whether it is a commit that something in its list waits for."""
        commits = isinstance(one.effect, Commit) and not one.last
        return commits and one.number > self._settled_number and not self._stopped

    def _take(self, one: _Waiting) -> None:
        if isinstance(one.effect, Commit):
            if one.last:
                self.commit_soon()
            one.errors.committed(one.effect, self._last_commit)
        elif not one.done and not (self._stopping and isinstance(one.effect, _BEGINS)):
            self._attempt(one.effect, one.errors)

    def _begin_commit(self) -> None:
        """Writes the rows before the first commit, and those of further commits."""
        number = self._queue[0].number
        for one in self._queue:
            if isinstance(one.effect, Persist):
                # The last reply to a command must not be lost: it is sent first.
                if isinstance(one.effect.row, CommandEnded):
                    break
                one.done = True
                self._attempt(one.effect, one.errors)
            number = one.number
        work = self._commit_and_go_on(number)
        self._committing = self.tasks.spawn("commit", work)

    async def _commit_and_go_on(self, number: int) -> None:
        self._last_commit = await self._commit()
        self._settled_number = number
        self._committing = None
        self._drain()
        self._settled()

    async def _flush(self) -> None:
        try:
            while self._flush_again:
                self._flush_again = False
                await self._commit()
        finally:
            self._flushing = False

    async def _commit(self) -> str:
        """Writes what is queued; returns why it could not be."""
        why = ""
        try:
            async with asyncio.timeout(COMMIT_S):
                await self._store.commit()
        except TimeoutError:
            why = f"the disk did not answer within {COMMIT_S:.0f} s"
            log.error("%s", why)  # noqa: TRY400  # the traceback tells nothing
        except Exception as error:  # of any kind: not on disk means not begun
            why = str(error)
            if why != self.unwritable:  # a full card must not fill the log as well
                log.exception("the master's state cannot be written; free some space")
        if self.unwritable and not why:
            log.warning("the master's state is written again")
        self.unwritable = why
        return why

    # --- one effect -------------------------------------------------------------------

    def _attempt(self, effect: Effect, errors: ListErrors) -> None:
        try:
            self._run(effect, errors)
        except Exception as error:  # noqa: BLE001  # noted; the others must be done
            log_failure(f"effect {type(effect).__name__}", error)
            why = errors.note(effect, error)
            if isinstance(effect, SendOrder):  # told in its row
                errors.untold = ""
                self._undelivered(effect, why)

    def _run(self, effect: Effect, errors: ListErrors) -> None:
        match effect:
            case Persist(row):
                self._persist(row)
            case SendOrder() if errors.obstacle:
                self._undelivered(effect, errors.obstacle)
            case SendOrder():
                self._send(effect)
            case SwitchOutlet():
                work = self._switch(effect, errors.obstacle)
                _ = self.switchings.spawn(f"switch {effect.outlet}", work)
            case SendReply(reply, route):
                if (told := errors.told(reply)) is not None:
                    self._dispatcher.replied(told)
                    self.replies.publish(SendReply(told, route))
            case PingBoard(node_id):
                self._ask(node_id)
            case ClearTopics(topics):
                self._clear(topics)
            case PublishAll():
                self._publisher.everything()
            case BeginTask(name, make):
                self._spawn(name, make(errors.obstacle))

    def _persist(self, row: Record) -> None:
        self._store.put(row)
        match row:
            case OutletRecord(name) if name in self._rack.panel.outlets:
                self._publisher.stack(self._rack.panel.outlets[name].row.stack)
            case Lock(scope=scope) | LockEnd(scope=scope):
                self._publisher.stack(locked_stack(scope))

    def _send(self, effect: SendOrder) -> None:
        topic = self._rack.topics.node(effect.node, NodeLeaf.ORDER)
        try:
            self._link.publish(
                topic, encode(effect.order), qos=1, expiry_s=effect.order.ttl_s
            )
        except (LinkError, PayloadError) as error:
            self._undelivered(effect, str(error))

    def _undelivered(self, effect: SendOrder, why: str) -> None:
        at = self._moment()
        self.perform(
            self._dispatcher.undelivered(effect.node, effect.order.id, why, at)
        )

    def _ask(self, node_id: str) -> None:
        node = self._rack.registry.nodes.get(node_id)
        if node is not None:
            self.probe(node, urgent=True)

    def _clear(self, topics: tuple[str, ...]) -> None:
        self._router.cleared(topics, self._moment().now)
        try:
            for topic in topics:
                self._link.publish(topic, b"", qos=1, retain=True)
        except LinkError as error:
            log.warning("retained messages are not cleared yet: %s", error)

    # --- what takes time --------------------------------------------------------------

    def _spawn(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        _ = self.tasks.spawn(name, work)

    async def _then_settled(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        self._settled()

    def _probed(self, node: RackNode, found: ProbeAnswer) -> None:
        if self._rack.registry.nodes.get(node.id) is node:
            self._rack.tracker.probed(
                node, _probe(found), found.note, self._moment().now
            )
            self._settled()

    async def _switch(self, effect: SwitchOutlet, obstacle: str) -> None:
        """Switches and reads back."""
        outlet = self._rack.panel.outlets[effect.outlet]
        if obstacle:
            outlet.set_fault(obstacle)
            brought = SwitchResult(None, obstacle)
        else:
            try:
                brought = await self._switcher.bring(
                    effect.outlet, on=effect.on, look=effect.look
                )
            except asyncio.CancelledError:  # it was left, for the master stops
                outlet.lost_sight(STOPPED, switching=True)
                self.perform([Persist(outlet.record())])
                raise
            at = self._moment()
            if brought.already and brought.level is not None:
                moved = outlet.read_back(brought.level, at)
            else:
                moved = outlet.was_switched(brought.level, brought.error, at)
            if moved:
                self._rack.verdicts.outlet_moved(outlet, at.now)
        done = OutletSwitched(
            effect.outlet,
            on=effect.on,
            error=brought.error,
            begun=not obstacle,
            already=brought.already,
        )
        switched = self._dispatcher.switched(done, self._moment())
        self.perform([Persist(outlet.record()), Commit()])
        self.perform(switched)
        self._settled()


def _droppable(effect: Effect) -> bool:
    """Returns whether it is left out where too much waits for the disk."""
    asks = isinstance(effect, BeginTask) and effect.droppable
    return asks or isinstance(effect, DROPPED_WHEN_FULL)


def _probe(found: ProbeAnswer) -> PingState:
    if found.note:
        return PingState.UNAVAILABLE
    return PingState.ANSWERED if found.answered else PingState.SILENT
