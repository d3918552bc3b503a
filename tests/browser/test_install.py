import re

from playwright.sync_api import expect

from broker.contract.messages import Power, ScanPhase
from tests.browser.actor import Actor, mac
from tests.browser.conftest import SignIn
from tests.browser.install_scene import FORECAST, FOREIGN, MISSING, RACK, Scene, asked
from tests.browser.pages import button, card, installing


def test_at_first_it_says_what_it_does_and_needs_and_only_checks(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.idle()
    page = installing(visit(path="/install"))

    expect(page.locator(".in-plan li")).to_have_count(4)
    needs = page.locator(".in-needs > div")
    expect(needs.nth(0)).to_contain_text("dnsmasq on eth1")
    expect(needs.nth(2)).to_contain_text("12 stacks, each switched by PiRack")
    button(page, "Check the rack").click()
    assert asked(rack) == [(RACK, ("start",), "")]
    button(page, "Dry run").click()
    page.select_option(".in-one select", "7")
    button(page, "Check one stack").click()
    one = "pirack/v1/lab/stack/7/cmd/install"
    assert asked(rack, 3)[1:] == [(RACK, ("start", "dry"), ""), (one, ("start",), "")]


def test_switched_off_it_tells_what_to_write_and_offers_nothing(
    visit: SignIn, scene: Scene
) -> None:
    scene.idle(backend="")
    page = installing(visit(path="/install"))

    expect(page.locator(".in-hero h2")).to_have_text("Provisioning is off")
    expect(page.locator(".in-toml pre")).to_contain_text('backend = "dnsmasq"')
    assert page.locator(".in-control").count() == 0


def test_before_it_begins_it_names_who_loses_power_and_wants_the_racks_name(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    problem = "192.168.23.14 is used by 3c:52:82:11:22:33; give it another address"
    scene.confirm(problems=(problem,))
    page = installing(visit(path="/install"))

    for line in FORECAST:
        expect(page.locator(".in-points").first).to_contain_text(line[1:])
    expect(page.locator(".in-losers")).to_have_text(
        "12 stacks, 48 boards that are running now"
    )
    expect(page.locator(".in-hit li").nth(4)).to_contain_text("s05n1, s05n2")
    expect(page.locator(".in-warned")).to_contain_text(problem)
    expect(card(page, 9)).to_contain_text("will lose power")
    go = button(page, "Confirm: switch off and install")
    expect(go).to_be_disabled()
    page.fill(".typed input", "lab")
    go.click()
    assert asked(rack) == [(RACK, ("confirm",), "")]


def test_a_run_that_waits_can_be_called_off(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.confirm(only=3)
    page = installing(visit(path="/install"))

    expect(page.locator(".in-lead")).to_contain_text("a run over Stack 03")
    assert page.locator(".typed").count() == 0
    button(page, "Cancel").click()
    assert asked(rack) == [(RACK, ("cancel",), "")]


def test_boards_appear_in_their_stack_as_they_ask(visit: SignIn, scene: Scene) -> None:
    scene.scanning()
    page = installing(visit(path="/install"))

    expect(page.locator(".in-hero h2")).to_have_text(
        "Stack 05 is on, its boards are booting"
    )
    expect(page.locator("[role=progressbar]")).to_have_attribute("aria-valuenow", "28")
    expect(page.locator(".in-eta")).to_have_text(re.compile("about 5 min left"))
    fifth = card(page, 5)
    expect(fifth.locator("[data-mark=heard]")).to_have_count(2)
    expect(fifth).to_contain_text("2 of 4 heard")
    expect(card(page, 2)).to_contain_text("1 missing")
    expect(page.locator(".rail-hint")).to_have_text("28 %")
    nobody = [scene.board(5, n, mac="", verdict="") for n in (1, 2, 3, 4)]
    scene.stack(5, ScanPhase.SCANNING, *nobody, *map(scene.heard, (1, 2, 3)))
    expect(fifth.locator("[data-mark=heard]")).to_have_count(3)
    expect(fifth.locator(".fresh")).to_contain_text(mac(5, 3))
    scene.full(5, ScanPhase.PLACED)
    first = fifth.locator(".in-board").first
    expect(first).to_contain_text("s05n1192.168.23.26")
    expect(fifth.locator("[data-mark=placed]")).to_have_count(5)  # and the phase


def test_each_problem_says_what_to_do_and_offers_it_once_the_run_is_over(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.scanning()
    page = installing(visit(path="/install"))
    problem = page.locator(".in-problem").first

    expect(page.locator(".in-problem")).to_have_count(2)
    expect(problem.locator("b")).to_have_text("s02n3: no board was heard")
    expect(problem).to_contain_text("check its card and cable, then scan stack 2")
    assert problem.locator("button").count() == 0
    scene.done((MISSING, FOREIGN))
    button(page, "Scan Stack 02 again").first.click()
    assert asked(rack) == [("pirack/v1/lab/stack/2/cmd/install", ("start",), "")]


def test_cancelling_explains_three_ways_to_leave_the_outlets(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.scanning()
    page = installing(visit(path="/install"))
    for count, way in enumerate(("restore", "leave", "off"), 1):
        button(page, "Cancel…").click()
        expect(page.locator(".in-way")).to_have_count(3)
        expect(page.locator("dialog [autofocus]")).to_have_text("Go on with it")
        page.check(f"dialog input[value={way}]")
        expect(page.locator(".line-text")).to_contain_text(f"-m 'cancel {way}'")
        button(page, "Cancel the run").click()
        expect(page.locator("dialog")).to_have_count(0)
        assert asked(rack, count)[-1] == (RACK, ("cancel", way), "")


def test_at_the_end_it_counts_and_shows_what_is_next(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.done()
    page = installing(visit(path="/install"))

    expect(page.locator(".in-hero h2")).to_have_text("Every board is in its place")
    expect(page.locator(".in-found")).to_have_text("48verified")
    expect(page.locator(".in-board[data-mark=verified]")).to_have_count(48)
    expect(page.locator(".in-next li:visible .in-number")).to_have_text(["1", "2"])
    expect(page.locator(".rail-hint")).to_be_hidden()
    card(page, 4).locator("[title='Scan this stack again']").click()
    page.click("summary >> text=More")
    expect(page.locator(".in-more")).to_contain_text("swap the two again")
    button(page, "Undo reservations").click()
    fourth = "pirack/v1/lab/stack/4/cmd/install"
    assert asked(rack, 2) == [(fourth, ("start",), ""), (RACK, ("undo",), "")]


def test_boards_without_an_agent_are_given_one_by_a_line_to_copy(
    visit: SignIn, scene: Scene
) -> None:
    scene.done()
    scene.stack(4, ScanPhase.VERIFIED, scene.board(4, 1, mac="b8:27:eb:ff:ff:01"))
    page = installing(visit(path="/install"))
    first = page.locator(".in-next li:visible").first

    expect(first).to_contain_text("1 board has an address, but no agent")
    expect(first.locator("code")).to_have_text("pirack deploy --all")
    page.evaluate("navigator.clipboard.writeText = async (text) => (window.got = text)")
    first.locator(".copy").click()
    assert page.evaluate("window.got") == "pirack deploy --all"
    scene.full(4, ScanPhase.VERIFIED)
    expect(page.locator(".in-next li:visible")).to_have_count(2)


def test_after_a_run_over_one_stack_the_whole_rack_can_be_begun(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.state("cancelled", only=2, total=4)
    page = installing(visit(path="/install"))
    button(page, "Try Stack 02 again").click()
    page.click("summary >> text=More")
    button(page, "Check the whole rack").click()

    second = "pirack/v1/lab/stack/2/cmd/install"
    assert asked(rack, 2) == [(second, ("start",), ""), (RACK, ("start",), "")]


def test_after_a_run_over_one_stack_that_stack_is_the_one_that_is_meant(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.full(1, ScanPhase.PLACED)
    scene.full(2, ScanPhase.VERIFIED, verified=True)
    scene.state("done", only=2, done=4, total=4, verdicts={"ok": 4})
    page = installing(visit(path="/install"))

    button(page, "Check the slots…").click()
    expect(page.locator(".in-ask")).to_contain_text("s02n1 blinks")
    button(page, "Close").click()
    button(page, "Scan it again").click()
    assert asked(rack) == [("pirack/v1/lab/stack/2/cmd/install", ("start",), "")]


def test_a_run_that_was_cancelled_says_what_is_off_and_that_nothing_is_verified(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.state("cancelled", done=17, verdicts={"ok": 17, "missing": 1})
    for stack in (2, 3):
        rack.stack(stack, wanted=Power.OFF, power=Power.OFF)
    page = installing(visit(path="/install"))

    expect(page.locator(".in-found")).to_have_text("17placed1missing")
    expect(page.locator(".in-dark")).to_have_text(re.compile("^2 stacks are off"))
    rack.stack(2)
    expect(page.locator(".in-dark")).to_have_text(re.compile("^Stack 03 is off"))
    rack.stack(3)
    expect(page.locator(".in-dark")).to_be_hidden()


def test_a_dry_run_ends_with_what_it_would_do(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.state("done", dry=True, forecast=FORECAST)
    page = installing(visit(path="/install"))

    expect(page.locator(".in-hero h2")).to_have_text(re.compile("Dry run: this is"))
    expect(page.locator(".in-points li")).to_have_count(len(FORECAST))
    button(page, "Do it for real…").click()
    assert asked(rack) == [(RACK, ("start",), "")]


def test_checks_that_failed_can_be_overridden_only_after_a_question(
    visit: SignIn, rack: Actor, scene: Scene
) -> None:
    scene.state("failed", problems=("another DHCP server answers; switch it off",))
    page = installing(visit(path="/install"))
    button(page, "Start all the same…").click()

    expect(page.locator("dialog")).to_contain_text("Another DHCP server answers")
    page.click("dialog .primary")
    assert asked(rack) == [(RACK, ("start", "force"), "")]
