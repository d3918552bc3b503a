"""Why a node cannot do what is asked, in the words of whoever knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import Ability, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench


async def test_a_refusal_says_why_the_node_cannot_do_it(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    why = "no permission to write /sys/class/leds/ACT/trigger"
    board.details(unable={"identify": why})
    await bench.ask("node/s01n1 identify")
    (row,) = bench.final("node/s01n1 identify").targets
    assert row.error == f"it cannot 'identify': {why}"
    assert board.orders == []


async def test_what_a_node_does_not_know_yet_of_itself_is_asked_of_it(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    board.details(
        abilities=(Ability(verb="ping"),),
        unprobed={"identify": "no answer from 'python3' within 30 s"},
    )
    await bench.ask("node/s01n1 identify")
    assert [order.verb for order in board.orders] == ["identify"]


async def test_what_nobody_knows_is_refused_at_once_and_explained_once(
    bench: Bench,
) -> None:
    (reply,) = await bench.ask("rack temprature")
    assert reply.phase is Phase.REFUSED
    assert reply.error.startswith(
        "none of 4 boards can 'temprature'; did you mean 'temperature'? it can: ping, "
    )
    assert {row.error for row in reply.targets} == {"it cannot 'temprature'"}
    assert [row.name for row in reply.targets] == ["s01n1", "s01n2", "s02n1", "s02n2"]


async def test_a_board_that_was_never_heard_does_not_hold_a_refusal_up(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    bench.boards["pi-11"].come()
    await bench.calm()
    (reply,) = await bench.ask("stack/1 blink")
    assert [(row.name, row.phase) for row in reply.targets] == [
        ("s01n1", Phase.REFUSED),
        ("s01n2", Phase.NOT_DELIVERED),
    ]


async def test_who_can_does_it_and_the_others_share_one_reason(bench: Bench) -> None:
    for name in ("pi-11", "pi-12", "pi-21"):
        bench.boards[name].details(abilities=(Ability(verb="ping"),))
    await bench.calm()
    await bench.ask("rack temperature")
    bench.boards["pi-22"].answer(bench.boards["pi-22"].orders[0])
    await bench.calm()
    final = bench.final("rack temperature")
    why = "it cannot 'temperature'"
    assert final.error == f"3 of 4 not done: s01n1, s01n2, s02n1: {why}"
    assert [row.phase for row in final.targets].count(Phase.DONE) == 1
