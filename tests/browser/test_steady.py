"""What a pointer is over stays where it is, whatever comes in."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from broker.contract.messages import Command, Lock, Phase, Running, TargetRow, Verdict
from pirack.receipt import took
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.pages import board, ready, settled

pytestmark = pytest.mark.usefixtures("rack")

REBOOT = Running(id="r1", verb="reboot", phase=Phase.RUNNING, by="somebody")
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "reduced_motion": "reduce",
}


def top(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def sheet(page: Page, stack: int, slot: int) -> Locator:
    """Open the sheet of a board, with its figures."""
    page.click(board(page, stack, slot))
    panel = page.locator(".panel")
    expect(panel.locator(".facts").last).to_contain_text("Topic")
    return panel


def test_a_command_that_begins_moves_nothing_in_the_sheet(
    sign_in: SignIn, rack: Actor
) -> None:
    panel = sheet(settled(ready(sign_in())), 4, 1)
    ping = panel.locator("[data-verb=ping]")
    ping.hover()
    before = top(ping)

    rack.state(node_id(4, 1), running=REBOOT)
    expect(panel.locator(".work")).to_contain_text("asked by somebody")
    expect(panel.locator("[data-verb=cancel]")).to_be_attached()
    assert top(ping) == pytest.approx(before, abs=1)
    rack.state(node_id(4, 1))
    expect(panel.locator(".works")).to_be_hidden()
    assert top(ping) == pytest.approx(before, abs=1)


def test_a_command_that_begins_moves_nothing_in_an_open_menu(
    sign_in: SignIn, rack: Actor
) -> None:
    page = settled(ready(sign_in()))
    page.locator(".stack").nth(2).locator(".stack-menu").click()
    menu = page.locator(".menu[role=dialog]")
    ping = menu.locator("[data-verb=ping]")
    before = top(ping)

    rack.state(node_id(3, 1), verdict=Verdict.REBOOTING, running=REBOOT)
    rack.stack(3, wanted="off")
    expect(menu.locator("[data-verb=cancel]")).to_be_attached()
    expect(menu).to_contain_text("power on, wanted off")
    assert top(ping) == pytest.approx(before, abs=1)


def test_figures_have_their_place_before_the_first_heartbeat(sign_in: SignIn) -> None:
    page = settled(ready(sign_in()))
    ping = sheet(page, 5, 2).locator("[data-verb=ping]")

    tops = ping.evaluate(
        """async (ping) => {
          const { notify, store } = await import("pirack/store.js");
          const top = () => ping.getBoundingClientRect().top;
          const heard = top();
          store.node = { ...store.node, beat: null, heard: null };
          await notify({ rows: new Set(), second: true });
          return [heard, top()];
        }"""
    )

    assert tops[0] == pytest.approx(tops[1], abs=1)


def test_the_sheet_of_a_phone_has_its_height_from_the_start(sign_in: SignIn) -> None:
    page = settled(ready(sign_in(**PHONE)))
    opened = """async (board) => {
        board.click();
        await null;  // what was clicked is drawn, and nothing else has come
        return document.querySelector(".panel h2").getBoundingClientRect().top;
    }"""
    at_once = page.locator(board(page, 5, 1)).evaluate(opened)
    panel = page.locator(".panel")
    expect(panel.locator(".facts").last).to_contain_text("Topic")

    assert top(panel.locator("h2")) == pytest.approx(at_once, abs=1)


def test_a_concern_that_is_aimed_at_stays_until_the_pointer_has_gone(
    sign_in: SignIn, rack: Actor
) -> None:
    page = settled(ready(sign_in()))
    rack.state(node_id(6, 1), verdict=Verdict.LATE, reason="no heartbeat")
    concerns = page.locator(".concern")
    expect(concerns).to_have_count(1)

    found = concerns.first.evaluate(
        """async (concern) => {
          const { notify, store } = await import("pirack/store.js");
          const point = (at) => at.dispatchEvent(
            new PointerEvent("pointermove", { bubbles: true }));
          const top = () => concern.getBoundingClientRect().top;
          const before = top();
          point(concern);
          store.ids.get("pi-51000702").state = 5;  // offline: before what is late
          await notify({ rows: new Set(), second: true });
          const aimed = top();
          point(document.querySelector(".kpis"));
          await notify({ rows: new Set(), second: true });
          return { before, aimed, after: top() };
        }"""
    )

    assert found["aimed"] == found["before"]
    assert found["after"] > found["before"]


def test_the_terminal_and_the_page_say_alike_how_long_it_took(sign_in: SignIn) -> None:
    page = sign_in(path="/about")
    spans = [0, 0.0123, 0.9999, 2.44, 9.97, 13.4, 59.7, 75.2, 3725, 90_061]

    said = page.evaluate(
        """async (spans) => {
          const { took } = await import("pirack/words.js");
          return spans.map((each) => took(each).replaceAll("\\u00a0", " "));
        }""",
        spans,
    )

    assert said == [took(each) for each in spans]


@pytest.mark.parametrize("width", [390, 768, 1024])
def test_the_first_concern_and_the_first_command_move_no_board(
    sign_in: SignIn, rack: Actor, width: int
) -> None:
    page = settled(ready(sign_in(viewport={"width": width, "height": 900})))
    first = page.locator(board(page, 1, 1))
    before = top(first)

    rack.state(
        node_id(6, 1), verdict=Verdict.LATE, reason="no heartbeat for more than 20 s"
    )
    rack.state(node_id(6, 2), verdict=Verdict.LOST, reason="no answer " * 20)
    rack.state(node_id(6, 3), running=REBOOT)
    expect(page.locator(".concern")).to_have_count(2)
    expect(page.locator(".under-way .work")).to_have_count(1)
    expect(page.locator(".kpi-online .kpi-note")).to_contain_text("not online")

    assert top(first) == pytest.approx(before, abs=1)


def test_the_rows_of_a_receipt_have_their_place_before_they_come(
    sign_in: SignIn, rack: Actor
) -> None:
    page = settled(ready(sign_in()))

    def begun(_: str, __: str, ___: Command) -> Iterator[dict[str, Any]]:
        yield {"phase": Phase.ACCEPTED}

    rack.answer = begun
    page.locator(".stack").nth(2).locator(".stack-menu").click()
    page.click(".menu [data-verb=reboot]")
    before = page.locator("dialog .primary").evaluate(
        """async (button) => {
          button.click();
          await null;  // what was clicked is drawn, and nothing else has come
          const close = document.querySelector(".receipt [aria-label=Dismiss]");
          return close.getBoundingClientRect().top;
        }"""
    )
    receipt = page.locator(".receipt")
    expect(receipt).to_contain_text("waiting")

    (_, order) = rack.commands[-1]
    rows = tuple(
        TargetRow(node=node_id(3, slot), name=f"s03n{slot}", phase=Phase.ACCEPTED)
        for slot in (1, 2, 3, 4)
    )
    rack.reply("stack/3", "reboot", id=order.id, phase=Phase.RUNNING, targets=rows)
    expect(receipt.locator("tbody tr")).to_have_count(4)

    assert top(receipt.get_by_label("Dismiss")) == pytest.approx(before, abs=1)


def test_a_busy_stack_that_is_reserved_still_says_which_it_is(
    sign_in: SignIn, rack: Actor
) -> None:
    page = settled(ready(sign_in(viewport={"width": 1440, "height": 900})))
    lock = Lock(scope="stack/2", by="ada", until=time.time() + 3600)
    for slot in (1, 2, 3, 4):
        rack.state(node_id(2, slot), running=REBOOT)
    rack.stack(2, lock=lock)
    head = page.locator(".stack-head").nth(1)
    expect(head.locator(".stack-roll")).to_have_text("rebooting 4 of 4")
    expect(head.locator(".stack-lock svg")).to_be_visible()

    settled(page)
    cut = "(name) => name.scrollWidth > name.clientWidth"
    assert not head.locator(".stack-name").evaluate(cut)
