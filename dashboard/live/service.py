"""The dashboard without its pages: the link, the model, the hub and the commands."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from broker.client.link import Connect, Link, Message
from broker.common import tasks
from broker.common.errors import LinkError
from broker.common.log import Rejections
from broker.common.tasks import Tasks
from broker.contract.messages import Command, Reply, Status, encode
from broker.contract.topics import Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from dashboard.live.command_sender import CommandSender
from dashboard.live.hub import Hub, View
from dashboard.live.model import RackModel, subscriptions
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import PageRole, Users

log = logging.getLogger(__name__)

CLIENT_ID = "dashboard"
LINES = 200
"""Lines of history asked for: what the side column folds and the Activity page begins
with."""
PATIENCE_S = 10.0
"""Seconds after which an unanswered question for history is put again."""
_SWEEP_AFTER_S = 15.0
"""Nodes answer within 5 s after the broker is back; retained state comes sooner."""


class HistoryLoader:
    """Asks the master for recent history, so that a fresh page is not blank.

    It asks once for each life of the broker's connection and of the master.

    Args:
        clock: Monotonic time, seconds.
        new_id: Makes command ids.
    """

    def __init__(
        self,
        topics: Topics,
        model: RackModel,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.link: Link | None = None
        self._topic = topics.command(Scope(ScopeKind.RACK), Verb.EVENTS)
        self._model = model
        self._clock = clock
        self._new_id = new_id
        self._asked = ""
        self._again_at = 0.0
        self._known = False

    def forget(self) -> None:
        """Makes the next tick ask again: lines may have been missed."""
        self._known = False
        self._again_at = 0.0

    def tick(self) -> None:
        """Asks if something may be missing and the master can answer."""
        if self._model.master is not Status.ONLINE:
            self.forget()
            return
        now = self._clock()
        if self._known or now < self._again_at:
            return
        if self.link is None or not self.link.connected:
            return
        self._asked = self._new_id()
        self._again_at = now + PATIENCE_S
        command = Command(id=self._asked, args=(f"limit={LINES}",))
        self.link.publish(self._topic, encode(command), qos=1)

    def answer(self, reply: Reply) -> None:
        """Adds the lines of an answer to our question; ignores other answers."""
        if not self._asked or reply.id != self._asked:
            return
        if reply.phase.final:
            self._known = True
        self._model.recall(reply.events)


class Dashboard:
    """Everything the pages draw from, one per process.

    Args:
        connect: Makes the link to the broker.
        publish_hint: How a ``mosquitto_pub`` line begins.
        connect_as: Makes the link by which the commands of a role are sent.
        sweep_after_s: How long the rack has to publish everything again, seconds.
    """

    def __init__(
        self,
        settings: DashboardSettings,
        rack: str,
        connect: Connect,
        users: Users,
        *,
        publish_hint: str,
        connect_as: Mapping[PageRole, Connect] = MappingProxyType({}),
        sweep_after_s: float = _SWEEP_AFTER_S,
    ) -> None:
        topics = Topics(rack)
        self.settings = settings
        self.publish_hint = publish_hint
        self.model = RackModel(topics, Rejections("dashboard"))
        self.hub = Hub(
            self.model,
            settings.thresholds,
            tick_s=settings.tick_ms / 1000,
            clock=time.monotonic,
            wall=time.time,
        )
        self.commands = CommandSender(
            topics, users, clock=time.monotonic, new_id=lambda: secrets.token_hex(8)
        )
        self.history = HistoryLoader(
            topics,
            self.model,
            clock=time.monotonic,
            new_id=lambda: f"page-{secrets.token_hex(8)}",
        )
        self._link: Link = connect(
            self, client_id=CLIENT_ID, subscriptions=subscriptions(topics)
        )
        self.commands.link = self.history.link = self._link
        for role, way in connect_as.items():
            name = f"{CLIENT_ID}-{role}"
            self.commands.links[role] = way(_Sender(), client_id=name, subscriptions=())
        self._tasks = Tasks()
        self._sweep_after_s = sweep_after_s
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_owed = False
        """Whether no master could tell, when it was time, what the rack forgot."""

    @property
    def errors(self) -> int:
        """How many of its own errors the page has noted since it started."""
        return self._link.listener_errors.total + tasks.counts.total()

    async def start(self) -> None:
        """Begins to listen and to tell the tabs; the broker may come later."""
        for link in (self._link, *self.commands.links.values()):
            await link.start()
        if not len(self._tasks):
            _ = self._tasks.keep_running("tell the tabs", self.hub.run)
            _ = self._tasks.keep_running("deadlines of commands", self._command_ticks)
            _ = self._tasks.keep_running("ask for history", self._history_ticks)

    async def stop(self) -> None:
        """Undoes ``start``; calling it twice is fine."""
        self._cancel_sweep()
        await self._tasks.stop()
        for link in (*self.commands.links.values(), self._link):
            await link.stop()

    def join(self, view: View) -> None:
        """Shows a tab everything from the next tick on."""
        self.hub.views.add(view)

    def leave(self, view: View) -> None:
        """Forgets a tab; calling it twice is fine."""
        self.hub.views.discard(view)
        self.commands.forget(view)

    def on_connected(self, session: str) -> None:
        """Doubts everything until it is heard again: the broker is (back) there."""
        log.info("broker connected, session %s", session)
        self.hub.broker_is(up=True)
        self.history.forget()
        self._sweep_later()

    def on_disconnected(self, reason: str) -> None:
        """Freezes the pages, which say why: the broker is gone."""
        log.warning("broker lost: %s", reason)
        self.hub.broker_is(up=False, why=reason)
        self._cancel_sweep()

    def on_message(self, message: Message) -> None:
        """Updates the model from one message; passes a reply to who asked."""
        reply = self.model.apply(message, time.monotonic())
        if reply is not None:
            self.history.answer(reply)
            self.commands.answer(reply)
        if self._sweep_owed and self.model.master is Status.ONLINE:
            self._sweep_later()

    def _drop_unheard(self) -> None:
        """Forgets nodes the rack forgot while we were away, once a master can tell."""
        self._sweep_owed = self.model.master is not Status.ONLINE
        if not self._sweep_owed:
            self.model.drop_unconfirmed()

    def _sweep_later(self) -> None:
        self._cancel_sweep()
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self._sweep_after_s, self._drop_unheard)

    def _cancel_sweep(self) -> None:
        self._sweep_owed = False
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def _command_ticks(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.commands.tick()

    async def _history_ticks(self) -> None:
        while True:
            await asyncio.sleep(1)
            # The link may be lost, or its queue be full, in this very turn.
            with contextlib.suppress(LinkError):
                self.history.tick()


class _Sender:
    """Listener of a link that only sends: the link logs outages and comes back."""

    def on_connected(self, session: str) -> None:
        """Does nothing."""

    def on_disconnected(self, reason: str) -> None:
        """Does nothing."""

    def on_message(self, message: Message) -> None:
        """Does nothing: there is no subscription."""
