"""Why a node cannot do what is asked, in the words of whoever knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.master_service.conftest import Bench


async def test_a_refusal_says_why_the_node_cannot_do_it(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    why = "no permission to write /sys/class/leds/ACT/trigger"
    board.details(unable={"identify": why})
    await bench.ask("node/s01n1 identify")
    (row,) = bench.final("node/s01n1 identify").targets
    assert row.error == f"it cannot 'identify': {why}"
    assert board.orders == []
