"""Does what the commands want done, in order.

What must be on disk first (``Commit``) makes the rest of its list wait in a task; all
else is done at once. Every task ends by itself: each thing it waits for gives up.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from broker.errors import LinkError, PayloadError
from broker.link import Link
from broker.messages import encode
from broker.topics import NodeLeaf
from master_service.commands.desk import Desk
from master_service.commands.effects import (
    Answer,
    AskBoard,
    Bury,
    ClearTopics,
    Commit,
    Effect,
    Effects,
    KeepDone,
    KeepNode,
    KeepOutlet,
    Moment,
    PublishAll,
    SendOrder,
    Switch,
    Unbury,
)
from master_service.intake import Intake
from master_service.node import Node
from master_service.power.outlets import OutletBusyError, Outlets, PowerError
from master_service.presence import Probe
from master_service.probe import Answer as ProbeAnswer
from master_service.probe import Prober
from master_service.publisher import Publisher
from master_service.rack import Rack
from master_service.store import Store

log = logging.getLogger(__name__)

SWITCH_ATTEMPTS = 3
RETRY_S = 0.5


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
        outlets: Switches.
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
        outlets: Outlets,
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
        self._outlets = outlets
        self._moment = moment
        self._settled = settled
        self._tasks: set[asyncio.Task[None]] = set()
        self._switchings: set[asyncio.Task[None]] = set()

    def perform(self, effects: Effects) -> None:
        """Do some things; from the first that must wait, the rest waits with it."""
        for position, effect in enumerate(effects):
            if isinstance(effect, Commit | Switch):
                self._spawn(self._slowly(effects[position:]))
                return
            self._do(effect)

    def probe(self, node: Node) -> None:
        """Ask a board whether it is there."""
        self._spawn(self._probe(node))

    def commit_soon(self) -> None:
        """Write what is queued; nobody waits for it."""
        self._spawn(self._commit_quietly())

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        _ = self._keep_task(work, self._tasks)

    def _keep_task(
        self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._switchings.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the master failed", exc_info=task.exception())

    async def _slowly(self, effects: Iterable[Effect]) -> None:
        obstacle = ""
        for effect in effects:
            match effect:
                case Commit():
                    obstacle = await self._commit()
                case Switch():
                    switching = self._switch(effect, obstacle)
                    await asyncio.shield(self._keep_task(switching, self._switchings))
                case SendOrder() if obstacle:
                    self._undelivered(effect, obstacle)
                case _:
                    self._do(effect)
        self._settled()

    def _do(self, effect: Effect) -> None:
        match effect:
            case SendOrder():
                self._send(effect)
            case Answer():
                self._answer(effect)
            case AskBoard(node):
                self._ask(node)
            case ClearTopics(topics):
                self._clear(topics)
            case PublishAll():
                self._publisher.everything()
            case _:
                self._keep(effect)

    def _keep(self, effect: Effect) -> None:
        match effect:
            case KeepNode(node) if node in self._rack.registry.nodes:
                known = self._rack.registry.nodes[node]
                self._store.keep_node(self._rack.registry.record(known))
            case KeepOutlet(outlet):
                self._store.keep_outlet(self._rack.panel.outlets[outlet].record())
            case Bury(node):
                self._store.keep_tombstone(node)
            case Unbury(node):
                self._store.drop_tombstone(node)
            case KeepDone(command_id):
                self._store.keep_done(command_id)
            case _:
                pass

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

    def _answer(self, effect: Answer) -> None:
        route = effect.route
        topic = self._rack.topics.reply(route.scope, route.verb)
        try:
            payload = encode(effect.reply)
            self._link.publish(topic, payload, qos=1)
            if route.response_topic:
                self._link.publish(
                    route.response_topic,
                    payload,
                    qos=1,
                    correlation=route.correlation,
                )
        except (LinkError, PayloadError) as error:
            log.warning("no answer to %s %s: %s", route.scope, route.verb, error)

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
        try:
            await self._store.commit()
        except (sqlite3.Error, OSError) as error:
            log.exception("the master's state cannot be written; free some space")
            return f"not begun: it could not be put on disk first: {error}"
        return ""

    async def _commit_quietly(self) -> None:
        await self._commit()

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
        error = obstacle or await self._bring(effect)
        fed.fault = error
        at = self._moment()
        if not error:
            fed.changed = at.wall
            self._store.keep_outlet(fed.record())
            await self._commit_quietly()
        self.perform(self._desk.switched(effect.outlet, error, at))
        self._publisher.stack(fed.row.stack)
        self._settled()

    async def _bring(self, effect: Switch) -> str:
        """Bring an outlet to its level; return why it could not be."""
        error = ""
        for attempt in range(SWITCH_ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_S)
            try:
                await self._outlets.switch(effect.outlet, on=effect.on)
                level = await self._outlets.read(effect.outlet)
            except OutletBusyError as busy:
                error = f"{busy} (tried {attempt + 1} times)"
                continue
            except PowerError as fatal:
                return str(fatal)
            fed = self._rack.panel.outlets[effect.outlet]
            now = self._moment().now
            if self._rack.panel.read_back(effect.outlet, level, now):
                self._rack.judging.outlet_moved(fed, now)
            return ""
        return error


def _probe(answer: ProbeAnswer) -> Probe:
    if answer.note:
        return Probe.UNAVAILABLE
    return Probe.ANSWERED if answer.answered else Probe.SILENT
