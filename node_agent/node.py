"""A node: presence, details, heartbeats, and orders executed and answered.

``Node`` is the agent, and the base class for nodes of your own that do more:

    class Greenhouse(Node):
        async def extra(self) -> Mapping[str, float]:
            return {"soil_percent": await read_soil()}

Those numbers go out with every heartbeat. ``examples/counter_node.py`` runs.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from broker.client.link import Connect, Message, Subscription
from broker.common import tasks
from broker.common.errors import ContractError
from broker.common.log import Rejections
from broker.contract.messages import MasterDetails, Order, decode
from broker.contract.messages.node import Status
from broker.contract.topics import HOME_ASSISTANT_STATUS, NodeLeaf, Topics
from node_agent import report
from node_agent.actions import Actions
from node_agent.board import Board
from node_agent.node_publisher import NodePublisher
from node_agent.order_executor import AT_ONCE, OrderExecutor
from node_agent.order_memory import OrderMemory
from node_agent.runner import Runner

log = logging.getLogger(__name__)

REFRESH_SPREAD_S = 5.0
"""A whole rack is asked at once; it answers over this time."""
FACTS_EVERY_S = 60.0
PROBES_WITHIN_S = 5.0
"""How long a node waits for its probes before it goes on with what is known."""
PROBE_AGAIN_S = 30.0
"""After this, what did not answer is probed again; doubled up to ``PROBE_LATEST_S``."""
PROBE_LATEST_S = 600.0
EXTRA_WITHIN_S = 2.0
"""How long ``extra`` may take; the heartbeat then goes out without it."""

_JUST_PUBLISHED_S = 1.0
"""The master's stored ``online`` comes right after connecting, when all was sent."""
_ONLINE = Status.ONLINE.encode()


class Node:
    """One node; from ``start`` to ``stop`` it reports its machine and obeys orders.

    Args:
        node_id: Stable id, ``pi-`` and eight hex digits; also its MQTT client id.
        actions: The aliases it obeys.
        interval_s: Seconds between heartbeats.
        memory: Remembers obeyed orders, also across a reboot.
        at_once: How many programs it runs at the same time.
        restart: Ends this agent and starts it again; None where nothing would start
            it, and ``restart-agent`` is refused.
        wrong: What is known to be wrong with this node, by part; details name it.
    """

    def __init__(
        self,
        node_id: str,
        *,
        board: Board,
        actions: Actions,
        runner: Runner,
        connect: Connect,
        topics: Topics,
        interval_s: float = 10.0,
        memory: OrderMemory | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        at_once: int = AT_ONCE,
        restart: Callable[[], None] | None = None,
        wrong: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.node_id = node_id
        self.master: MasterDetails | None = None
        """The master's details, once they were received."""
        self.rejections = Rejections(node_id)
        """Bad input, by kind."""
        self._topics = topics
        self._interval_s = interval_s
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, keeps no secret
        self._order_topic = topics.node(node_id, NodeLeaf.ORDER)
        self._link = connect(
            self,
            client_id=node_id,
            subscriptions=self._subscriptions(),
            status_topic=topics.node(node_id, NodeLeaf.STATUS),
        )
        self._publisher = NodePublisher(
            node_id,
            board=board,
            link=self._link,
            topics=topics,
            interval_s=interval_s,
            rejections=self.rejections,
            clock=clock,
        )
        for part, why in wrong.items():
            self._publisher.note(part, why)
        self._executor = OrderExecutor(
            actions=actions,
            runner=runner,
            memory=memory or OrderMemory(),
            answer=self._publisher.publish_result,
            refresh=self._probe_and_refresh,
            clock=clock,
            at_once=at_once,
            restart=restart,
        )
        self._beating: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._awaiting_probes = False

    # -- what a subclass overrides ------------------------------------------------

    async def extra(self) -> Mapping[str, float]:
        """Returns further numbers, sent with every heartbeat; override it.

        Called once a heartbeat on the loop, so it awaits what takes time. What it
        raises, and what is not a number by name, is counted, logged once and named in
        ``unreadable`` of the details; the heartbeat goes out without it.

        Returns:
            Number by name, the unit in the name: ``{"fan_rpm": 2400.0}``; at most 32.
        """
        return {}

    def on_master(self, details: MasterDetails) -> None:
        """Handles the master's details, when they come and change; override it.

        They are also in ``master``.
        """

    # -- life ---------------------------------------------------------------------

    async def start(self) -> None:
        """Finds out what works here, then begins to connect; it never gives up.

        A slow board connects before all its probes have answered.
        """
        await self._probe()
        await self._link.start()

    async def stop(self, reason: str = "stopped") -> None:
        """Ends what runs, publishes why and ``offline``, disconnects; twice is fine.

        Args:
            reason: Published in details before ``offline``; a reboot, shutdown or
                restart that was ordered is named instead.
        """
        await self._executor.stop()
        for task in (self._beating, self._refreshing, self._probing):
            _cancel(task)
        if self._link.connected:
            self._publisher.publish_details(self._executor.leaving or reason)
        await self._link.stop()

    # -- Listener -----------------------------------------------------------------

    def on_connected(self, session: str) -> None:
        """Publishes details, and begins to send heartbeats."""
        self._publisher.begin(session)
        _cancel(self._beating)
        self._beating = tasks.keep_running("heartbeats", self._beat)

    def on_disconnected(self, reason: str) -> None:  # noqa: ARG002  # the link logs it
        """Stops the heartbeats; the link is being made again."""
        _cancel(self._beating)
        _cancel(self._refreshing)

    def on_message(self, message: Message) -> None:
        """Handles an order, news of the master, or Home Assistant's birth."""
        topic = message.topic
        try:
            if topic == self._order_topic:
                self._on_order(message)
            elif topic == self._topics.master_details:
                self._on_master_details(message)
            elif message.payload == _ONLINE:
                self._refresh_soon()
        except ContractError as error:
            self.rejections.add(topic.rpartition("/")[2], str(error))

    def _subscriptions(self) -> tuple[Subscription, ...]:
        """Returns disjoint filters; stored orders are not asked for."""
        return (
            Subscription(self._order_topic, qos=1, retained=False),
            Subscription(self._topics.master_details, qos=1),
            Subscription(self._topics.master_status, qos=1, retained=False),
            Subscription(HOME_ASSISTANT_STATUS, qos=1, retained=False),
        )

    def _on_order(self, message: Message) -> None:
        if not message.payload:
            return  # somebody cleared a retained order
        if message.retain:
            self._publisher.send(self._order_topic, b"", qos=1, retain=True)
        order = decode(message.payload, Order)
        wall_time = None if order.expires is None else self._publisher.trusted_time()
        self._executor.take(order, retained=message.retain, wall_time=wall_time)

    def _on_master_details(self, message: Message) -> None:
        if not message.payload:
            return  # the master was forgotten
        details = decode(message.payload, MasterDetails)
        if details == self.master:
            return
        self.master = details
        try:
            self.on_master(details)
        except Exception as error:  # noqa: BLE001  # an overriding method is anyone's
            self.rejections.add("on_master", report.shown(error))

    # -- heartbeats ---------------------------------------------------------------

    async def _beat(self) -> None:
        """Sends a heartbeat now, then one an interval, at a phase of its own."""
        due = self._clock() + self._interval_s * self._rng.uniform(0.5, 1.0)
        self._publisher.publish_heartbeat(await self._extra())
        while True:
            await self._sleep(max(0.0, due - self._clock()))
            if self._clock() - self._publisher.details_at >= FACTS_EVERY_S:
                self._publisher.publish_changed_details()
            self._publisher.publish_heartbeat(await self._extra())
            due = next_beat(due, self._clock(), self._interval_s)

    async def _extra(self) -> Mapping[str, float]:
        if type(self).extra is Node.extra:
            return {}  # spares thousands of simulated nodes a timer each
        try:
            async with asyncio.timeout(EXTRA_WITHIN_S):
                numbers, wrong = report.usable(await self.extra())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            numbers, wrong = {}, "extra() was cancelled from within"
        except TimeoutError:
            numbers, wrong = {}, f"extra() took longer than {EXTRA_WITHIN_S:g} s"
        except Exception as error:  # noqa: BLE001  # an overriding method is anyone's
            numbers, wrong = {}, report.shown(error)
        self._publisher.note("extra", wrong)
        return numbers

    # -- refresh ------------------------------------------------------------------

    def _refresh_soon(self) -> None:
        """Publishes everything again in a moment, unless that was just done."""
        pending = self._refreshing is not None and not self._refreshing.done()
        if (
            not pending
            and self._clock() - self._publisher.details_at >= _JUST_PUBLISHED_S
        ):
            self._refreshing = tasks.spawn("refresh", self._refresh())

    def _probe_and_refresh(self) -> None:
        """Publishes everything again, after a new probe: somebody asked by hand."""
        _cancel(self._refreshing)
        self._refreshing = tasks.spawn("refresh", self._refresh(probe=True))

    async def _probe(self) -> None:
        """Finds out again what works here, and waits a little for that."""
        _cancel(self._probing)
        done = asyncio.Event()
        self._awaiting_probes = True
        self._probing = tasks.keep_running("probes", lambda: self._probe_all(done))
        try:
            async with asyncio.timeout(PROBES_WITHIN_S):
                await done.wait()
        except TimeoutError:
            log.info("%s: goes on before its probes have answered", self.node_id)
        finally:
            self._awaiting_probes = False

    async def _probe_all(self, done: asyncio.Event) -> None:
        """Asks about every action, and again about those that did not answer."""
        await self._executor.probe(self._show_abilities)
        done.set()
        pause_s = PROBE_AGAIN_S
        while self._executor.probed.unanswered:
            self._publish_abilities()
            await self._sleep(pause_s)
            pause_s = min(2 * pause_s, PROBE_LATEST_S)
            await self._executor.probe(self._show_abilities, again=False)
        self._publish_abilities()

    def _show_abilities(self) -> None:
        """Puts what is known of the actions into the next details."""
        probed = self._executor.probed
        self._publisher.abilities = probed.abilities
        self._publisher.unable = probed.obstacles
        self._publisher.unprobed = probed.unanswered

    def _publish_abilities(self) -> None:
        """Publishes details that lack what is known; a refresh does so anyway."""
        if self._link.connected and not self._awaiting_probes:
            self._publisher.publish_changed_details()

    async def _refresh(self, *, probe: bool = False) -> None:
        await self._sleep(self._rng.uniform(0.0, REFRESH_SPREAD_S))
        if probe:
            await self._probe()
        self._publisher.publish_status()
        self._publisher.publish_details()
        self._publisher.publish_heartbeat(await self._extra())


def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()


def next_beat(due: float, now: float, interval_s: float) -> float:
    """Returns when to beat next, so that beats keep their pace.

    After a pause longer than an interval (a stopped process, a sleeping machine) the
    missed beats are skipped, not sent in a burst.

    Args:
        due: When the last beat was due, seconds of a monotonic clock.
    """
    following = due + interval_s
    return following if following > now else now + interval_s
