import re

import pytest
from playwright.sync_api import Locator, Page, expect

from broker.contract.messages import ScanPhase, Verdict
from tests.browser.actor import Actor, mac, node_id
from tests.browser.conftest import SignIn
from tests.browser.install_scene import RACK, Scene, asked
from tests.browser.pages import button, card, installing, settled
from tests.browser.stage import Stage, wait_until


def slot_wizard(visit: SignIn, scene: Scene) -> tuple[Page, Locator]:
    """Open the wizard after a run; return the page, and what the wizard asks."""
    scene.done()
    page = installing(visit(path="/install"))
    button(page, "Check the slots…").click()
    return page, page.locator(".in-ask")


def test_boards_blink_one_by_one_and_are_swapped_where_a_person_sees_them(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    page, question = slot_wizard(visit, scene)
    blinks = f"pirack/v1/lab/node/{node_id(1, 1)}/cmd/identify"

    expect(question).to_contain_text("s01n1 blinks")
    wait_until(lambda: blinks in [topic for topic, _ in rack.commands], "identify")
    page.click(".in-answer:has-text('1')")
    expect(question).to_contain_text("s01n2 blinks")
    page.hover(".in-answer:has-text('3')")
    expect(page.locator(".line-text")).to_contain_text("-m 'swap s01n2 s01n3'")
    page.click(".in-answer:has-text('3')")
    assert asked(rack) == [(RACK, ("swap", "s01n2", "s01n3"), "")]
    second, third = scene.board(1, 2, mac=mac(1, 3)), scene.board(1, 3, mac=mac(1, 2))
    rest = scene.board(1, 1), scene.board(1, 4)
    scene.stack(1, ScanPhase.VERIFIED, rest[0], second, third, rest[1])
    expect(page.locator(".in-slot[data-seen]")).to_have_count(2)
    expect(page.locator(".in-slot").nth(2)).to_have_attribute("data-seen", "")
    page.click(".in-answer.same")
    expect(question).to_contain_text("s01n4 blinks")
    page.click(".in-answer.same")
    expect(question).to_contain_text("power-cycle the stack")
    button(page, "Power-cycle Stack 01…").click()
    expect(page.locator("dialog h2")).to_contain_text("Power-cycle: Stack 01")


def test_news_of_a_board_leave_the_line_that_is_being_read(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    page, question = slot_wizard(visit, scene)
    expect(question).to_contain_text("s01n1 blinks")
    page.hover(".in-answer:has-text('3')")
    expect(page.locator(".line-text")).to_contain_text("-m 'swap s01n1 s01n3'")

    rack.state(node_id(1, 1), verdict=Verdict.LOST)
    expect(question).to_contain_text("s01n1 does not answer now")
    expect(page.locator(".line-text")).to_contain_text("-m 'swap s01n1 s01n3'")


def test_a_board_without_an_agent_is_not_said_to_blink(
    visit: SignIn, scene: Scene
) -> None:
    scene.done()
    silent = scene.board(6, 1, mac="dc:a6:32:ff:ff:ff")
    scene.stack(6, ScanPhase.PLACED, silent, scene.board(6, 2))
    page = installing(visit(path="/install"))
    card(page, 6).locator("[title^='Check the slots']").click()

    expect(page.locator(".in-ask")).to_contain_text("its LED cannot blink")
    expect(button(page, "Blink again")).to_be_disabled()
    button(page, "Skip it").click()
    expect(page.locator(".in-ask")).to_contain_text("s06n2 blinks")


def test_an_operator_may_let_boards_blink_but_not_swap_them(
    visit: SignIn, scene: Scene
) -> None:
    scene.done()
    page = installing(visit("operator", path="/install"))
    button(page, "Check the slots…").click()

    expect(page.locator(".in-question .why")).to_contain_text("Only an admin may")
    expect(page.locator(".in-answer:disabled")).to_have_count(3)
    page.click(".in-answer.same")
    expect(page.locator(".in-ask")).to_contain_text("s01n2 blinks")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_install_sees_it_all_with_the_reason(
    visit: SignIn, scene: Scene, role: str
) -> None:
    scene.confirm(only=3)
    page = installing(visit(role, path="/install"))

    expect(page.locator(".in-hero .why")).to_have_text(
        f"Only an admin may do this; {role} is {role}."
    )
    expect(button(page, "Confirm: switch off and install")).to_be_disabled()
    expect(button(page, "Cancel")).to_be_disabled()
    scene.scanning()
    expect(button(page, "Cancel…")).to_be_disabled()


def test_every_button_can_be_copied_and_pasted(visit: SignIn, scene: Scene) -> None:
    scene.idle()
    page = installing(visit(path="/install"))
    controls = page.locator(".in-control")

    expect(controls.locator(".copy")).to_have_count(3)
    expect(controls).to_have_count(3)
    page.evaluate("navigator.clipboard.writeText = async (text) => (window.got = text)")
    controls.nth(1).locator(".copy").click()
    line = page.evaluate("window.got")
    assert line.endswith(f"-q 1 -t {RACK} -m 'start dry'")


def test_an_old_run_does_not_look_alive_while_the_master_is_away(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.scanning()
    page = installing(visit(path="/install"))
    expect(page.locator(".in-eta")).not_to_have_text("")

    rack.say(rack.topics.master_status, "offline")

    expect(page.locator(".in-still")).to_contain_text("this is where the run stood at")
    expect(page.locator(".install")).to_have_class(re.compile(r"\bstill\b"))
    expect(page.locator(".in-eta")).to_have_text("")
    expect(button(page, "Cancel…")).to_be_disabled()
    expect(page.locator(".rail-hint")).to_have_attribute("data-still", "")
    moving = "getComputedStyle(document.querySelector('.m-scanning')).animationName"
    assert page.evaluate(moving) == "none"
    rack.say(rack.topics.master_status, "online")
    expect(page.locator(".in-still")).to_be_hidden()


def test_the_navigation_tells_of_a_run_on_every_page(
    visit: SignIn, scene: Scene
) -> None:
    page = visit()
    expect(page.locator(".pill-text")).to_have_text("Live")
    link = page.locator(".rail-link[data-page=install]")
    scene.confirm()
    expect(link).to_have_attribute("title", re.compile("waits for a person"))
    scene.scanning()
    expect(link).to_have_text("Install28 %")

    page.locator("body").press("g")
    page.keyboard.press("i")

    expect(page.locator(".page-title")).to_have_text("Install")
    expect(card(page, 5)).to_contain_text("2 of 4 heard")
    page.click(".rail-link[data-page=overview]")
    expect(page.locator(".kpi-online .kpi-value")).to_have_text("48")


def test_the_pages_cost_is_the_same_for_any_rack(visit: SignIn, scene: Scene) -> None:
    scene.done()
    page = installing(visit(path="/install"))

    assert page.evaluate("Object.keys(mounted_app.elements).length") < 30


SMALL = """() => [...document.querySelectorAll("main button, main select, main a")]
  .filter((each) => each.checkVisibility() && each.className !== "skip")
  .map((each) => [each.className, each.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44)
  .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""


def test_a_phone_has_all_of_it_without_scrolling_sideways(
    visit: SignIn, scene: Scene
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    scene.idle()
    page = installing(visit(path="/install", **phone))
    states = {
        "Find, place and address every board": scene.idle,
        "Provisioning is off": lambda: scene.idle(backend=""),
        "Read this, then confirm": scene.confirm,
        "Stack 05 is on, its boards are booting": scene.scanning,
        "Every board is in its place": scene.done,
    }
    for title, begin in states.items():
        begin()
        expect(page.locator(".in-hero h2")).to_have_text(title)
        assert settled(page).evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate(SMALL) == [], title


def test_what_can_be_answered_is_one_line_on_a_phone(
    visit: SignIn, scene: Scene
) -> None:
    scene.done()
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    page = installing(visit(path="/install", **phone))
    button(page, "Check the slots…").click()
    expect(page.locator(".in-answer")).to_have_count(4)
    words = settled(page).locator(".in-answer span")
    heights = words.evaluate_all("(all) => all.map((each) => each.offsetHeight)")
    assert len(set(heights)) == 1


def test_before_anybody_spoke_it_says_for_what_it_waits(
    fragile: Stage, sign_in: SignIn
) -> None:
    fragile.start_dashboard()
    page = sign_in(at=fragile, path="/install")
    title = page.locator(".empty h2")

    expect(title).to_have_text("The broker cannot be reached")
    fragile.start_broker()
    expect(title).to_have_text("Waiting for the master")
    actor = Actor(fragile.mqtt_port, 250, 4)
    expect(title).to_have_text("The master says nothing of installing")
    Scene(actor).state("scan", stack=5)
    expect(page.locator(".in-cell")).to_have_count(1000)
    actor.stop()


def test_words_of_a_stranger_are_never_markup(visit: SignIn, scene: Scene) -> None:
    evil = "<img src=x onerror=document.title='stolen'>"
    scene.stack(1, ScanPhase.PLACED, scene.board(1, 1, model=evil, name=evil))
    scene.state("done-with-problems", problems=(evil,), by=evil, verdicts={evil: 1})
    page = installing(visit(path="/install"))

    expect(page.locator(".in-problem b")).to_have_text(evil)
    assert page.locator("main img").count() == 0
    assert page.title() != "stolen"
