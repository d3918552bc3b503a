"""Self-healing as the rack sees it: every step a command, every step told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.contract.messages import Ability, EventKind, Phase, Verdict
from master_service.rack.layout import FoundBoard
from master_service.rack.settings import HealSettings, HealStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

ABLE = tuple(Ability(verb=v) for v in ("ping", "reboot", "shutdown", "restart-agent"))
HELP = {
    "enabled": True,
    "dry_run": False,
    "patience_s": 20.0,
    "cool_down_s": 60.0,
    "max_percent": 25.0,
}


async def healed(
    make: Callable[..., Bench],
    **heal: Any,  # noqa: ANN401  # any field of HealSettings
) -> Bench:
    """Return a rack that helps itself, with all boards online."""
    bench = make(heal=HealSettings(**{**HELP, **heal}))
    await bench.master.start()
    await bench.all_come()
    for board in bench.boards.values():
        board.details(abilities=ABLE)
    await bench.calm()
    return bench


def hang(bench: Bench, node_id: str) -> None:
    """Let the agent fall silent while its connection stays, and the board pings."""
    bench.boards[node_id].beating = False


def told(bench: Bench) -> list[str]:
    return [event.text for event in bench.events if event.kind is EventKind.HEAL]


def switchings(bench: Bench) -> list[tuple[str, bool]]:
    return [(one.outlet, one.on) for one in bench.outlets.relays().switchings]


async def test_nothing_is_done_out_of_the_box(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.all_come()
    hang(bench, "pi-11")
    await bench.pass_time(400)
    assert bench.node("pi-11").verdict is Verdict.HUNG
    assert told(bench) == []
    assert not bench.boards["pi-11"].orders


async def test_a_clock_that_is_set_is_no_patience(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench)
    hang(bench, "pi-11")
    while bench.node("pi-11").verdict is not Verdict.HUNG:
        await bench.pass_time(1)
    bench.clock_jump_s = 3_600.0
    await bench.pass_time(15)
    assert bench.boards["pi-11"].orders == [], "it is hung for 15 seconds, not an hour"
    await bench.pass_time(10)
    assert [order.verb for order in bench.boards["pi-11"].orders] == ["restart-agent"]


async def test_a_hung_board_gets_one_step_after_the_other_until_it_is_well(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench)
    hang(bench, "pi-11")
    await bench.pass_time(55)
    board = bench.boards["pi-11"]
    assert [order.verb for order in board.orders] == ["restart-agent"]
    assert board.orders[0].by == "self-healing"
    await bench.pass_time(62)
    assert [order.verb for order in board.orders] == ["restart-agent", "reboot"]
    board.boot_id = "second"
    board.session = "second"
    board.details(abilities=ABLE)
    board.beating = True
    await bench.pass_time(5)
    first, second, last = told(bench)
    assert first.startswith("restart-agent of s01n1, hung for 2")
    assert second.startswith("reboot of s01n1, hung for")
    assert last == "s01n1 is well again after restart-agent, reboot"
    incidents = {e.incident for e in bench.events if e.kind is EventKind.HEAL}
    assert len(incidents - {""}) == 1, "its steps belong to its incident"


async def test_a_dry_run_only_says_what_it_would_do(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, dry_run=True)
    hang(bench, "pi-11")
    await bench.pass_time(300)
    said = told(bench)
    assert said[0].startswith("would do now: restart-agent of s01n1, hung for")
    assert said[1].startswith("would do now: reboot of s01n1, hung for")
    assert not bench.boards["pi-11"].orders
    assert switchings(bench) == []


async def test_healthy_boards_on_the_relay_save_it(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench)
    bench.boards["pi-11"].die()
    await bench.pass_time(120)
    (said,) = told(bench)
    assert said.startswith("s01n1 needs a person: no restart-agent")
    assert said.endswith("no power: s01n2 would lose power too")
    assert switchings(bench) == []


async def test_boards_that_cannot_be_asked_save_the_relay(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, power_siblings=True, steps=(HealStep.POWER,))
    bench.master.rack.placement.found = (
        FoundBoard("b8:27:eb:00:00:07", "s01n7", 1, 7, "10.0.0.7"),
    )
    hang(bench, "pi-11")
    await bench.pass_time(120)
    (said,) = told(bench)
    assert said.endswith("no power: s01n7 cannot be asked to shut down")
    assert not bench.boards["pi-12"].orders
    assert switchings(bench) == []


async def test_with_leave_its_siblings_are_shut_down_cleanly_before_the_cut(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, power_siblings=True, steps=(HealStep.POWER,))
    hang(bench, "pi-11")
    await bench.pass_time(55)
    sibling = bench.boards["pi-12"]
    assert [order.verb for order in sibling.orders] == ["shutdown"]
    await bench.pass_time(20)
    assert switchings(bench) == [], "cut while a healthy board was up"
    sibling.shut_down()
    await bench.pass_time(6)
    assert switchings(bench)[:1] == [("stack-1", False)]
    assert "power of s01n1, hung for" in told(bench)[0]
    assert told(bench)[0].endswith("with it: s01n2")
    await bench.pass_time(8)
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].boot_id = f"{node_id}-second"
        bench.boards[node_id].come()
    await bench.pass_time(3)
    assert bench.final("stack/1 power").ok is True
    assert told(bench)[-1] == "s01n1 is well again after power"


async def test_a_sibling_that_will_not_go_saves_its_stack(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, power_siblings=True, steps=(HealStep.POWER,))
    hang(bench, "pi-11")
    await bench.pass_time(55)
    sibling = bench.boards["pi-12"]
    sibling.answer(sibling.orders[-1], Phase.FAILED, error="busy writing")
    await bench.pass_time(100)
    assert switchings(bench) == []
    assert "s01n2: busy writing" in bench.final("stack/1 power").error


async def test_a_lock_keeps_it_away_from_the_board_and_from_its_siblings(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, power_siblings=True, steps=(HealStep.POWER,))
    await bench.ask("node/s01n1 lock", "1h by=ann")
    hang(bench, "pi-11")
    await bench.pass_time(100)
    (said,) = told(bench)
    assert said.startswith("s01n1 is left alone: s01n1 is locked by ann until")
    await bench.ask("node/s01n1 unlock", "by=ann")
    await bench.ask("node/s01n2 lock", "1h by=ann")
    await bench.pass_time(3)
    assert "no power: s01n2 is locked by ann" in told(bench)[-1]
    assert switchings(bench) == []


async def test_what_somebody_stopped_is_left_alone(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench)
    board = bench.boards["pi-11"]
    board.details(reason="stopped by systemd", abilities=ABLE)
    board.leave()
    await bench.pass_time(200)
    assert bench.node("pi-11").verdict is Verdict.HUNG
    assert told(bench) == []


async def test_many_bad_boards_have_a_cause_that_no_reboot_ends(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench)
    for node_id in ("pi-11", "pi-21"):
        hang(bench, node_id)
    await bench.pass_time(200)
    (said,) = told(bench)
    assert said == (
        "nothing is healed: 2 of 4 boards are bad, more than 25 %: look for a cause "
        "they share"
    )
    assert not bench.boards["pi-11"].orders


async def test_budgets_hold_across_a_restart_of_the_master(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, budget_per_day=1)
    hang(bench, "pi-11")
    await bench.pass_time(55)
    assert len(bench.boards["pi-11"].orders) == 1
    await bench.restart()
    for board in bench.boards.values():
        if board.beating:
            board.beat()
    await bench.pass_time(120)
    assert bench.node("pi-11").verdict is Verdict.HUNG
    assert len(bench.boards["pi-11"].orders) == 1
    assert told(bench)[-1] == "s01n1 is left alone: 1 steps in 24 hours are its budget"


async def test_the_breaker_stops_all_of_it_when_nothing_helps(
    make_bench: Callable[..., Bench],
) -> None:
    bench = await healed(make_bench, steps=(HealStep.RESTART_AGENT,), breaker=1)
    hang(bench, "pi-11")
    await bench.pass_time(150)
    assert told(bench)[1] == "s01n1 needs a person: restart-agent did not help"
    assert told(bench)[2] == "1 boards in a row were not helped; it stops for 6 h"
    hang(bench, "pi-21")
    bench.boards["pi-11"].beating = True
    await bench.pass_time(150)
    assert bench.node("pi-21").verdict is Verdict.HUNG
    assert not bench.boards["pi-21"].orders
    assert told(bench)[3].startswith("nothing is healed: stopped for another 5 h 59")


async def test_a_person_may_name_the_one_board_that_cannot_be_asked(
    bench: Bench,
) -> None:
    bench.boards["pi-11"].leave()
    await bench.pass_time(3)
    assert bench.node("pi-11").verdict is Verdict.HUNG
    where = "stack/1 power"
    (wrong,) = await bench.ask(where, "off force=s09n9 confirm=stack/1")
    assert "node 's09n9' is not known" in wrong.error
    await bench.ask(where, "off force=s01n1 confirm=stack/1")
    assert [order.verb for order in bench.boards["pi-12"].orders] == ["shutdown"]
    bench.now += 1
    bench.boards["pi-12"].shut_down()
    await bench.pass_time(7)
    assert switchings(bench) == [("stack-1", False)]
    final = bench.final(where)
    assert (final.ok, final.verified) == (True, False)


async def test_a_board_that_can_be_asked_is_asked_although_it_is_named(
    bench: Bench,
) -> None:
    await bench.ask("stack/1 power", "off force=s01n1 confirm=stack/1")
    assert [order.verb for order in bench.boards["pi-11"].orders] == ["shutdown"]
    bench.boards["pi-12"].die()
    await bench.pass_time(20)
    assert switchings(bench) == []
