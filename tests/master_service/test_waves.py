"""A command on many boards goes a few at a time, and stops when it does harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Command, EventKind, Phase, encode
from broker.contract.verbs import Verb
from master_service.commands.orders import wave_size
from master_service.rack.settings import MasterSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.master_service.bench import Bench, Board

RACK = "rack reboot"


def told(bench: Bench) -> list[str]:
    return [board.id for board in bench.boards.values() if board.orders]


def boot(board: Board) -> None:
    board.boot_id = f"{board.id}-boot-{len(board.orders) + 1}"
    board.come()


async def boot_all(bench: Bench) -> None:
    for node_id in told(bench):
        boot(bench.boards[node_id])
    await bench.calm()


@pytest.mark.parametrize(
    ("verb", "wave", "targets", "expected"),
    [
        (Verb.REBOOT, None, 48, 4),
        (Verb.UPDATE, None, 48, 4),
        (Verb.SHUTDOWN, None, 48, 48),
        (Verb.PING, None, 1000, 1000),
        ("temperature", 10, 48, 10),
        (Verb.REBOOT, 0, 48, 48),
        (Verb.REBOOT, 99, 48, 48),
        (Verb.REBOOT, None, 0, 0),
    ],
)
def test_how_many_go_at_a_time(
    verb: str, wave: int | None, targets: int, expected: int
) -> None:
    assert wave_size(verb, Command(wave=wave), targets) == expected


async def test_the_next_wave_begins_when_the_last_is_proven_and_a_pause_is_over(
    bench: Bench,
) -> None:
    await bench.ask(RACK, "wave=2 pause_s=5 confirm=rack")
    assert told(bench) == ["pi-11", "pi-12"]
    await boot_all(bench)
    await bench.pass_time(4)
    assert told(bench) == ["pi-11", "pi-12"]
    await bench.pass_time(2)
    assert told(bench) == ["pi-11", "pi-12", "pi-21", "pi-22"]
    for node_id in ("pi-21", "pi-22"):
        boot(bench.boards[node_id])
    await bench.calm()
    final = bench.final(RACK)
    assert final.ok is True
    assert final.verified
    said = [e.text for e in bench.events if e.kind is EventKind.COMMAND]
    assert "reboot rack: wave 2 of 2: s02n1, s02n2" in said


async def test_an_order_of_a_late_wave_has_all_its_time_to_begin(bench: Bench) -> None:
    await bench.ask(RACK, "wave=2 pause_s=60 confirm=rack")
    await boot_all(bench)
    await bench.pass_time(61)
    assert bench.boards["pi-21"].orders[0].ttl_s == 30.0


async def test_a_failure_stops_what_has_not_begun_and_says_so(bench: Bench) -> None:
    await bench.ask(RACK, "wave=2 confirm=rack")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.REFUSED, error="no permission")
    boot(bench.boards["pi-12"])
    await bench.calm()
    final = bench.final(RACK)
    rows = {row.name: (row.phase, row.error) for row in final.targets}
    assert rows["s01n1"] == (Phase.REFUSED, "no permission")
    assert rows["s01n2"][0] is Phase.DONE
    stopped = (Phase.NOT_DELIVERED, "not started: stopped because s01n1 failed")
    assert rows["s02n1"] == rows["s02n2"] == stopped
    assert told(bench) == ["pi-11", "pi-12"]


async def test_a_failure_is_passed_over_if_that_is_asked(bench: Bench) -> None:
    await bench.ask(RACK, "wave=2 on_failure=continue confirm=rack")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.REFUSED, error="no permission")
    boot(bench.boards["pi-12"])
    await bench.calm()
    assert told(bench) == ["pi-11", "pi-12", "pi-21", "pi-22"]


async def test_who_is_offline_is_answered_at_once_and_stops_nothing(
    bench: Bench,
) -> None:
    bench.boards["pi-11"].die()
    await bench.pass_time(3)
    await bench.ask(RACK, "wave=1 confirm=rack")
    assert told(bench) == ["pi-12"]
    await bench.pass_time(1)
    progress = bench.replies(RACK)[-1]
    assert [(r.name, r.phase) for r in progress.targets] == [
        ("s01n1", Phase.NOT_DELIVERED)
    ]


async def test_an_alias_goes_in_waves_too(bench: Bench) -> None:
    where = "rack temperature"
    await bench.ask(where, encode(Command(id="t1", wave=3)))
    assert told(bench) == ["pi-11", "pi-12", "pi-21"]
    await bench.answer_all()
    assert told(bench) == ["pi-11", "pi-12", "pi-21", "pi-22"]
    await bench.answer_all()
    assert bench.final(where).ok is True


async def test_cancelled_what_has_not_begun_never_does(bench: Bench) -> None:
    await bench.ask(RACK, encode(Command(id="r1", confirm="rack", wave=2)))
    await bench.ask("rack cancel", encode(Command(args=("r1",), by="ann")))
    answer = bench.final("rack cancel")
    rows = {row.name: row for row in answer.targets}
    assert rows["s02n1"].phase is Phase.DONE
    assert "was begun there already" in rows["s01n1"].error
    await boot_all(bench)
    final = {row.name: row.error for row in bench.final(RACK).targets}
    assert final["s02n2"] == "not started: cancelled by ann"
    assert final["s01n1"] == ""
    assert told(bench) == ["pi-11", "pi-12"]


async def test_a_board_that_boots_before_its_turn_still_gets_it(bench: Bench) -> None:
    await bench.ask(RACK, "wave=2 confirm=rack")
    boot(bench.boards["pi-22"])
    await bench.calm()
    await boot_all(bench)
    assert "pi-22" in told(bench)
    assert bench.replies(RACK)[-1].ok is not True


async def test_a_word_that_makes_no_sense_is_refused(bench: Bench) -> None:
    refused = (await bench.ask(RACK, "wave=some confirm=rack"))[-1]
    assert "wave=some cannot be" in refused.error
    assert told(bench) == []


async def test_the_masters_own_board_goes_last(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    own = MasterSettings(data_dir=str(tmp_path), node="pi-11")
    bench = make_bench(master=own)
    await bench.master.start()
    await bench.all_come()
    await bench.ask("rack reboot", "wave=3 confirm=rack")
    assert told(bench) == ["pi-12", "pi-21", "pi-22"]
