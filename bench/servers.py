"""The two pages that are compared: our dashboard and naive label bindings."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable

import msgspec
from playwright.sync_api import Page

from bench import invented, services
from bench.chromium import Tiles
from bench.sandbox import Sandbox
from dashboard.server.users import ensure_admin

OURS = "PiRack"
NAIVE = "naive labels"
PASSWORD = "bench-only-password"  # noqa: S105  # of a page that lives for a minute


class Server(msgspec.Struct, frozen=True):
    """A page that can be started.

    Args:
        name: What the table calls it.
        start: Starts it on a broker's port and an HTTP port.
        sign_in: What a browser does first.
        tiles: Where it draws temperatures.
        key: The page's name for a node, counted from 0.
    """

    name: str
    start: Callable[[Sandbox, int, int, int], "subprocess.Popen[bytes]"]
    sign_in: Callable[[Page, str], None]
    tiles: Tiles
    key: Callable[[int], str]


def ours() -> Server:
    """Returns the real dashboard in its own process."""
    return Server(
        name=OURS,
        start=_start_dashboard,
        sign_in=lambda page, url: sign_in(page, url, "admin", PASSWORD),
        tiles=Tiles(".slot[data-node]", "data-node", ".slot-temp"),
        key=invented.node_id,
    )


def naive() -> Server:
    """Returns the page of label bindings."""
    return Server(
        name=NAIVE,
        start=_start_naive,
        sign_in=_just_open,
        tiles=Tiles("[data-node]", "data-node", ".temperature"),
        key=str,
    )


def _start_naive(
    sandbox: Sandbox, mqtt_port: int, http_port: int, nodes: int
) -> "subprocess.Popen[bytes]":
    words = (str(mqtt_port), str(http_port), str(nodes))
    return sandbox.python(NAIVE, "-m", "bench.naive_page", *words)


def _start_dashboard(
    sandbox: Sandbox, mqtt_port: int, http_port: int, nodes: int
) -> "subprocess.Popen[bytes]":
    del nodes
    settings = services.config(sandbox, mqtt_port, dashboard_table(sandbox, http_port))
    return services.start(sandbox, "dashboard", settings)


def dashboard_table(sandbox: Sandbox, http_port: int) -> str:
    """Makes the page's only user and returns its ``[dashboard]`` table."""
    data = sandbox.folder / "dashboard"
    data.mkdir()
    ensure_admin(data / "users.json", password=lambda: PASSWORD)
    return f'[dashboard]\nhttp_port = {http_port}\ndata = "{data}"\n'


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    """Opens the page; sign in where it asks for it."""
    page.goto(url)
    if page.locator("[name=password]").count():
        page.locator("[name=name]").fill(user)
        page.locator("[name=password]").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_url(url)


def _just_open(page: Page, url: str) -> None:
    page.goto(url)


def serves(url: str) -> bool:
    """Whether something answers HTTP there."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # our own URL
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
