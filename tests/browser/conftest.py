"""One Chromium for all, a rack of 48 boards on stage, and a signed-in page."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    Page,
    StorageState,
    expect,
    sync_playwright,
)

from tests.browser.actor import Actor
from tests.browser.install_scene import Scene
from tests.browser.stage import PASSWORD, Stage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

GO = "async (path) => (await import('pirack/navigation.js')).goTo(path)"
"""As a link of the page goes to another."""
LEAVE = """() => {
  localStorage.clear();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}"""

SignIn = Callable[..., Page]

expect.set_options(timeout=20_000)
"""A slow machine is no failure; the page's own deadlines are shorter."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("stage"))
    try:
        stage.start_broker()
        stage.start_dashboard()
        yield stage
    finally:
        stage.close()


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Stage]:
    """A stage of its own, to be broken; named before ``sign_in`` it outlives pages."""
    stage = Stage(tmp_path)
    yield stage
    stage.close()


@pytest.fixture(scope="package")
def actor(stage: Stage) -> Iterator[Actor]:
    actor = Actor(stage.mqtt_port, 12, 4)
    yield actor
    actor.stop()


@pytest.fixture
def rack(actor: Actor) -> Iterator[Actor]:
    """The rack on stage; after the test it is as usual again."""
    yield actor
    actor.restore()


@pytest.fixture
def scene(rack: Actor) -> Iterator[Scene]:
    """The state of an install run, gone again after the test."""
    scene = Scene(rack)
    rack.commands.clear()
    yield scene
    scene.clear()
    rack.say(rack.topics.master_status, "online")


@pytest.fixture(scope="package")
def cookies() -> dict[tuple[str, str], StorageState]:
    """What a role's browser keeps after signing in, by address and role."""
    return {}


@pytest.fixture(scope="package")
def heard() -> list[str]:
    """What every page complains of, whichever test opened it."""
    return []


@pytest.fixture
def complaints(heard: list[str]) -> list[str]:
    """Console errors, exceptions, and requests to another host, of this test."""
    heard.clear()
    return heard


@pytest.fixture
def enter(
    browser: Browser,
    stage: Stage,
    cookies: dict[tuple[str, str], StorageState],
    complaints: list[str],
) -> SignIn:
    """Open a browser's page as a role; who does so closes it."""

    def open_page(
        role: str = "admin",
        path: str = "/",
        *,
        at: Stage | None = None,
        **more: Any,  # noqa: ANN401  # Playwright's own options
    ) -> Page:
        url = (at or stage).url
        known = cookies.get((url, role))
        context = browser.new_context(storage_state=known, **more)
        page = context.new_page()
        page.set_default_timeout(20_000)
        watch(page, url, complaints)
        page.goto(url + path)
        if known is None:
            page.fill("#name", role)
            page.fill("#password", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_selector(".page-title")
            cookies[url, role] = context.storage_state()
        return page

    return open_page


@pytest.fixture
def sign_in(enter: SignIn, complaints: list[str]) -> Iterator[SignIn]:
    """Open a page as a role; at the end it must have complained of nothing."""
    contexts = []

    def open_page(*words: str, **more: Any) -> Page:  # noqa: ANN401  # as `enter`
        page = enter(*words, **more)
        contexts.append(page.context)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="package")
def kept() -> dict[str, Page]:
    """Pages that show one test after the other."""
    return {}


@pytest.fixture
def visit(
    enter: SignIn, kept: dict[str, Page], complaints: list[str]
) -> Iterator[SignIn]:
    """Go to a page as a role, in a tab that is there already and shows About.

    It takes a fifth of the time of `sign_in`, where nothing is known. Only receipts
    outlive a page: tests that look for one sign in.
    """
    shown: list[Page] = []

    def open_page(role: str = "admin", path: str = "/", **more: Any) -> Page:  # noqa: ANN401  # as `enter`
        key = f"{role} {more}"
        if key in kept:
            kept[key].evaluate(GO, path)
        else:
            kept[key] = enter(role, path, **more)
        shown.append(kept[key])
        return kept[key]

    yield open_page
    for page in shown:
        page.evaluate(LEAVE)
        page.evaluate(GO, "/about")
        page.wait_for_selector("[data-page=about][aria-current]")
    assert complaints == []


def watch(page: Page, url: str, complaints: list[str]) -> None:
    """Note console errors, exceptions and requests to another host."""
    own = (url, url.replace("http", "ws"), "data:", "blob:")

    def asked(address: str) -> None:
        if not address.startswith(own):
            complaints.append(f"request to {address}")

    page.on("request", lambda request: asked(request.url))
    page.on("websocket", lambda socket: asked(socket.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type == "error" else None,
    )
