"""The signed-in pages, inside one frame that stays while one goes from page to page."""

import html
import platform
import re
from collections.abc import Callable
from importlib import resources

import msgspec
import nicegui
from nicegui import app, ui
from starlette.requests import Request

from broker import VERSION
from dashboard.live.service import Dashboard
from dashboard.pages.frame import Frame
from dashboard.pages.vocabulary import vocabulary
from dashboard.server.sessions import Sessions

LICENCE = "Apache-2.0"

_ORIGINAL_AUTHORS = (
    "the PiRack students of ENSEIRB-MATMECA, Bordeaux, who built the first PiRack "
    "in 2016: a rack of Raspberry Pis, a relay board, and a page to command them"
)
_TUTORIALS = (
    "the RaspberryPiCluster tutorials, whose primary, nodes and their base class "
    "showed how little a cluster needs to say to be alive"
)


class OverviewPage(ui.element, component="../components/overview.js"):
    """The rack; it draws what the frame receives."""


class ActivityPage(ui.element, component="../components/activity.js"):
    """The rack's history; it draws what the frame receives, and asks for more."""


class InstallPage(ui.element, component="../components/install.js"):
    """The install run; it draws what the frame receives while this page is open."""


class Pages:
    """Builds the signed-in pages.

    Args:
        static: Where static files are served, with their version.
    """

    def __init__(self, dashboard: Dashboard, sessions: Sessions, static: str) -> None:
        self._dashboard = dashboard
        self._sessions = sessions
        self._static = static
        self._pages: dict[str, tuple[str, Callable[[], object]]] = {
            "/": ("overview", OverviewPage),
            "/install": ("install", InstallPage),
            "/activity": ("activity", ActivityPage),
            "/about": ("about", self._about),
        }
        """By path: its name, as in parts/navigation.js, and what builds it."""

    def mount(self) -> None:
        """Adds the routes; all lead into the same frame."""
        for path in self._pages:
            ui.page(path, title=f"PiRack · {self._dashboard.model.topics.rack}")(
                self.shell
            )
        sheets = "".join(
            f'<link rel="stylesheet" href="{self._static}/{name}.css">'
            for name in ("tokens", "frame", "overview", "activity", "panel", "install")
        )
        ui.add_head_html(
            f'<script src="{self._static}/theme.js"></script>{sheets}'
            '<meta name="theme-color" content="#c51a4a">'
            f'<script type="application/json" id="vocabulary">{_words()}</script>'
            f'<template id="icons">{_icons()}</template>',
            shared=True,
        )

    def shell(self, request: Request) -> None:
        """Builds the frame and the page inside it."""
        cookie = request.session
        user = self._sessions.user(cookie)
        if user is None:
            ui.navigate.to("/login")
            return
        alive = self._sessions.watch(str(cookie["session"]), user)
        frame = Frame(self._dashboard, user, alive)
        with ui.element("div").props('id=main tabindex="-1"'):
            ui.sub_pages(
                {
                    path: self._page(frame, name, build)
                    for path, (name, build) in self._pages.items()
                }
            )

    @staticmethod
    def _page(
        frame: Frame, name: str, build: Callable[[], object]
    ) -> Callable[[], None]:
        def page() -> None:
            frame.show(name)
            build()

        return page

    def _about(self) -> None:
        model = self._dashboard.model
        master = model.master_details
        with ui.element("article").classes("about"):
            _text("h2", "PiRack")
            _text("p", "See, command, power and provision a rack of Raspberry Pis.")
            with ui.element("dl").classes("facts"):
                _fact("Version", VERSION)
                _fact("Licence", LICENCE)
                _fact("Rack", model.topics.rack)
                _fact("Master", master.version if master else "not heard yet")
                _fact("Boards known", str(len(model.nodes)))
                _fact("Python", platform.python_version())
                _fact("NiceGUI", nicegui.__version__)
                _fact("Refused messages", str(model.rejections.total))
                _fact("Errors of the page", str(self._dashboard.errors))
                whole = model.rack
                errors = sum(whole.errors.values()) if whole else 0
                _fact("Errors of the master", str(errors))
            _text("h3", "With thanks to")
            with ui.element("ul"):
                _text("li", _ORIGINAL_AUTHORS)
                _text("li", _TUTORIALS)
                _text("li", "the people of Mosquitto, paho, NiceGUI and msgspec")


def _words() -> str:
    """Returns the vocabulary as JSON that no HTML parser takes for markup."""
    return msgspec.json.encode(vocabulary()).decode().replace("<", "\\u003c")


def _icons() -> str:
    """Returns the pictures; components/parts/widgets.js draws them."""
    file = resources.files("dashboard") / "components" / "icons.svg"
    return re.sub(r"\n *", "", file.read_text("utf-8"))


def _text(tag: str, text: str) -> None:
    ui.html(html.escape(text), tag=tag, sanitize=False)


def _fact(term: str, value: str) -> None:
    with ui.element("div"):
        _text("dt", term)
        _text("dd", value)


def add_lifecycle(dashboard: Dashboard) -> None:
    """Starts and stops the dashboard with the web server, on its loop."""
    app.on_startup(dashboard.start)
    app.on_shutdown(dashboard.stop)
