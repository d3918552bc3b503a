import json
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import SignIn
from tests.browser.pages import settled
from tests.browser.stage import PASSWORD, Stage

pytestmark = pytest.mark.usefixtures("rack")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Show a redirect instead of following it."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def fetch(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Ask as a stranger; return status, headers and text."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # our own server
    try:
        answer = urllib.request.build_opener(_Stay).open(request, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    text = answer.read().decode()
    return answer.status, {k.lower(): v for k, v in answer.headers.items()}, text


def test_a_stranger_sees_the_login_and_is_brought_back(
    browser: Browser, stage: Stage
) -> None:
    status, headers, _ = fetch(f"{stage.url}/about?x=1", Accept="text/html")
    assert status == HTTPStatus.SEE_OTHER
    assert headers["location"] == "/login?next=%2Fabout%3Fx%3D1"
    page = browser.new_page()
    page.goto(f"{stage.url}/about")
    expect(page.locator("#name")).to_be_focused()
    page.fill("#name", "viewer")
    page.fill("#password", "wrong")
    page.click("button[type=submit]")
    expect(page.locator("[role=alert]")).to_contain_text("do not belong together")
    expect(page.locator("#password")).to_be_focused()
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    expect(page.locator(".about")).to_be_visible()
    settled(page)
    heights = "all => new Set(all.map(each => each.offsetHeight)).size"
    assert page.locator(".about dt").evaluate_all(heights) == 1  # none wraps
    page.close()


def fonts(page: Page, selector: str) -> list[str]:
    """The fonts that a text is drawn with, as Chromium tells them."""
    asked = settled(page).context.new_cdp_session(page)
    asked.send("DOM.enable")
    asked.send("CSS.enable")
    root = asked.send("DOM.getDocument")["root"]["nodeId"]
    where = {"nodeId": root, "selector": selector}
    node = asked.send("DOM.querySelector", where)["nodeId"]
    used = asked.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return [font["familyName"] for font in used]


def test_the_login_is_set_in_the_font_of_the_other_pages(
    browser: Browser, sign_in: SignIn, stage: Stage
) -> None:
    page = browser.new_page()
    page.goto(f"{stage.url}/login")
    assert fonts(page, "label") == fonts(sign_in(), ".page-title") != []
    page.close()


def test_a_login_never_leads_to_another_site(sign_in: SignIn, stage: Stage) -> None:
    page = sign_in(path="/login?next=//evil.example/")  # the form, or at once

    expect(page.locator(".page-title")).to_have_text("Overview")
    assert page.url.startswith(stage.url)


@pytest.mark.parametrize(
    "path", ["/", "/about", "/api/x", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"]
)
def test_programs_without_a_session_are_told_plainly(stage: Stage, path: str) -> None:
    status, _, text = fetch(stage.url + path)

    assert status == HTTPStatus.UNAUTHORIZED
    assert json.loads(text) == {"error": "sign in first"}


def test_health_is_open_and_every_answer_carries_the_headers(stage: Stage) -> None:
    status, headers, text = fetch(f"{stage.url}/healthz")

    assert (status, json.loads(text)) == (HTTPStatus.OK, {"status": "ok"})
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_socket_of_a_stranger_or_another_site_is_refused(
    sign_in: SignIn, browser: Browser, stage: Stage
) -> None:
    open_socket = """(url) => new Promise((done) => {
      const socket = new WebSocket(url);
      socket.onopen = () => done("open");
      socket.onerror = () => done("refused");
    })"""
    address = stage.url.replace("http", "ws") + "/_nicegui_ws/socket.io/"
    address += "?EIO=4&transport=websocket"
    stranger = browser.new_page()
    stranger.goto(f"{stage.url}/login")
    assert stranger.evaluate(open_socket, address) == "refused"
    stranger.close()
    page = sign_in()
    expect(page.locator(".pill-text")).to_have_text("Live")
    assert page.evaluate(open_socket, address) == "open"
    elsewhere = page.context.new_page()
    elsewhere.goto(f"{stage.url.replace('127.0.0.1', 'localhost')}/login")
    assert elsewhere.evaluate(open_socket, address) == "refused"


def test_signing_out_ends_every_tab(
    sign_in: SignIn, cookies: dict[tuple[str, str], object]
) -> None:
    cookies.clear()
    page = sign_in()
    expect(page.locator(".pill-text")).to_have_text("Live")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator(".pill-text")).to_have_text("Live")

    page.click(".avatar")
    page.click("text=Sign out")

    expect(page.locator("#password")).to_be_visible()
    expect(other.locator("#password")).to_be_visible()
    cookies.clear()


def test_a_tab_that_reconnects_after_its_session_ended_shows_the_login(
    sign_in: SignIn, complaints: list[str]
) -> None:
    page = sign_in(path="/activity")
    expect(page.locator(".pill-text")).to_have_text("Live")
    page.context.clear_cookies()

    page.evaluate("window.socket.io.engine.close()")

    expect(page.locator("#password")).to_be_visible()
    assert page.url.endswith("/login?next=%2Factivity")
    complaints.clear()  # the refused socket, in the browser's console


def test_a_cross_site_form_changes_nothing(stage: Stage) -> None:
    request = urllib.request.Request(  # noqa: S310  # our own server
        f"{stage.url}/login",
        data=b"name=admin&password=x",
        headers={"Origin": "http://evil.example"},
    )

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)  # noqa: S310  # our own server
    assert refused.value.code == HTTPStatus.FORBIDDEN
    refused.value.close()
