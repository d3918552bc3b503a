import subprocess

import pytest
from playwright.sync_api import expect

from broker.contract.messages import Askable, Phase, RowCode, TargetRow, Verdict
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.pages import board, ready
from tests.browser.stage import wait_until

pytestmark = pytest.mark.usefixtures("rack")


def test_a_ping_shows_its_receipt(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in("operator"))
    page.click(board(page, 4, 1))
    page.click(".panel [data-verb=ping]")

    expect(page.locator(".receipt[data-phase=good]")).to_contain_text("done · 100 ms")
    topic, command = rack.commands[-1]
    assert topic == f"pirack/v1/lab/node/{node_id(4, 1)}/cmd/ping"
    assert command.by == "operator"


def test_what_can_be_pressed_in_the_sheet_does_not_move_when_the_figures_come(
    sign_in: SignIn,
) -> None:
    page = ready(sign_in())
    opened = """async (board) => {
        board.click();
        await null;  // what was clicked is drawn, and nothing else has come
        const ping = document.querySelector(".panel [data-verb=ping]");
        const top = () => ping.checkVisibility() && ping.getBoundingClientRect().top;
        const tops = [top()];
        return new Promise((done) => {
          const look = () => {
            tops.push(top());
            const facts = document.querySelector(".panel .facts > div");
            facts ? done(tops) : requestAnimationFrame(look);
          };
          look();
        });
    }"""
    tops = page.locator(board(page, 5, 1)).evaluate(opened)

    assert len({top for top in tops if top is not False}) == 1


def test_news_do_not_replace_an_action_while_it_is_pressed(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    page.click(board(page, 4, 1))
    page.locator(".panel [data-verb=ping]").hover()
    page.mouse.down()
    rack.state(node_id(4, 1), outlet="another")
    expect(page.locator(".panel")).to_contain_text("another reads back on")
    page.mouse.up()

    expect(page.locator(".receipt[data-phase=good]")).to_contain_text("done")


def test_rebooting_a_stack_names_every_board_and_confirms(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    page.locator(".stack").nth(2).locator(".stack-menu").click()
    page.click(".menu [data-verb=reboot]")
    dialog = page.locator("dialog")
    names = ["s03n1", "s03n2", "s03n3", "s03n4"]

    expect(dialog.locator("h2")).to_have_text("Reboot 4 boards in Stack 03?")
    expect(dialog.locator(".hit-list li span:nth-child(2)")).to_have_text(names)
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == "Cancel"
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)

    page.locator(".stack").nth(2).locator(".stack-menu").click()
    page.click(".menu [data-verb=reboot]")
    page.click("dialog .primary")
    expect(page.locator(".receipt[data-phase=good]")).to_be_visible()
    ((topic, command),) = [each for each in rack.commands if "reboot" in each[0]]
    assert topic == "pirack/v1/lab/stack/3/cmd/reboot"
    assert command.confirm == "stack/3"


def test_a_board_that_cannot_be_asked_is_named_before_the_cut(
    sign_in: SignIn, rack: Actor
) -> None:
    rack.state(
        node_id(3, 2),
        verdict=Verdict.LOST,
        outlet="stack-3",
        askable=Askable.CANNOT_BE_ASKED,
        askable_why="lost since noon",
    )
    page = ready(sign_in())
    page.locator(".stack").nth(2).locator(".stack-menu").click()
    page.click(".menu [data-verb=power][data-word=off]")
    why = page.locator("dialog .objections")

    expect(why).to_have_text(
        "s03n2 (lost since noon) cannot be asked to shut down: "
        "without force nothing is switched."
    )
    page.locator("dialog .force").check()
    expect(why).to_be_hidden()
    page.locator("dialog .force").uncheck()
    page.locator("dialog .force-named").check()
    expect(why).to_be_hidden()
    line = page.locator("dialog .line-text")
    expect(line).to_contain_text('"args":["off","force=s03n2"]')
    rack.state(
        node_id(3, 1),
        verdict=Verdict.LOST,
        outlet="stack-3",
        askable=Askable.CANNOT_BE_ASKED,
        askable_why="lost since noon",
    )
    expect(page.locator("dialog .force-named")).not_to_be_checked()
    expect(why).to_contain_text("s03n1, s03n2 (lost since noon) cannot be asked")


def test_a_board_that_the_master_names_can_be_cut_from_the_receipt(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    row = TargetRow(
        node="", name="s03n9", phase=Phase.REFUSED, code=RowCode.CANNOT_BE_ASKED
    )
    refused = {"phase": Phase.REFUSED, "ok": False, "targets": (row,)}
    rack.answer = lambda *_: iter([refused])
    page.locator(".stack").nth(2).locator(".stack-menu").click()
    page.click(".menu [data-verb=power][data-word=off]")
    page.locator("dialog .primary").click()
    page.locator(".receipt-again button").click()
    page.locator("dialog .force-named").check()
    line = page.locator("dialog .line-text")
    expect(line).to_contain_text('"args":["off","force=s03n9"]')


def test_a_board_that_boots_is_busy_and_not_counted_online(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    rack.state(node_id(3, 1), verdict=Verdict.BOOTING)
    rack.state(node_id(3, 2), verdict=Verdict.LOST)
    rack.state(node_id(3, 3), verdict=Verdict.UNKNOWN)

    note = page.locator(".kpi-online .kpi-note")
    expect(note).to_have_text("1 not online, 1 busy, 1 not known yet")
    expect(page.locator(".kpi-online .kpi-value")).to_have_text("45")
    expect(page.locator(".stack").nth(2)).to_contain_text("1 of 4 online")


def test_the_sheet_says_when_a_board_was_last_heard_only_while_it_is_silent(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    page.click(board(page, 3, 1))
    panel = page.locator(".panel")
    heard = 1_795_272_434.0
    rack.state(node_id(3, 1), verdict=Verdict.LOST, last_seen=heard)
    expect(panel).to_contain_text("Last heard2026-11-21 ")
    rack.state(node_id(3, 1), last_seen=heard)
    expect(panel).to_contain_text("Topic")
    expect(panel).not_to_contain_text("Last heard")


def test_nothing_of_a_question_is_cut_on_a_phone(sign_in: SignIn) -> None:
    page = ready(sign_in(viewport={"width": 390, "height": 844}))
    page.click(".rack-actions")
    page.click(".menu [data-verb=reboot]")
    dialog = page.locator("dialog")
    expect(dialog.locator(".choices")).to_be_visible()

    assert dialog.evaluate("each => each.scrollWidth - each.clientWidth") == 0


def test_the_whole_rack_needs_its_name_typed(sign_in: SignIn) -> None:
    page = ready(sign_in())
    page.click(".rack-actions")
    page.click(".menu [data-verb=shutdown]")
    go = page.locator("dialog .primary")

    expect(go).to_be_disabled()
    page.fill("dialog input", "lab")
    expect(go).to_be_enabled()


def test_the_copied_line_does_the_same_when_pasted(
    sign_in: SignIn, rack: Actor
) -> None:
    page = ready(sign_in())
    page.click(board(page, 4, 2))
    page.click(".panel .more-actions summary")
    page.click(".panel [data-verb=say]")
    page.fill("dialog input", "it's 5 o'clock; $HOME")
    line = page.locator("dialog .line-text").text_content() or ""
    rack.commands.clear()

    subprocess.run(["/bin/sh", "-c", line], check=True, timeout=10)
    wait_until(lambda: bool(rack.commands), "the pasted command")
    page.click("dialog .primary")
    wait_until(lambda: len(rack.commands) == 2, "the command of the page")

    by_hand, by_page = rack.commands
    assert by_hand[0] == by_page[0]
    assert by_hand[1].args == by_page[1].args == ("text=it's 5 o'clock; $HOME",)


@pytest.mark.parametrize("hidden", ["\x1b]0;x\x07", "\x7f", "\x9b", "\u202e", "\u2028"])
def test_the_copied_line_reads_as_it_runs(
    sign_in: SignIn, rack: Actor, hidden: str
) -> None:
    page = ready(sign_in())
    line = page.evaluate(
        """async (hidden) => {
          const { publishLine } = await import("pirack/actions.js");
          const action = { verb: "say", args: [`a${hidden}b`] };
          return publishLine({ scope: "node/s04n2" }, action);
        }""",
        hidden,
    )
    assert line.isprintable()
    rack.commands.clear()
    subprocess.run(["/bin/sh", "-c", line], check=True, timeout=10)
    wait_until(lambda: bool(rack.commands), "the pasted command")
    assert rack.commands[0][1].args == (f"a{hidden}b",)


def test_a_master_that_does_not_answer_is_told(sign_in: SignIn, rack: Actor) -> None:
    page = ready(sign_in())
    rack.answering = False
    page.click(board(page, 4, 1))
    page.click(".panel [data-verb=ping]")

    error = page.locator(".receipt-error")
    expect(error).to_contain_text("no answer within 5 s")


def test_a_viewer_sees_but_is_offered_nothing(sign_in: SignIn) -> None:
    page = ready(sign_in("viewer"))
    page.click(board(page, 4, 1))

    expect(page.locator(".panel")).to_contain_text("may look but not ask")
    assert page.locator(".panel .action").count() == 0
