"""What the master learns of a board by pinging it while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import Askable
from master_service.power.evidence import ruling

if TYPE_CHECKING:
    from tests.master_service.bench import Bench


def askable(bench: Bench, node_id: str) -> Askable:
    node = bench.master.rack.registry.nodes[node_id]
    return ruling(bench.master.rack, node, bench.now).askable


async def test_each_board_is_pinged_once_in_each_boot(bench: Bench) -> None:
    await bench.pass_time(60)
    asked = sorted(bench.prober.asked)
    assert asked == sorted(board.address for board in bench.boards.values())
    board = bench.boards["pi-11"]
    board.boot_id = board.session = "another"
    board.come()
    await bench.pass_time(60)
    assert bench.prober.asked.count(board.address) == 2
    assert askable(bench, "pi-11") is Askable.MUST_BE_ASKED


async def test_a_board_that_does_not_answer_is_pinged_three_times(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    bench.prober.alive.discard(board.address)
    board.boot_id = board.session = "another"
    board.details()
    board.beat()
    before = bench.prober.asked.count(board.address)
    await bench.pass_time(120)
    assert bench.prober.asked.count(board.address) - before == 3
    assert askable(bench, "pi-11") is Askable.CANNOT_BE_ASKED


async def test_that_it_answered_is_known_after_a_restart_of_the_master(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    await bench.restart()
    node = bench.master.rack.registry.nodes["pi-11"]
    assert node.answers_ping


async def test_a_board_that_answers_again_after_it_left_booted_again(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    board = bench.boards["pi-11"]
    board.shut_down()
    await bench.pass_time(2)
    assert askable(bench, "pi-11") is Askable.DOWN
    await bench.pass_time(20)
    bench.prober.alive.add(board.address)
    await bench.pass_time(60)
    bench.prober.alive.discard(board.address)
    await bench.pass_time(60)
    node = bench.master.rack.registry.nodes["pi-11"]
    node.probe_at = bench.now
    assert askable(bench, "pi-11") is Askable.CANNOT_BE_ASKED
