"""Does what the commands want done, in order.

What must be on disk first (``Commit``) makes the rest of its list wait in a task; all
else is done at once. Every task ends by itself: each thing it waits for gives up.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from broker.errors import LinkError, PayloadError
from broker.link import Link
from broker.messages import encode
from broker.topics import NodeLeaf
from master_service.answers import Answers
from master_service.commands.desk import Desk
from master_service.commands.effects import (
    Answer,
    AskBoard,
    ClearTopics,
    Commit,
    DoInstall,
    Effect,
    Effects,
    Moment,
    PublishAll,
    ReadEvents,
    SendOrder,
    Switch,
)
from master_service.failures import Failures
from master_service.historian import Historian
from master_service.install.service import Installs
from master_service.install.verb import InstallVerb
from master_service.intake import Intake
from master_service.keeper import Keeper
from master_service.node import Node
from master_service.power.panel import Fed
from master_service.power.switching import Brought, Switcher
from master_service.presence import Probe
from master_service.probe import Answer as ProbeAnswer
from master_service.probe import Prober
from master_service.publisher import Publisher
from master_service.rack import Rack
from master_service.store import Store

log = logging.getLogger(__name__)


class Performer:
    """The hands of the master.

    Args:
        rack: The rack.
        desk: Told what came of it.
        intake: Told which echoes to expect.
        publisher: Told what to publish again.
        link: Sends.
        store: Keeps.
        prober: Asks boards.
        switcher: Switches.
        installs: Provisioning: told the last word about each command.
        moment: Both clocks.
        settled: Called when something that took time may have changed the rack.
    """

    def __init__(
        self,
        *,
        rack: Rack,
        desk: Desk,
        intake: Intake,
        publisher: Publisher,
        link: Link,
        store: Store,
        prober: Prober,
        switcher: Switcher,
        installs: Installs,
        moment: Callable[[], Moment],
        settled: Callable[[], None],
    ) -> None:
        self._rack = rack
        self._desk = desk
        self._intake = intake
        self._publisher = publisher
        self._link = link
        self._store = store
        self._prober = prober
        self._switcher = switcher
        self._moment = moment
        self._settled = settled
        self._keeper = Keeper(rack, store, publisher.stack)
        self._historian = Historian(store, moment)
        self._installs = installs
        self._answers = Answers(link, rack.topics)
        self._install_verb = InstallVerb(rack, desk, installs)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._switchings: set[asyncio.Task[Any]] = set()
        self.unwritable = ""
        """Why the last attempt to write to the disk failed; empty: it did not."""

    def perform(self, effects: Effects) -> None:
        """Do some things; from the first that must wait, the rest waits with it.

        What fails unforeseen holds up nothing else; the next last word tells of it.
        """
        failures = Failures()
        for position, effect in enumerate(effects):
            if isinstance(effect, Commit | Switch):
                self._spawn(self._slowly(effects[position:], failures))
                return
            self._attempt(effect, failures)

    def connected(self) -> None:
        """Give the last words that found no broker."""
        self._answers.connected()

    def probe(self, node: Node) -> None:
        """Ask a board whether it is there."""
        self._spawn(self._probe(node))

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that takes time and may change the rack."""
        self._spawn(self._then_settled(work))

    def keep_outlet(self, fed: Fed) -> None:
        """Queue an outlet's record for the disk, and look at its stack again."""
        self._store.keep_outlet(fed.record())
        self._publisher.stack(fed.row.stack)

    def commit_soon(self) -> None:
        """Write what is queued; nobody waits for it."""
        self._spawn(self._commit())

    async def settle(self) -> None:
        """Wait for everything under way."""
        while self._tasks or self._switchings:
            under_way = {*self._tasks, *self._switchings}
            await asyncio.gather(*under_way, return_exceptions=True)

    async def stop(self) -> None:
        """End everything under way; only a switching is seen through to its end."""
        for task in self._tasks:
            task.cancel()
        await self.settle()

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        _ = self._keep_task(work, self._tasks)

    async def _then_settled(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        self._settled()

    def _keep_task(
        self, work: Coroutine[Any, Any, object], among: set[asyncio.Task[Any]]
    ) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._switchings.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the master failed", exc_info=task.exception())

    async def _slowly(self, effects: Iterable[Effect], failures: Failures) -> None:
        obstacle = ""
        for effect in effects:
            match effect:
                case Commit():
                    obstacle = await self._commit() or failures.committed()
                case Switch():
                    # Not waited for: a slow outlet must not hold up the others.
                    switching = self._switch(effect, obstacle)
                    _ = self._keep_task(switching, self._switchings)
                case SendOrder() if obstacle:
                    self._undelivered(effect, obstacle)
                case _:
                    self._attempt(effect, failures)
        self._settled()

    def _attempt(self, effect: Effect, failures: Failures) -> None:
        try:
            self._do(failures.told(effect) if isinstance(effect, Answer) else effect)
        except Exception as error:  # the others must still be done
            log.exception("the master failed at %s", type(effect).__name__)
            if isinstance(effect, SendOrder):  # told in its row
                self._undelivered(effect, Failures().note(effect, error))
            else:
                failures.note(effect, error)

    def _do(self, effect: Effect) -> None:
        match effect:
            case SendOrder():
                self._send(effect)
            case Answer():
                self._installs.told(effect.reply)
                self._answers.give(effect)
            case AskBoard(node):
                self._ask(node)
            case ClearTopics(topics):
                self._clear(topics)
            case PublishAll():
                self._publisher.everything()
            case ReadEvents():
                self._spawn(self._historian.answer(effect, self._answers.give))
            case DoInstall():
                self._spawn(self._install_verb.carry_out(effect, self._answers.give))
            case _:
                self._keeper.keep(effect)

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
        self.perform(self._desk.undelivered(effect.node, effect.order.id, why, at))

    def _ask(self, node_id: str) -> None:
        node = self._rack.registry.nodes.get(node_id)
        if node is not None:
            self.probe(node)

    def _clear(self, topics: tuple[str, ...]) -> None:
        self._intake.cleared(topics, self._moment().now)
        try:
            for topic in topics:
                self._link.publish(topic, b"", qos=1, retain=True)
        except LinkError as error:
            log.warning("retained messages are not cleared yet: %s", error)

    async def _commit(self) -> str:
        """Write what is queued; return why it could not be."""
        why = ""
        try:
            await self._store.commit()
        except Exception as error:  # whatever it is: not on disk means not begun
            why = f"not begun: it could not be put on disk first: {error}"
            if why != self.unwritable:  # a full card must not fill the log as well
                log.exception("the master's state cannot be written; free some space")
        if self.unwritable and not why:
            log.warning("the master's state is written again")
        self.unwritable = why
        return why

    async def _probe(self, node: Node) -> None:
        answer = await self._prober.probe(node.address)
        if self._rack.registry.nodes.get(node.id) is node:
            self._rack.watch.probed(
                node, _probe(answer), answer.note, self._moment().now
            )
            self._settled()

    async def _switch(self, effect: Switch, obstacle: str) -> None:
        """Switch and read back; it runs to its end even if the master is stopped."""
        fed = self._rack.panel.outlets[effect.outlet]
        if obstacle:
            brought = Brought(None, obstacle)
            fed.wanted = fed.level
        else:
            brought = await self._switcher.bring(effect.outlet, on=effect.on)
        at = self._moment()
        if brought.level is not None:
            before = fed.level
            if self._rack.panel.read_back(effect.outlet, brought.level, at.now):
                self._rack.judging.outlet_moved(fed, at.now)
            if not brought.error and before is not brought.level:
                fed.changed = at.wall
        fed.fault = brought.error
        self.keep_outlet(fed)
        _ = await self._commit()
        self.perform(self._desk.switched(effect.outlet, brought.error, at))
        self._settled()


def _probe(answer: ProbeAnswer) -> Probe:
    if answer.note:
        return Probe.UNAVAILABLE
    return Probe.ANSWERED if answer.answered else Probe.SILENT
