import re
import time

import pytest
from playwright.sync_api import expect

from broker.contract.messages import (
    InstallState,
    InstallStep,
    Throttled,
    ThrottleFlag,
    Verdict,
)
from broker.contract.topics import NodeLeaf
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.pages import BOARD, board, ready, settled
from tests.browser.stage import Stage

pytestmark = pytest.mark.usefixtures("rack")

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


def test_every_board_is_shown_live_by_stack(sign_in: SignIn) -> None:
    page = ready(sign_in())

    expect(page.locator(".stack")).to_have_count(12)
    expect(page.locator(".kpi-online .kpi-value")).to_have_text("48")
    first = page.locator(".stack").first
    expect(first.locator(".stack-name")).to_have_text("Stack 01")
    expect(first.locator(BOARD)).to_have_count(4)
    expect(first.locator(".slot-temp").first).to_have_text("45°")


def test_a_heartbeat_changes_the_text_on_the_page(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    place = page.locator(board(page, 3, 2)).locator(".slot-temp")

    rack.beat(node_id(3, 2), temperature_c=58.6)

    expect(place).to_have_text("59°")


def test_a_hot_board_is_told_in_colour_shape_and_words(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    for _ in range(4):
        rack.beat(node_id(6, 3), temperature_c=83)
    place = page.locator(board(page, 6, 3))

    expect(place).to_have_attribute("data-state", "crit")
    expect(place.locator("svg[role=img]")).to_have_attribute("aria-label", "Critical")
    rack.beat(node_id(6, 3), temperature_c=45)
    expect(place).to_have_attribute("data-state", "ok")


def test_a_silent_board_says_since_when_and_counts_up(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    node = node_id(11, 1)
    rack.state(node, verdict=Verdict.LOST, last_seen=time.time() - 20, reason="silent")
    words = page.locator(board(page, 11, 1)).locator(".slot-words")

    expect(words).to_have_text(re.compile(r"no answer · [2-5]\d s"))
    before = words.text_content() or ""
    expect(words).not_to_have_text(before)
    expect(page.locator(".concern-title")).to_contain_text(["s11n1"])


def test_words_of_a_node_are_never_markup(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    evil = "<img src=x onerror=document.title='stolen'>"
    rack.state(node_id(1, 1), name=evil)
    rack.event(evil)

    expect(page.locator(board(page, 1, 1)).locator(".slot-name")).to_have_text(evil)
    expect(page.locator(".event-text", has_text="onerror")).to_be_visible()
    assert page.locator("main img").count() == 0
    assert "stolen" not in page.title()


def test_state_chips_filter_and_are_kept_in_the_address(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    rack.state(node_id(2, 1), verdict=Verdict.REBOOTING)
    page.locator(".chip[data-state=busy]").click()

    expect(page.locator(f"{BOARD}:not(.dim)")).to_have_count(1)
    expect(page).to_have_url(re.compile("state=busy"))
    page.keyboard.press("Escape")
    expect(page.locator(f"{BOARD}.dim")).to_have_count(0)


def test_the_search_box_finds_hints_and_opens(sign_in: SignIn) -> None:
    page = ready(sign_in())
    page.locator("body").press("/")
    page.keyboard.type("s03n2 colour:red")

    expect(page.locator(".search-hint")).to_contain_text("“colour:” is unknown")
    expect(page.locator(".search-count")).to_have_text("1 of 48")
    page.keyboard.press("Enter")
    expect(page.locator(".panel h2")).to_have_text("s03n2")
    expect(page).to_have_url(re.compile(f"q=s03n2.*node={node_id(3, 2)}"))


def test_a_shared_address_opens_the_same_view(sign_in: SignIn) -> None:
    page = sign_in(path=f"/?q=stack:3&node={node_id(3, 4)}")

    expect(page.locator(".panel h2")).to_have_text("s03n4")
    expect(page.locator(f"{BOARD}:not(.dim)")).to_have_count(4)


def test_nothing_found_says_so_with_the_way_back(sign_in: SignIn) -> None:
    page = ready(sign_in())
    page.fill(".search-input", "no-such-board")

    expect(page.locator(".empty h2")).to_have_text("No board matches")
    page.click("text=Show all boards")
    expect(page.locator(f"{BOARD}.dim")).to_have_count(0)


def test_the_rack_is_walked_by_keyboard(sign_in: SignIn) -> None:
    page = ready(sign_in())
    page.locator(board(page, 1, 1)).focus()

    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    focused = "document.activeElement.dataset.node"
    assert page.evaluate(focused) == node_id(2, 2)
    tabbable = page.locator(f'{BOARD}[tabindex="0"]')
    assert tabbable.count() == 1
    page.keyboard.press("Enter")
    expect(page.locator(".panel h2")).to_have_text("s02n2")
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_be_hidden()
    assert page.evaluate(focused) == node_id(2, 2)
    page.keyboard.press("?")
    expect(page.locator("dialog h2")).to_have_text("Keys and search")


def test_a_board_opens_its_details_and_vitals(sign_in: SignIn) -> None:
    page = ready(sign_in())
    page.click(board(page, 5, 1))
    panel = page.locator(".panel")

    expect(panel.locator(".vital").first).to_contain_text("20 %")
    expect(panel).to_contain_text(f"10000000{node_id(5, 1)[3:]}")
    expect(panel).to_contain_text("Stack 05, slot 1")


@pytest.mark.parametrize("silent", [False, True])
def test_the_sheet_says_once_that_the_supply_is_too_low(
    sign_in: SignIn, rack: Actor, *, silent: bool
) -> None:
    fault, node = "under-voltage: its supply is too low now", node_id(5, 2)
    rack.state(
        node, faults=(fault,), verdict=Verdict.LATE if silent else Verdict.ONLINE
    )
    rack.beat(node, throttled=Throttled(now=(ThrottleFlag.UNDER_VOLTAGE,)))
    page = ready(sign_in(path=f"/?node={node}"))
    panel = page.locator(".panel")

    expect(panel).to_contain_text("frequency capped: never")
    expect(panel.get_by_text("under-voltage")).to_have_count(1)
    expect(panel).to_contain_text(fault)


@pytest.mark.parametrize("path", ["/", "/activity", "/about"])
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_no_width_scrolls_sideways(sign_in: SignIn, path: str, width: int) -> None:
    page = sign_in(path=path, viewport={"width": width, "height": 844})
    expect(page.locator(".pill-text")).to_have_text("Live")
    settled(page)

    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_phone_has_targets_for_fingers(sign_in: SignIn) -> None:
    page = settled(ready(sign_in(**PHONE)))

    small = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input")]
        .filter((each) => each.checkVisibility())
        .map((each) => [each.className, each.getBoundingClientRect()])
        .filter(([name, box]) => box.width && (box.height < 44 || box.width < 44))
        .filter(([name]) => !["skip", "event-open"].includes(name))
        .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""
    )
    assert small == []
    page.locator(board(page, 1, 1)).tap()
    expect(page.locator(".panel h2")).to_have_text("s01n1")
    sheet = settled(page).locator(".panel-body")
    assert sheet.evaluate("(each) => each.scrollWidth - each.clientWidth") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_theme_is_kept(sign_in: SignIn) -> None:
    page = ready(sign_in())
    button = page.locator("[aria-label^=Theme]")
    button.click()
    button.click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(button).to_have_attribute("aria-label", "Theme: dark")


def test_about_says_what_this_is_and_the_way_back(sign_in: SignIn) -> None:
    page = ready(sign_in())
    page.click("text=About")

    expect(page.locator(".about")).to_contain_text("Apache-2.0")
    expect(page.locator(".about")).to_contain_text("ENSEIRB-MATMECA")
    page.click(".rail-link >> text=Overview")
    expect(page.locator(BOARD)).to_have_count(48)


def test_a_wrong_address_says_so(sign_in: SignIn, stage: Stage) -> None:
    page = ready(sign_in())
    answer = page.request.get(f"{stage.url}/nowhere", headers={"Accept": "text/html"})

    assert answer.status == 404
    assert "Page not found" in answer.text()


def test_the_panel_of_a_board_that_is_forgotten_shows_nothing_of_it(
    sign_in: SignIn, rack: Actor
) -> None:
    presence = rack.topics.node("pi-guest", NodeLeaf.STATUS)
    rack.say(presence, "online")
    page = sign_in(path="/?node=pi-guest")
    expect(page.locator(".panel [data-verb=ping]")).to_be_visible()

    rack.say(presence, b"")

    expect(page.locator(".panel")).to_contain_text("No node of this rack has the id")
    expect(page.locator(".panel-body")).to_be_hidden()


def test_what_boards_without_a_place_are_called_is_not_cut(
    visit: SignIn, rack: Actor
) -> None:
    presence = rack.topics.node("pi-guest", NodeLeaf.STATUS)
    rack.say(presence, "online")
    name = visit().locator(".homeless .stack-name")
    expect(name).to_be_visible()
    assert name.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    rack.say(presence, b"")
    expect(name).to_have_count(0)


def test_a_sample_alone_before_a_gap_is_not_drawn(sign_in: SignIn) -> None:
    page = ready(sign_in())
    draw = """async (samples) => {
      const { sparkline } = await import("pirack/slot.js");
      return sparkline([...Array(36 - samples.length).fill(255), ...samples], 56, 20);
    }"""

    assert page.evaluate(draw, [10, 255, 10, 10]).count("M") == 1
    assert "h0" in page.evaluate(draw, [10, 10, 255, 10])


def test_an_install_run_with_problems_is_marked_in_the_services(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    run = InstallState(run="7", step=InstallStep.FAILED, problems=("no lease",))
    rack.say(rack.topics.install_state, run)

    value = page.locator(".services div", has_text="Install").locator("dd")
    expect(value).to_have_attribute("data-good", "no")
    rack.say(rack.topics.install_state, b"")


def test_no_action_on_a_phone_and_no_figure_on_a_tablet_is_cut(
    sign_in: SignIn,
) -> None:
    cut = """all => all.filter((each) => each.scrollWidth > each.clientWidth)
        .map((each) => each.textContent)"""
    page = ready(sign_in(**PHONE))
    page.locator(board(page, 1, 1)).click()
    expect(page.locator(".panel .action").first).to_be_visible()
    settled(page)
    assert page.locator(".panel .action span").evaluate_all(cut) == []
    page.set_viewport_size({"width": 1024, "height": 768})
    settled(page)
    assert page.locator(".kpi-note").evaluate_all(cut) == []
