"""The dashboard without its pages: the link, the model, the hub and the desk."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Mapping
from types import MappingProxyType

from broker.client.link import Connect, Link, Message
from broker.common import tasks
from broker.common.errors import LinkError
from broker.common.log import Rejections
from broker.common.tasks import Tasks
from broker.contract.messages import Status
from broker.contract.topics import Topics
from dashboard.live.command_sender import CommandSender
from dashboard.live.hub import Hub
from dashboard.live.model import RackModel, subscriptions
from dashboard.live.past import HistoryLoader
from dashboard.live.view import View
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import PageRole, Users

log = logging.getLogger(__name__)

CLIENT_ID = "dashboard"
_SWEEP_AFTER_S = 15.0
"""Nodes answer within 5 s after the broker is back; retained state comes sooner."""


class Dashboard:
    """Everything the pages draw from, one per process.

    Args:
        settings: ``[dashboard]``.
        rack: The rack's name.
        connect: Makes the link to the broker.
        users: Who may do what.
        publish_hint: How a ``mosquitto_pub`` line begins.
        connect_as: Makes the link by which the commands of a role are sent.
        sweep_after_s: How long the rack has to tell of itself anew, seconds.
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
        self.past = HistoryLoader(
            topics,
            self.model,
            clock=time.monotonic,
            new_id=lambda: f"page-{secrets.token_hex(8)}",
        )
        self._link: Link = connect(
            self, client_id=CLIENT_ID, subscriptions=subscriptions(topics)
        )
        self.commands.link = self.past.link = self._link
        for role, way in connect_as.items():
            name = f"{CLIENT_ID}-{role}"
            self.commands.links[role] = way(_Sender(), client_id=name, subscriptions=())
        self._tasks = Tasks()
        self._sweep_after_s = sweep_after_s
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_owed = False
        """Whether nobody could tell, when it was time, what the rack forgot."""

    @property
    def errors(self) -> int:
        """How many of its own errors the page has noted since it started."""
        return self._link.listener_errors.total + tasks.counts.total()

    async def start(self) -> None:
        """Begin to listen and to tell the tabs; the broker may come later."""
        for link in (self._link, *self.commands.links.values()):
            await link.start()
        if not len(self._tasks):
            _ = self._tasks.keep_running("tell the tabs", self.hub.run)
            _ = self._tasks.keep_running("deadlines of commands", self._desk_ticks)
            _ = self._tasks.keep_running("ask for history", self._past_ticks)

    async def stop(self) -> None:
        """Undo ``start``; calling it twice is fine."""
        self._cancel_sweep()
        await self._tasks.stop()
        for link in (*self.commands.links.values(), self._link):
            await link.stop()

    def join(self, view: View) -> None:
        """Show a tab everything from the next tick on."""
        self.hub.views.add(view)

    def leave(self, view: View) -> None:
        """Forget a tab; calling it twice is fine."""
        self.hub.views.discard(view)
        self.commands.forget(view)

    def on_connected(self, session: str) -> None:
        """The broker is there (again): doubt everything until it is heard anew."""
        log.info("broker connected, session %s", session)
        self.hub.broker_is(up=True)
        self.past.forget()
        self._sweep_later()

    def on_disconnected(self, reason: str) -> None:
        """The broker is gone: the pages freeze and say so."""
        log.warning("broker lost: %s", reason)
        self.hub.broker_is(up=False, why=reason)
        self._cancel_sweep()

    def on_message(self, message: Message) -> None:
        """Take one message into the model; bring a reply to the desk."""
        reply = self.model.apply(message, time.monotonic())
        if reply is not None:
            self.past.answer(reply)
            self.commands.answer(reply)
        if self._sweep_owed and self.model.master is Status.ONLINE:
            self._sweep_later()

    def _drop_unheard(self) -> None:
        """Forget nodes the rack forgot while we were away, once a master can tell."""
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

    async def _desk_ticks(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.commands.tick()

    async def _past_ticks(self) -> None:
        while True:
            await asyncio.sleep(1)
            # The link may be lost, or its queue be full, in this very turn.
            with contextlib.suppress(LinkError):
                self.past.tick()


class _Sender:
    """Listener of a link that only sends."""

    def on_connected(self, session: str) -> None:
        """Nothing to do."""

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the link logs it and comes back by itself."""

    def on_message(self, message: Message) -> None:
        """Nothing comes: there is no subscription."""
