"""Every page for everybody: by machine check, by keyboard, without motion."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from broker.contract.messages import Lock, Verdict
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.install_scene import Scene
from tests.browser.pages import barriers, board, installing, ready
from tests.browser.stage import Stage

STATES = [Verdict.LATE, Verdict.LOST, Verdict.OFF, Verdict.REBOOTING, Verdict.UNSEEN]


def all_sorts(rack: Actor) -> None:
    """Let the rack show every state there is."""
    for slot, verdict in enumerate(STATES):
        node = node_id(10 + slot // 4, slot % 4 + 1)
        rack.state(node, verdict=verdict, last_seen=1.0, reason="for the test")
    rack.beat(node_id(9, 1), temperature_c=83)
    rack.beat(node_id(9, 2), temperature_c=72)
    lock = Lock(scope="stack/9", by="ada", until=4e9)
    rack.state(node_id(9, 3), lock=lock)
    rack.stack(9, lock=lock, power="off", fault="the relay does not answer")


def overview(page: Page) -> None:
    expect(page.locator("[data-state=crit].slot")).to_have_count(1)


def cells(page: Page) -> None:
    page.click("[data-view=cells].switch")
    expect(page.locator(".cell[data-state=crit]")).to_have_count(1)


def sheet(page: Page) -> None:
    page.click(board(page, 9, 1))
    expect(page.locator(".panel .vital").first).to_contain_text("20 %")


def sheet_of_a_lost_board(page: Page) -> None:
    page.click(board(page, 10, 2))
    expect(page.locator(".panel-body.stale")).to_be_visible()


def menu(page: Page) -> None:
    page.locator(".stack").nth(8).locator(".stack-menu").click()
    expect(page.locator(".menu:popover-open")).to_be_visible()


def question(page: Page) -> None:
    menu(page)
    page.click(".menu [data-word=cycle]")
    expect(page.locator("dialog .why")).to_be_visible()


def receipt(page: Page) -> None:
    question(page)
    page.click("dialog .primary")
    expect(page.locator(".receipt[data-phase=good]")).to_be_visible()


def keys(page: Page) -> None:
    page.locator("body").press("?")
    expect(page.locator("dialog h2")).to_have_text("Keys and search")


LOOKS = [overview, sheet, sheet_of_a_lost_board, menu, question, keys, receipt, cells]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_of_the_overview_shuts_anybody_out(
    sign_in: SignIn, rack: Actor, theme: str
) -> None:
    all_sorts(rack)
    page = ready(sign_in(color_scheme=theme, reduced_motion="reduce"))
    for look in LOOKS:
        look(page)
        assert barriers(page) == [], look.__name__
        page.keyboard.press("Escape")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/activity", "/about", "/install"])
def test_no_page_shuts_anybody_out(
    visit: SignIn, rack: Actor, path: str, theme: str
) -> None:
    page = visit(path=path, color_scheme=theme, reduced_motion="reduce")
    expect(page.locator(".rail-link[aria-current]")).to_have_attribute("href", path)
    expect(page.locator(".pill-text")).to_have_text("Live")
    rack.event("something happened", node=node_id(1, 1))

    assert barriers(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("look", ["idle", "confirm", "scanning", "stored", "done"])
def test_no_state_of_an_install_run_shuts_anybody_out(
    visit: SignIn, rack: Actor, scene: Scene, look: str, theme: str
) -> None:
    getattr(scene, look, scene.scanning)()
    if look == "stored":
        rack.say(rack.topics.master_status, "offline")
    page = visit(path="/install", color_scheme=theme, reduced_motion="reduce")
    expect(installing(page, live=look != "stored").locator(".in-hero")).to_be_visible()

    assert barriers(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_shuts_nobody_out(browser: Browser, stage: Stage, theme: Any) -> None:  # noqa: ANN401  # Playwright's literal
    page = browser.new_page(color_scheme=theme)
    page.goto(f"{stage.url}/login")
    page.fill("#name", "ada")
    page.fill("#password", "wrong")
    page.click("button[type=submit]")
    expect(page.locator("[role=alert]")).to_be_visible()

    assert barriers(page) == []
    page.close()


def test_a_stack_is_pinged_and_a_board_is_read_by_keyboard_alone(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in("operator"))
    focused = "() => document.activeElement.className"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "skip"
    page.keyboard.press("Enter")
    while page.evaluate(focused) != "icon-button stack-menu":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".menu:popover-open [data-verb=ping]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".receipt[data-phase=good]")).to_contain_text("Stack 01")
    expect(page.locator(".stack-menu").first).to_be_focused()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".panel h2")).to_be_focused()
    while page.evaluate("() => document.activeElement.dataset.verb") != "ping":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    receipt = page.locator(".receipt[data-phase=good]", has_text="s01n1")
    expect(receipt).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_be_hidden()
    expect(page.locator(board(page, 1, 1))).to_be_focused()
    assert [topic.split("lab/")[1] for topic, _ in rack.commands] == [
        "stack/1/cmd/ping",
        f"node/{node_id(1, 1)}/cmd/ping",
    ]


def test_a_question_gives_the_focus_back(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    page.locator(".stack-menu").first.focus()
    page.keyboard.press("Enter")
    page.locator(".menu [data-verb=reboot]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog .button", has_text="Cancel")).to_be_focused()

    page.keyboard.press("Escape")

    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".stack-menu").first).to_be_focused()
    assert rack.commands == []


@pytest.mark.parametrize(
    ("motion", "moves"), [("reduce", False), ("no-preference", True)]
)
def test_nothing_moves_for_who_asked_for_that(
    sign_in: SignIn, rack: Actor, motion: str, *, moves: bool
) -> None:
    page = ready(sign_in(reduced_motion=motion))
    rack.state(node_id(2, 1), verdict=Verdict.REBOOTING)
    expect(page.locator(board(page, 2, 1))).to_have_attribute("data-state", "busy")

    turning = page.evaluate(
        """() => document.getAnimations()
        .filter((each) => each.animationName === "turn").length"""
    )
    assert (turning > 0) is moves
