"""Commands and their receipts: once, in time, to whom it was meant, with proof."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Ability, Phase
from broker.contract.topics import NodeLeaf, Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

T = Topics("lab")


async def test_a_rack_wide_ping_has_a_row_for_every_board(bench: Bench) -> None:
    (accepted,) = await bench.ask("rack ping")
    assert accepted.phase is Phase.ACCEPTED
    await bench.answer_all()
    final = bench.final("rack ping")
    assert final.ok is True
    assert final.verified
    assert [row.name for row in final.targets] == ["s01n1", "s01n2", "s02n1", "s02n2"]
    assert {row.phase for row in final.targets} == {Phase.DONE}
    assert final.id == accepted.id == bench.boards["pi-11"].orders[0].id


@pytest.mark.parametrize(
    ("scope", "hit"),
    [
        ("node/pi-12", ["s01n2"]),
        ("node/s02n1", ["s02n1"]),
        ("stack/2", ["s02n1", "s02n2"]),
        ("tag/web", ["s01n1", "s02n1"]),
    ],
)
async def test_a_scope_reaches_whom_it_names(
    bench: Bench, scope: str, hit: list[str]
) -> None:
    await bench.ask(f"{scope} temperature")
    await bench.answer_all()
    assert [row.name for row in bench.final(f"{scope} temperature").targets] == hit


@pytest.mark.parametrize(
    ("where", "payload", "words"),
    [
        ("node/s01n9 ping", "", "did you mean 's01n"),
        ("stack/7 ping", "", "no node is in stack/7"),
        ("tag/nobody ping", "", "no node is in tag/nobody"),
        ("rack history", "", "does not carry out 'history'"),
        ("rack run", "", "run needs an alias"),
        ("rack reboot", "", "interrupts 4 boards (s01n1, s01n2, s02n1, s02n2)"),
        ("stack/1 shutdown", "confirm=stack/2", "repeat it with confirm=stack/1"),
        ("rack ping", "{", "cannot be read"),
        ("rack ping", '{"args": 3}', "cannot be read"),
        ("rack ping", '{"ttl_s": NaN}', "cannot be read"),
        ("rack ping", b"\xff\xfe", "neither plain UTF-8 words nor JSON"),
        ("rack ping", b"a\x00b", "control characters"),
        ("rack ping", "x" * 1_000_000, "1000000 bytes"),
        ("rack ping", json.dumps({"id": "x" * 65}), "at most 64"),
        ("rack name", "a", "name is for one node"),
        ("node/s01n1 name", "s01n2", "is that of pi-12"),
        ("node/s01n1 name", "Not Legal", "2 words"),
        ("node/s01n1 name", "Böse", "must match"),
        ("node/s01n1 place", "1 2", "s01n2 is in stack 1 slot 2"),
        ("node/s01n1 place", "9 1", "stack 9 is not in the rack"),
        ("node/s01n1 place", "1 9", "slot 9 is not in stack 1"),
        ("node/s01n1 place", "left", "write `<stack> <slot>`"),
        ("node/s01n1 tag", "", "no tag given"),
        ("node/s01n1 forget", "please", "write nothing, or `undo`"),
        ("node/s01n1 forget", "undo", "was not forgotten"),
        ("stack/1 power", "", "write `power on`"),
        ("stack/1 power", "on force", "is not known"),
        ("stack/1 power", "off", "repeat it with confirm=stack/1"),
        ("node/s01n1 power", "off", "s01n2 would lose power"),
        ("stack/1 pwoer", "cycle", "did you mean 'power'?"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_what_would_be_right(
    bench: Bench, where: str, payload: str | bytes, words: str
) -> None:
    replies = await bench.ask(where, payload)
    assert replies[-1].phase is Phase.REFUSED
    assert replies[-1].ok is False
    assert words in replies[-1].error
    assert not any(board.orders for board in bench.boards.values())


async def test_a_typo_in_an_alias_names_the_nearest(bench: Bench) -> None:
    final = (await bench.ask("node/s01n1 temprature"))[-1]
    assert "did you mean 'temperature'?" in final.error
    assert not bench.boards["pi-11"].orders


async def test_arguments_reach_the_node(bench: Bench) -> None:
    await bench.ask("node/s01n1 run", "temperature unit=c")
    order = bench.boards["pi-11"].orders[0]
    assert (order.verb, order.args) == ("run", ("temperature", "unit=c"))
    assert order.ttl_s == 30.0
    assert order.expires == bench.wall + 30.0


async def test_output_and_exit_code_come_back(bench: Bench) -> None:
    await bench.ask("node/s01n1 temperature")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.ACCEPTED)
    board.answer(board.orders[0], exit_code=0, stdout="48.5 °C\n")
    await bench.calm()
    (row,) = bench.final("node/s01n1 temperature").targets
    assert (row.exit_code, row.stdout, row.verified) == (0, "48.5 °C\n", False)


async def test_a_failure_of_one_is_a_failure_of_all_and_names_it(bench: Bench) -> None:
    await bench.ask("stack/1 temperature")
    good, bad = bench.boards["pi-11"], bench.boards["pi-12"]
    good.answer(good.orders[0])
    bad.answer(bad.orders[0], Phase.FAILED, exit_code=3)
    await bench.calm()
    final = bench.final("stack/1 temperature")
    assert (final.phase, final.ok) == (Phase.FAILED, False)
    assert final.error == "1 of 2 not done: s01n2: exit code 3"
    said = "temperature stack/1: failed, 1 of 2 done; s01n2: exit code 3"
    assert bench.events[-1].text == said


async def test_progress_carries_only_the_rows_that_changed(bench: Bench) -> None:
    await bench.ask("stack/1 temperature")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(1)
    progress = bench.replies("stack/1 temperature")[-1]
    assert progress.phase is Phase.RUNNING
    assert [row.name for row in progress.targets] == ["s01n1"]
    assert bench.node("pi-11").running is not None
    await bench.pass_time(1)
    assert bench.replies("stack/1 temperature")[-1] == progress, "nothing was new"


async def test_an_absent_board_is_answered_at_once(bench: Bench) -> None:
    bench.boards["pi-11"].die()
    await bench.pass_time(2)
    final = (await bench.ask("node/s01n1 temperature"))[-1]
    assert final.phase is Phase.NOT_DELIVERED
    assert "offline since 2023-11-14" in final.targets[0].error
    assert not bench.boards["pi-11"].orders


async def test_a_board_that_never_spoke_is_answered_at_once(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    final = (await bench.ask("rack reboot", "confirm=rack"))[-1]
    assert {row.error for row in final.targets} == {"never heard"}


async def test_no_answer_in_time_is_a_failure(bench: Bench) -> None:
    await bench.ask("node/s01n1 temperature")
    await bench.pass_time(5)
    assert "no answer in 5 s" in bench.final("node/s01n1 temperature").error


async def test_ping_tells_a_hung_board_from_a_lost_one(bench: Bench) -> None:
    bench.boards["pi-11"].leave()
    bench.boards["pi-12"].die()
    await bench.pass_time(2)
    final = (await bench.ask("stack/1 ping"))[-1]
    assert [row.phase for row in final.targets] == [Phase.NOT_DELIVERED] * 2
    first, second = (row.error.partition("UTC: ")[2] for row in final.targets)
    assert first == "hung, its connection broke, but the board answers ping"
    assert second == "lost, its connection broke, and no answer to ping"


async def test_ping_of_an_agent_that_stopped_answering_asks_the_board(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 ping")
    await bench.pass_time(6)
    final = bench.final("node/s01n1 ping")
    assert "no answer in 5 s; hung: the board answers ping" in final.error


async def test_an_agent_that_leaves_midway_fails_its_row(bench: Bench) -> None:
    await bench.ask("node/s01n1 temperature")
    bench.now += 1
    bench.boards["pi-11"].leave()
    await bench.calm()
    assert "left before it answered" in bench.final("node/s01n1 temperature").error


async def test_what_was_cleared_is_not_expected_back_for_ever(bench: Bench) -> None:
    router = bench.master._router  # noqa: SLF001  # its memory is what must not grow
    for round_ in range(5):
        for number in range(20):
            topic = T.node(f"ghost-{round_}-{number}", NodeLeaf.STATE)
            bench.broker.publish(topic, b"{}", qos=1, retain=True)
        await bench.pass_time(11)
    assert len(router._echoes) <= 20  # noqa: SLF001  # as above


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
