"""What the tests of the Overview look for on a page."""

from playwright.sync_api import Page, expect

from tests.browser.stage import node_id

BOARD = ".slot[data-node]"


def board(page: Page, stack: int, slot: int) -> str:
    selector = f'[data-node="{node_id(stack, slot)}"]'
    page.wait_for_selector(selector)
    return selector


def ready(page: Page) -> Page:
    expect(page.locator(BOARD)).to_have_count(48)
    expect(page.locator(".pill-text")).to_have_text("Live")
    return page
