import re

from playwright.sync_api import expect

from broker.contract.messages import MasterDetails
from broker.contract.topics import NodeLeaf
from tests.browser.actor import Actor, node_id
from tests.browser.conftest import SignIn
from tests.browser.pages import barriers, settled
from tests.browser.stage import Stage

BOARD = ".slot[data-node]"
HIDDEN_PX = """() => {
  const banner = document.querySelector(".banner").getBoundingClientRect();
  const main = document.getElementById("main");
  return banner.bottom - main.offsetTop - parseFloat(getComputedStyle(main).paddingTop);
}"""
"""How much of the page the banner covers."""


def test_opened_while_the_broker_is_down_the_page_says_so_and_heals(
    fragile: Stage, sign_in: SignIn
) -> None:
    fragile.start_dashboard()
    page = sign_in(at=fragile)

    expect(page.locator(".pill-text")).to_have_text(re.compile("Broker offline since"))
    expect(page.locator(".empty h2")).to_have_text("The broker cannot be reached")

    fragile.start_broker()
    actor = Actor(fragile.mqtt_port, 2, 4)
    expect(page.locator(BOARD)).to_have_count(8)
    expect(page.locator(".pill-text")).to_have_text("Live")
    actor.stop()


def test_a_broker_outage_freezes_the_page_and_ends_by_itself(
    fragile: Stage, sign_in: SignIn
) -> None:
    fragile.start_broker()
    fragile.start_dashboard()
    actor = Actor(fragile.mqtt_port, 2, 4)
    page = sign_in(at=fragile)
    expect(page.locator(BOARD)).to_have_count(8)
    page.click(f'[data-node="{node_id(1, 1)}"]')
    ping = page.locator(".panel [data-verb=ping]")
    expect(ping).to_be_enabled()

    fragile.kill_broker()

    expect(page.locator(".banner")).to_contain_text("values are frozen")
    expect(page.locator("body")).to_have_class(re.compile("veiled"))
    expect(ping).to_be_disabled()
    expect(page.locator(".panel .why").first).to_contain_text("Values are")
    expect(page.locator(".panel-sentence")).to_have_text("Last known: OK")
    assert barriers(page) == []
    for width in (390, 768, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert settled(page).evaluate(HIDDEN_PX) <= 1
    fragile.start_broker()
    expect(page.locator(".pill-text")).to_have_text("Live")
    expect(ping).to_be_enabled()
    expect(page.locator(f"{BOARD}[data-state=ok]")).to_have_count(8)
    actor.stop()


def test_an_empty_rack_says_what_to_do(fragile: Stage, sign_in: SignIn) -> None:
    fragile.start_broker()
    fragile.start_dashboard()
    actor = Actor(fragile.mqtt_port, 0, 0)
    page = sign_in(at=fragile)

    expect(page.locator(".empty h2")).to_have_text("No nodes yet")
    expect(page.locator(".empty")).to_contain_text("pirack up --simulate")
    home = MasterDetails(
        session="s", hostname="rack", version="1", started=1, node="pi-1"
    )
    actor.say(actor.topics.master_details, home)
    actor.say(actor.topics.node("pi-1", NodeLeaf.STATUS), "online")
    expect(page.locator(".empty h2")).to_have_text("Only the master so far")
    actor.say(actor.topics.master_status, "offline")
    expect(page.locator(".pill-text")).to_have_text("Master offline")
    actor.stop()


def test_a_page_outlives_a_restart_of_the_dashboard(
    fragile: Stage, sign_in: SignIn, complaints: list[str]
) -> None:
    fragile.start_broker()
    first = fragile.start_dashboard()
    actor = Actor(fragile.mqtt_port, 1, 4)
    page = sign_in("viewer", at=fragile)
    expect(page.locator(BOARD)).to_have_count(4)

    first.terminate()
    assert first.wait(30) == 0
    expect(page.locator(".pill-text")).to_have_text("Reconnecting…")
    expect(page.locator(".banner")).to_contain_text("lost the dashboard")
    expect(page.locator(".services dd[data-good=yes]")).to_have_count(0)
    fragile.start_dashboard()
    expect(page.locator(".pill-text")).to_have_text("Live", timeout=30_000)
    expect(page.locator(BOARD)).to_have_count(4)
    actor.stop()
    complaints.clear()  # the console tells of every connection refused meanwhile


def test_a_thousand_boards_are_drawn_as_cells(fragile: Stage, sign_in: SignIn) -> None:
    fragile.start_broker()
    fragile.start_dashboard()
    actor = Actor(fragile.mqtt_port, 250, 4)
    page = sign_in(at=fragile, viewport={"width": 1440, "height": 900})

    expect(page.locator(".cell[data-node]")).to_have_count(1000, timeout=30_000)
    elements = page.evaluate("Object.keys(mounted_app.elements).length")
    assert elements < 300
    first_row = """() => { const [first, ...rest] = document.querySelectorAll(".stack");
      return rest.filter((each) => each.offsetTop === first.offsetTop).length + 1; }"""
    assert page.evaluate(first_row) > 10
    page.select_option(".legend select", "temperature")
    page.locator(".cell[data-node]").nth(500).click()
    expect(page.locator(".panel")).to_be_visible()
    actor.stop()
