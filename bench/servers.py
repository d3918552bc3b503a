"""The two pages that are compared: our dashboard and naive label bindings."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable

import msgspec
from playwright.sync_api import Page

from bench import invented, services
from bench.chromium import Tiles
from bench.workshop import Workshop
from dashboard.users import ensure_admin

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
    start: Callable[[Workshop, int, int, int], "subprocess.Popen[bytes]"]
    sign_in: Callable[[Page, str], None]
    tiles: Tiles
    key: Callable[[int], str]


def ours() -> Server:
    """Return the real dashboard in its own process."""
    return Server(
        name=OURS,
        start=_start_dashboard,
        sign_in=_sign_in,
        tiles=Tiles(tile="[data-id]", key="data-id"),
        key=invented.node_id,
    )


def naive() -> Server:
    """Return the page of label bindings."""
    return Server(
        name=NAIVE,
        start=_start_naive,
        sign_in=_just_open,
        tiles=Tiles(tile="[data-node]", key="data-node"),
        key=str,
    )


def _start_naive(
    workshop: Workshop, mqtt_port: int, http_port: int, nodes: int
) -> "subprocess.Popen[bytes]":
    words = (str(mqtt_port), str(http_port), str(nodes))
    return workshop.python(NAIVE, "-m", "bench.naive_page", *words)


def _start_dashboard(
    workshop: Workshop, mqtt_port: int, http_port: int, nodes: int
) -> "subprocess.Popen[bytes]":
    del nodes
    data = workshop.folder / "dashboard"
    ensure_admin(data / "users.json", password=lambda: PASSWORD)
    table = f'[dashboard]\nhttp_port = {http_port}\ndata = "{data}"\n'
    return services.start(
        workshop, "dashboard", services.config(workshop, mqtt_port, table)
    )


def _sign_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
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
