"""The frame of every page: one custom element that is the way to the browser tab."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from nicegui import Client, ui
from nicegui.events import GenericEventArguments

from dashboard.live.command_sender import CommandRequest, NotSentError
from dashboard.live.hub import View
from dashboard.live.service import Dashboard
from dashboard.server.users import PageUser

_BACKLOG = 20
"""Messages NiceGUI may still hold for a tab; beyond, it gets a snapshot instead."""


class ClientMessage(msgspec.Struct, frozen=True):
    """What a tab says to the server; one of kind ``ask`` is a CommandRequest as well.

    Args:
        kind: What about.
        text: The query, for ``search``.
        node: Node id, for ``open``; empty to close.
        reference: The tab's own number of an ``ask``.
    """

    kind: Literal[
        "resync", "pause", "resume", "search", "open", "ask", "install", "no-install"
    ]
    text: str = ""
    node: str = ""
    reference: int = 0


class Frame(
    ui.element,
    component="../components/frame.js",
    esm={"pirack": "../components/parts"},
):
    """Navigation, connection and theme around a page, and the tab's Port.

    Leaves the hub when it is deleted with its tab: NiceGUI removes elements, but not
    what they registered elsewhere.

    Args:
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
        self.on("say", self._receive)

    def show(self, page: str) -> None:
        """Marks a page as the present one."""
        self._props["page"] = page
        self.update()

    @property
    def open(self) -> bool:
        """Whether the tab listens; see Port."""
        client: Client = self.client
        return client.has_socket_connection and len(client.outbox.messages) < _BACKLOG

    def send(self, number: int, shared: str, private: str) -> None:
        """Sends one message; see Port."""
        if self._alive():
            _ = self.run_method("apply", number, shared, private)
        else:
            self._turn_out()

    def _receive(self, event: GenericEventArguments) -> None:
        request: CommandRequest | None = None
        try:
            message = msgspec.convert(event.args, ClientMessage)
            if message.kind == "ask":
                request = msgspec.convert(event.args, CommandRequest)
        except msgspec.ValidationError as error:
            self._dashboard.model.rejections.add("client message", str(error))
            return
        if not self._alive():
            self._turn_out()
        elif request is not None:
            self._ask(message.reference, request)
        else:
            self._handle(message)

    def _turn_out(self) -> None:
        """Shows the login: a tab whose session ended must not go on looking live."""
        self.client.open("/login")
        self._dashboard.leave(self.view)

    def _handle(self, message: ClientMessage) -> None:
        match message.kind:
            case "resync":
                self.view.resync()
            case "pause" | "resume":
                self.view.paused = message.kind == "pause"
            case "search":
                self.view.search(message.text)
            case "open":
                self.view.open_node(message.node)
            case "install" | "no-install":
                self.view.follow_install(on=message.kind == "install")

    def _ask(self, reference: int, request: CommandRequest) -> None:
        answer: dict[str, Any] = {"reference": reference}
        try:
            answer["id"] = self._dashboard.commands.send(self.view, request)
        except NotSentError as error:
            self.view.push("refused", answer | {"text": str(error)})
        else:
            self.view.push("sent", answer)

    def _handle_delete(self) -> None:
        # NiceGUI's own hook, not documented; a test guards that it is called.
        self._dashboard.leave(self.view)
        super()._handle_delete()


def _settings(dashboard: Dashboard, user: PageUser) -> dict[str, Any]:
    """Returns what a tab needs to know once, beside the vocabulary that all share."""
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
