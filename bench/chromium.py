"""One real browser: Chromium, driven by Playwright, and what it sees change."""

import contextlib
import shutil
from collections.abc import Iterator

import msgspec
from playwright.sync_api import Browser, Error, Page, ViewportSize, sync_playwright

from bench.feeder import Seen
from bench.sandbox import BenchError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_TRIES = 5
WINDOW = ViewportSize(width=1440, height=900)

_OBSERVE = r"""
spec => {
  const last = new Map();
  window.benchSeen = [];
  new MutationObserver(mutations => {
    const now = Date.now() / 1000;
    for (const { target } of mutations) {
      const isText = target.nodeType === Node.TEXT_NODE;
      const tile = (isText ? target.parentElement : target)?.closest(spec.tile);
      const number = tile?.querySelector(spec.value)?.textContent.match(/\d+/)?.[0];
      if (!number) continue;
      const key = tile.getAttribute(spec.key);
      if (last.get(key) === number) continue;
      last.set(key, number);
      window.benchSeen.push([now, key, Number(number)]);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}
"""


class Tiles(msgspec.Struct, frozen=True):
    """Where a page shows a node's temperature.

    Args:
        tile: CSS selector of the element around everything a node shows.
        key: Attribute of it that names the node.
        value: CSS selector, within it, of the temperature.
    """

    tile: str
    key: str
    value: str


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Starts Chromium without a window; leaving closes it.

    Raises:
        BenchError: It is not installed.
    """
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        text = "no Chromium is installed: run `apt install chromium`"
        raise BenchError(text)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield opened
        finally:
            opened.close()


def observe(page: Page, tiles: Tiles) -> None:
    """Begins to note when which node's temperature changes.

    Raises:
        BenchError: The page never stayed: its server cannot feed it.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(Error):  # it was just being loaded anew
            page.evaluate(_OBSERVE, msgspec.to_builtins(tiles))
            return
        page.wait_for_load_state()
    text = f"the page was loaded anew {_TRIES} times before it could be watched"
    raise BenchError(text)


def seen(page: Page, numbers: dict[str, int]) -> list[Seen]:
    """Returns what changed since ``observe``; nothing if it was loaded again.

    A page that its server cannot feed any more does that.

    Args:
        page: The page.
        numbers: Number of a node by the page's name for it.
    """
    rows: list[tuple[float, str, int]] = page.evaluate("window.benchSeen ?? []")
    return [(at, numbers[key], value) for at, key, value in rows if key in numbers]
