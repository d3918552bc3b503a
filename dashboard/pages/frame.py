"""The frame of every page: one custom element that is the way to the browser tab."""

import logging
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from nicegui import Client, ui
from nicegui.events import GenericEventArguments

from broker.contract.messages import OnFailure
from dashboard.live.command_sender import CommandRequest, NotSentError
from dashboard.live.service import Dashboard
from dashboard.live.view import View
from dashboard.server.users import PageUser

log = logging.getLogger(__name__)

_BACKLOG = 20
"""Messages NiceGUI may still hold for a tab; beyond, it gets a snapshot instead."""


class ClientMessage(msgspec.Struct, frozen=True):
    """What a tab says to the server.

    Args:
        kind: What about.
        text: The query, for ``search``.
        node: Node id, for ``open``; empty to close.
        reference: The tab's own number of an ``ask``.
        scope: As in Ask.
        verb: As in Ask.
        args: As in Ask.
        confirm: As in Ask.
        wave: As in Ask.
        on_failure: As in Ask.
    """

    kind: Literal[
        "resync", "pause", "resume", "search", "open", "ask", "install", "no-install"
    ]
    text: str = ""
    node: str = ""
    reference: int = 0
    scope: str = ""
    verb: str = ""
    args: tuple[str, ...] = ()
    confirm: str = ""
    wave: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    on_failure: OnFailure = OnFailure.STOP


class Frame(
    ui.element,
    component="../components/frame.js",
    esm={"pirack": "../components/parts"},
):
    """Navigation, connection and theme around a page, and the tab's Port.

    Leaves the hub when it is deleted with its tab: NiceGUI removes elements, but not
    what they registered elsewhere.

    Args:
        dashboard: What to show.
        user: Who looks.
        alive: Whether the session behind this tab still holds.
    """

    def __init__(
        self, dashboard: Dashboard, user: PageUser, alive: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._dashboard = dashboard
        self._alive = alive
        self._props["settings"] = _settings(dashboard, user)
        self._props["page"] = ""
        self.view = View(self, user)
        dashboard.join(self.view)
        self.on("say", self._take)

    def show(self, page: str) -> None:
        """Mark a page as the present one."""
        self._props["page"] = page
        self.update()

    @property
    def open(self) -> bool:
        """Whether the tab listens; see Port."""
        client: Client = self.client
        return client.has_socket_connection and len(client.outbox.messages) < _BACKLOG

    def send(self, number: int, shared: str, private: str) -> None:
        """Send one message; see Port."""
        if self._alive():
            _ = self.run_method("apply", number, shared, private)
        else:
            self._turn_out()

    def _take(self, event: GenericEventArguments) -> None:
        try:
            wish = msgspec.convert(event.args, ClientMessage)
        except msgspec.ValidationError as error:
            self._dashboard.model.rejections.add("wish", str(error))
            return
        if self._alive():
            self._fulfil(wish)
        else:
            self._turn_out()

    def _turn_out(self) -> None:
        """Show the login: a tab whose session ended must not go on looking live."""
        self.client.open("/login")
        self._dashboard.leave(self.view)

    def _fulfil(self, wish: ClientMessage) -> None:
        match wish.kind:
            case "resync":
                self.view.resync()
            case "pause" | "resume":
                self.view.paused = wish.kind == "pause"
            case "search":
                self.view.search(wish.text)
            case "open":
                self.view.open_node(wish.node)
            case "install" | "no-install":
                self.view.follow_install(on=wish.kind == "install")
            case "ask":
                self._ask(wish)

    def _ask(self, wish: ClientMessage) -> None:
        ask = CommandRequest(
            wish.scope,
            wish.verb,
            wish.args,
            wish.confirm,
            wish.wave,
            wish.on_failure,
        )
        answer: dict[str, Any] = {"reference": wish.reference}
        try:
            answer["id"] = self._dashboard.commands.ask(self.view, ask)
        except NotSentError as error:
            self.view.push("refused", answer | {"text": str(error)})
        else:
            self.view.push("sent", answer)

    def _handle_delete(self) -> None:
        # NiceGUI's own hook, not documented; a test guards that it is called.
        self._dashboard.leave(self.view)
        super()._handle_delete()


class Overview(ui.element, component="../components/overview.js"):
    """The rack; it draws what the frame receives."""


class Activity(ui.element, component="../components/activity.js"):
    """The rack's history; it draws what the frame receives, and asks for more."""


class Install(ui.element, component="../components/install.js"):
    """The install run; it draws what the frame receives while this page is open."""


def _settings(dashboard: Dashboard, user: PageUser) -> dict[str, Any]:
    """Return what a tab needs to know once, beside the vocabulary that all share."""
    limits = dashboard.settings.thresholds
    return {
        "user": user.name,
        "role": user.role.value,
        "rack": dashboard.model.topics.rack,
        "prefix": dashboard.model.topics.prefix,
        "mosquittoPub": dashboard.publish_hint,
        "limits": {
            "memory": [limits.memory_warn_percent, limits.memory_crit_percent],
            "temperature": [limits.temperature_warn_c, limits.temperature_crit_c],
            "disk": [limits.disk_warn_percent, limits.disk_crit_percent],
        },
    }
