"""The Activity page: the past is asked of the master, the new comes by itself."""

import re
import time
from collections.abc import Iterable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from broker.contract.messages import Command, Event, EventKind, Phase
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn

pytestmark = pytest.mark.usefixtures("rack")

FIRST = 0
"""Far before the lines that other tests made happen."""


def line(seq: int, text: str, **values: Any) -> Event:  # noqa: ANN401  # fields of an event
    base: dict[str, Any] = {"kind": EventKind.SERVICE, "ts": time.time() - 60} | values
    return Event(seq=FIRST + seq, text=text, **base)


class History:
    """The lines a master remembers, given out as asked."""

    def __init__(self, rack: Actor, lines: list[Event]) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.lines = lines
        rack.answer = self

    def __call__(
        self, scope: str, _: str, command: Command
    ) -> Iterable[dict[str, Any]]:
        self.asked.append((scope, command.args))
        words = dict(word.split("=", 1) for word in command.args)
        before = int(words.get("before", 10**9))
        kinds = words.get("kind", "").split(",")
        found = [
            each
            for each in self.lines
            if each.seq < before and (kinds == [""] or each.kind.value in kinds)
        ]
        page = tuple(found[-int(words["limit"]) :])
        yield {"phase": Phase.DONE, "ok": True, "events": page}


def log(page: Page) -> Page:
    expect(page.locator(".pill-text")).to_have_text("Live")
    return page


def test_the_past_is_shown_with_what_belongs_together_in_one_line(
    sign_in: SignIn, rack: Actor
) -> None:
    parts = [line(n, f"s05n{n} fell silent", incident="i-1") for n in (2, 3, 4)]
    head = line(5, "supply of stack 5", incident="i-1", kind=EventKind.INCIDENT)
    History(rack, [line(1, "master started"), *parts, head])
    page = log(sign_in(path="/activity"))

    stories = page.locator(".log > li[data-key]")
    expect(stories.filter(has_text="master started")).to_have_count(1)
    story = stories.filter(has_text="supply of stack 5")
    expect(story).to_contain_text("4 lines")
    story.locator("summary").click()
    expect(story.locator(".story-lines li")).to_have_count(4)
    rack.event("something else")
    expect(stories.first).to_contain_text("something else")
    expect(story.locator("details")).to_have_attribute("open", "")


def test_a_kind_is_asked_of_the_master_and_kept_in_the_address(
    sign_in: SignIn, rack: Actor
) -> None:
    lines = [line(1, "master started"), line(2, "hot", kind=EventKind.FAULT)]
    history = History(rack, lines)
    page = log(sign_in(path="/activity"))
    expect(page.locator(".log")).to_contain_text("master started")

    page.click(".chip[data-kind=service]")

    expect(page.locator(".log > li[data-key]")).to_have_count(1)
    assert history.asked[-1] == ("rack", ("limit=200", "kind=service"))
    expect(page).to_have_url(re.compile(r"/activity\?kind=service$"))
    page.reload()
    chip = page.locator(".chip[data-kind=service]")
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".log > li[data-key]")).to_have_count(1)


def test_a_stack_is_asked_for_by_its_own_scope(sign_in: SignIn, rack: Actor) -> None:
    history = History(rack, [line(1, "stack 3 is on", stack=3)])
    page = log(sign_in(path="/activity"))

    page.get_by_label("About").select_option("Stack 03")

    expect(page.locator(".log > li[data-key]")).to_have_count(1)
    assert history.asked[-1] == ("stack/3", ("limit=200",))
    rack.event("of another stack", stack=4)
    rack.event("of this one", stack=3)
    expect(page.locator(".log > li[data-key]").first).to_contain_text("of this one")
    expect(page.locator(".log")).not_to_contain_text("of another stack")


def test_older_lines_come_page_by_page_until_the_beginning(
    sign_in: SignIn, rack: Actor
) -> None:
    history = History(rack, [line(n, f"line {n}") for n in range(1, 321)])
    page = log(sign_in(path="/activity?kind=service"))
    older = page.get_by_role("button", name="Older")
    expect(page.locator(".log > li[data-key]")).to_have_count(200)

    older.click()

    expect(page.locator(".log > li[data-key]")).to_have_count(320)
    words = ("limit=200", "kind=service", f"before={FIRST + 121}")
    assert history.asked[-1] == ("rack", words)
    expect(page.locator(".log-end")).to_contain_text("This is where the history begins")
    expect(older).to_be_hidden()


def test_a_line_opens_its_board_without_loading_the_page_anew(
    sign_in: SignIn, rack: Actor
) -> None:
    node = node_id(9, 2)
    History(rack, [line(1, "s09n2 was seen", node=node, kind=EventKind.VERDICT)])
    page = log(sign_in(path="/activity?kind=verdict"))
    page.evaluate("window.same = true")

    page.get_by_role("button", name="s09n2 was seen").click()

    expect(page.locator(".panel h2")).to_have_text("s09n2")
    assert page.evaluate("window.same")
    page.locator(".panel").get_by_role("link", name="all of it").click()
    expect(page.get_by_label("About")).to_have_value(f"node/{node}")
    assert page.evaluate("window.same")


def test_a_master_that_is_silent_is_told_and_asked_again_later(
    sign_in: SignIn, rack: Actor
) -> None:
    rack.answering = False
    page = log(sign_in(path="/activity?kind=heal"))

    note = page.locator(".log-end p")
    expect(note).to_contain_text("no answer within 5 s")
    rack.answering = True
    History(rack, [line(1, "agent restarted", kind=EventKind.HEAL)])
    page.click(".chip[data-kind=heal]")
    page.click(".chip[data-kind=heal]")
    expect(page.locator(".log")).to_contain_text("agent restarted")


def test_a_viewer_may_read_the_history(sign_in: SignIn, rack: Actor) -> None:
    History(rack, [line(1, "master started")])
    page = log(sign_in("viewer", path="/activity"))

    expect(page.locator(".log")).to_contain_text("master started")


def test_a_sheet_asks_for_the_lines_of_its_own_board(
    sign_in: SignIn, rack: Actor
) -> None:
    """What happened lately in the whole rack says nothing about a quiet board."""
    node = node_id(9, 3)
    history = History(rack, [line(1, "s09n3 crashed", node=node)])
    page = log(sign_in(path=f"/?node={node}"))

    activity = page.locator(".panel .activity")
    expect(activity).to_contain_text("s09n3 crashed")
    assert (f"node/{node}", ("limit=40",)) in history.asked
    rack.event("s09n3 is back", node=node)
    expect(activity).to_contain_text("s09n3 is back")
    expect(activity).to_contain_text("s09n3 crashed")


def test_a_sheet_says_that_the_history_is_empty_only_when_the_master_said_so(
    sign_in: SignIn, rack: Actor
) -> None:
    rack.answering = False
    page = log(sign_in(path=f"/?node={node_id(9, 4)}"))
    quiet = page.locator(".panel .activity .quiet")
    expect(quiet).to_contain_text("Asking the master")
    expect(quiet).to_contain_text("not known. no answer within 5 s")

    rack.answering = True
    History(rack, [])
    page.reload()
    expect(quiet).to_have_text("The history has no line about it.")
