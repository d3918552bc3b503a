"""Reservations: made, seen by others, respected, and ended."""

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from broker.contract.messages import Lock, Phase
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.pages import ready

pytestmark = pytest.mark.usefixtures("rack")


def menu(page: Page, stack: int) -> Locator:
    page.locator(".stack").nth(stack - 1).locator(".stack-menu").click()
    return page.locator(".menu:popover-open")


def reserve(rack: Actor, stack: int, by: str) -> str:
    """Let the master tell that a stack is reserved; return until when, as shown."""
    until = time.time() + 40 * 86_400
    lock = Lock(scope=f"stack/{stack}", by=by, until=until, reason="soldering")
    for slot in (1, 2, 3, 4):
        rack.state(node_id(stack, slot), lock=lock)
    rack.stack(stack, lock=lock)  # who sees this one has heard of the boards too
    return time.strftime("%-d %b, %H:%M", time.localtime(until))


def test_a_stack_is_reserved_with_a_time_and_a_reason(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in("operator"))
    menu(page, 7).locator("[data-verb=lock]").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("For").select_option("8 hours")
    dialog.get_by_label("Why").fill("soldering")

    dialog.get_by_role("button", name="Reserve").click()

    expect(page.locator(".receipt[data-phase=good]")).to_contain_text("Reserve")
    ((topic, command),) = rack.commands
    assert topic == "pirack/v1/lab/stack/7/cmd/lock"
    assert (command.args, command.by) == (("8h", "soldering"), "operator")


def test_a_reservation_is_seen_on_the_stack_and_on_its_boards(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    until = reserve(rack, 7, "ada")
    text = f"Reserved by ada until {until}: soldering"

    mark = page.locator(".stack").nth(6).locator(".stack-lock")
    expect(mark).to_have_attribute("title", text)
    page.click(f'[data-node="{node_id(7, 2)}"]')
    expect(page.locator(".lock-note")).to_have_text(
        text.replace(" by", " with Stack 07 by")
    )


def test_others_are_told_owner_and_expiry_before_and_after_they_ask(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    until = reserve(rack, 7, "ada")
    refusal = f"stack 7 is locked by ada until {until}"
    rack.answer = lambda *_: [
        {"phase": Phase.REFUSED, "ok": False, "error": refusal},
    ]
    expect(page.locator(".stack-lock:not(:empty)")).to_have_count(1)
    menu(page, 7).locator("[data-verb=reboot]").click()

    why = page.locator("dialog .why")
    expect(why).to_contain_text(f"Stack 07 is reserved by ada until {until}")
    page.click("dialog .primary")

    receipt = page.locator(".receipt[data-phase=bad]")
    expect(receipt).to_contain_text("refused")
    expect(receipt.locator(".receipt-error")).to_have_text(refusal)


def test_the_owner_is_warned_of_nothing_and_frees_at_once(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    reserve(rack, 7, "admin")
    expect(page.locator(".stack-lock:not(:empty)")).to_have_count(1)
    menu(page, 7).locator("[data-verb=reboot]").click()
    expect(page.locator("dialog .primary")).to_be_visible()
    expect(page.locator("dialog .why")).to_have_count(0)
    page.keyboard.press("Escape")

    menu(page, 7).locator("[data-verb=unlock]").click()

    expect(page.locator(".receipt[data-phase=good]")).to_contain_text("Free")
    assert [command.args for _, command in rack.commands] == [()]


def test_freeing_what_another_reserved_is_asked_first(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    reserve(rack, 7, "ada")
    expect(page.locator(".stack-lock:not(:empty)")).to_have_count(1)
    free = menu(page, 7).locator("[data-verb=unlock]")
    expect(free).to_have_text("Free…")
    free.click()

    dialog = page.locator("dialog")
    expect(dialog.locator("h2")).to_have_text("Free Stack 07 all the same?")
    expect(dialog).to_contain_text(re.compile("ada reserved it until .*: soldering"))
    dialog.get_by_role("button", name="Take it from ada").click()

    expect(page.locator(".receipt[data-phase=good]")).to_be_visible()
    assert [command.args for _, command in rack.commands] == [("force",)]
