"""What the tests look for on a page."""

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # ships no types
from playwright.sync_api import Locator, Page, expect

from tests.browser.actor import node_id

BOARD = ".slot[data-node]"
AXE = Axe()
GRAVE = {"serious", "critical"}


def board(page: Page, stack: int, slot: int) -> str:
    selector = f'[data-node="{node_id(stack, slot)}"]'
    page.wait_for_selector(selector)
    return selector


def settled(page: Page) -> Page:
    """Wait until fonts are there and what is laid out has been painted."""
    page.evaluate(
        """() => document.fonts.ready.then(() => new Promise(
          (done) => requestAnimationFrame(() => requestAnimationFrame(done))))"""
    )
    return page


def ready(page: Page) -> Page:
    expect(page.locator(BOARD)).to_have_count(48)
    expect(page.locator(".pill-text")).to_have_text("Live")
    return page


def installing(page: Page, *, live: bool = True) -> Page:
    """Wait until the Install page shows the rack."""
    expect(page.locator(".pill-text")).to_have_text(
        "Live" if live else "Master offline"
    )
    expect(page.locator(".in-rack .in-stack")).to_have_count(12)
    return page


def card(page: Page, stack: int) -> Locator:
    return page.locator(f".in-stack[aria-label='Stack {stack:02}']")


def button(page: Page, label: str) -> Locator:
    return page.get_by_role("button", name=label, exact=True)


def barriers(page: Page) -> list[str]:
    """What axe-core finds grave on a page, with where; it knows WCAG 2 A and AA."""
    found = AXE.run(settled(page)).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]}"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]
