"""Power and what is under way: what a person sees before, while and after."""

from collections.abc import Iterable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from broker.contract.messages import Command, Phase, Running, TargetRow, Verdict
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.pages import board, ready

pytestmark = pytest.mark.usefixtures("rack")

STACK = "pirack/v1/lab/stack/3/cmd/power"


def ask(page: Page, stack: int, word: str) -> Locator:
    """Choose a power command in the menu of a stack; return the question."""
    page.locator(".stack").nth(stack - 1).locator(".stack-menu").click()
    page.click(f".menu [data-verb=power][data-word={word}]")
    return page.locator("dialog")


def rows(phase: Phase, *slots: int, **values: Any) -> tuple[TargetRow, ...]:  # noqa: ANN401  # fields of a row
    return tuple(
        TargetRow(node=node_id(3, slot), name=f"s03n{slot}", phase=phase, **values)
        for slot in slots
    )


def test_the_question_names_every_board_the_outlet_feeds(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    rack.state(node_id(4, 1), outlet="stack-3")
    page.click(board(page, 4, 1))
    expect(page.locator(".panel")).to_contain_text("stack-3 reads back on; shared")
    page.keyboard.press("Escape")

    dialog = ask(page, 3, "cycle")

    expect(dialog.locator("h2")).to_have_text("Power-cycle: Stack 03, 5 boards?")
    names = ["s03n1", "s03n2", "s03n3", "s03n4", "s04n1"]
    expect(dialog.locator(".hit-list li span:nth-child(2)")).to_have_text(names)
    expect(dialog.locator(".hit-list li").last).to_contain_text("shares the outlet")
    dialog.locator(".primary").click()
    expect(page.locator(".receipt[data-phase=good]")).to_be_visible()
    ((topic, command),) = rack.commands
    assert (topic, command.args, command.confirm) == (STACK, ("cycle",), "stack/3")


def test_cutting_by_force_is_a_choice_of_its_own(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    dialog = ask(page, 3, "off")
    go = dialog.locator(".primary")
    expect(go).to_have_text("Power off")
    expect(dialog.locator(".line-text")).not_to_contain_text("force")

    dialog.locator(".force").check()

    expect(go).to_have_text("Force power off")
    expect(dialog.locator(".line-text")).to_contain_text('"args":["off","force"]')
    go.click()
    expect(page.locator(".receipt[data-phase=good] b")).to_have_text("Force power off")
    assert [command.args for _, command in rack.commands] == [("off", "force")]


def test_switching_on_asks_without_force(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    dialog = ask(page, 3, "on")

    expect(dialog.locator(".force")).to_have_count(0)
    dialog.locator(".primary").click()
    expect(page.locator(".receipt[data-phase=good]")).to_be_visible()
    assert [command.args for _, command in rack.commands] == [("on",)]


def test_a_board_that_shares_its_outlet_offers_the_power_of_its_stack(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    page.click(board(page, 3, 2))
    panel = page.locator(".panel")
    expect(panel).to_contain_text("Stack 03 as a whole: its boards share one outlet")

    panel.locator("[data-word=off]").click()
    page.locator("dialog .primary").click()

    expect(page.locator(".receipt[data-phase=good]")).to_be_visible()
    assert [topic for topic, _ in rack.commands] == [STACK]


def test_a_board_with_an_outlet_of_its_own_is_switched_alone(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    rack.state(node_id(3, 2), outlet="plug-7")
    page.click(board(page, 3, 2))
    expect(page.locator(".panel")).to_contain_text("plug-7 reads back on")

    page.click(".panel [data-word=off]")

    dialog = page.locator("dialog")
    expect(dialog.locator("h2")).to_have_text("Power off: s03n2, 1 board?")
    expect(dialog.locator(".hit-list li")).to_have_count(1)


def test_an_open_question_follows_the_rack(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    dialog = ask(page, 3, "off")
    expect(dialog.locator(".hit-list li")).to_have_count(4)

    rack.state(node_id(4, 1), outlet="stack-3")
    rack.state(node_id(3, 1), verdict=Verdict.LOST, outlet="stack-3")

    expect(dialog.locator("h2")).to_have_text("Power off: Stack 03, 5 boards?")
    expect(dialog.locator(".hit-list li").first).to_contain_text("no answer")


def test_an_open_menu_follows_its_stack(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    page.locator(".stack").nth(2).locator(".stack-menu").click()
    menu = page.locator(".menu:popover-open")
    expect(menu).to_contain_text("4 boards: 4 ok · power on")

    running = Running(id="c-9", verb="reboot", phase=Phase.RUNNING, by="ada")
    rack.state(node_id(3, 1), running=running)

    expect(menu).to_contain_text("1 busy")
    expect(menu.locator("[data-verb=cancel]")).to_have_text("Cancel reboot")


def test_a_command_shows_its_phases_live_and_can_be_cancelled(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())

    def half(_: str, verb: str, command: Command) -> Iterable[dict[str, Any]]:
        if verb == "cancel":
            yield {"phase": Phase.DONE, "ok": True, "duration_s": 0.1}
            return
        for slot in (1, 2, 3, 4):
            phase = Phase.RUNNING if slot < 3 else Phase.ACCEPTED
            running = Running(
                id=command.id, verb=verb, phase=phase, by="admin", word="cycle"
            )
            rack.state(node_id(3, slot), running=running)
        yield {"phase": Phase.ACCEPTED}
        yield {"phase": Phase.RUNNING, "targets": rows(Phase.RUNNING, 1, 2)}

    rack.answer = half
    ask(page, 3, "cycle").locator(".primary").click()

    work = page.locator(".under-way .work")
    expect(work.locator("b")).to_have_text("Power-cycle")
    expect(work).to_contain_text("2 running, 2 waiting")
    expect(work).to_contain_text("asked by admin")
    receipt = page.locator(".receipt").first
    expect(receipt).to_contain_text("running · 0 of 4")
    expect(receipt.locator("tbody tr")).to_have_count(2)
    work.get_by_role("button", name="Cancel").click()
    expect(page.locator(".receipt[data-phase=good]")).to_contain_text(
        "Cancel power-cycle"
    )
    (order, cancel) = [command for _, command in rack.commands]
    assert cancel.args == (order.id,)

    told = {"error": "2 of 4 not done: s03n3, s03n4: cancelled by admin"}
    late = rows(Phase.DONE, 1, 2) + rows(Phase.FAILED, 3, 4, error="cancelled by admin")
    final = {"id": order.id, "phase": Phase.FAILED, "ok": False, "targets": late}
    rack.reply("stack/3", "power", **(final | told))

    expect(receipt).to_have_attribute("data-phase", "bad")
    expect(receipt).to_contain_text("2 of 4 boards done")
    expect(receipt.locator(".receipt-error")).to_be_hidden()
    failed = receipt.locator("tbody tr").first
    expect(failed).to_contain_text("2 boards")
    expect(failed).to_contain_text("s03n3, s03n4: cancelled by admin")


def test_an_outlet_that_is_not_as_wanted_says_so(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    rack.stack(8, power="off", fault="the relay reads off after three attempts")

    head = page.locator(".stack").nth(7).locator(".stack-power")
    expect(head).to_contain_text("off, not on")
    concern = page.locator(".concern", has_text="Stack 08: its outlet")
    expect(concern).to_contain_text("after three attempts")


def test_an_operator_is_offered_power_as_on_the_broker(sign_in: SignIn) -> None:
    page = ready(sign_in("operator"))
    page.locator(".stack").nth(2).locator(".stack-menu").click()

    menu = page.locator(".menu:popover-open")
    expect(menu.locator("[data-verb=reboot]")).to_be_visible()
    expect(menu.locator("[data-verb=power]").first).to_be_visible()
