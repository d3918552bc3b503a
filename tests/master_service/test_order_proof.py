"""Orders that take long, or whose effect an exit code does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract import update_report
from broker.contract.messages import Ability, EventKind, Phase
from tests.master_service.bench import VERBS

if TYPE_CHECKING:
    from broker.contract.messages import Reply
    from tests.master_service.bench import Bench, Board

NODE = "node/s01n1"
ABLE = tuple(Ability(verb=verb) for verb in (*VERBS, "restart-agent"))


async def restarting(bench: Bench) -> Board:
    """Return a board whose agent said that it begins anew."""
    board = bench.boards["pi-11"]
    board.details(abilities=ABLE)
    await bench.calm()
    await bench.ask(f"{NODE} restart-agent")
    board.answer(board.orders[-1])
    board.leave()
    await bench.calm()
    assert not bench.replies(f"{NODE} restart-agent")[-1].phase.final
    return board


async def update(bench: Bench, stdout: str) -> Reply:
    """Return the receipt of an update that ends well with this output."""
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[-1], exit_code=0, stdout=stdout)
    await bench.calm()
    return bench.final(f"{NODE} update")


async def test_a_restarted_agent_is_another_session_of_the_same_boot(
    bench: Bench,
) -> None:
    board = await restarting(bench)
    board.session = "after"
    board.come()
    await bench.calm()
    final = bench.final(f"{NODE} restart-agent")
    assert (final.phase, final.verified) == (Phase.DONE, True)


async def test_an_agent_that_begins_anew_is_no_trouble(bench: Bench) -> None:
    begins = len(bench.events)
    board = await restarting(bench)
    assert "restart-agent asked" in bench.node("pi-11").reason
    await bench.pass_time(5)
    board.session = "after"
    board.come()
    await bench.calm()
    verdicts = [e for e in bench.events[begins:] if e.kind is EventKind.VERDICT]
    assert [event.text.partition(":")[0] for event in verdicts] == [
        "s01n1 is late",
        "s01n1 is online",
    ]
    assert not any(event.incident for event in verdicts)


async def test_another_boot_id_is_a_reboot_and_not_a_restart_of_the_agent(
    bench: Bench,
) -> None:
    board = await restarting(bench)
    board.session, board.boot_id = "after", "another"
    board.come()
    await bench.calm()
    final = bench.final(f"{NODE} restart-agent")
    assert final.phase is Phase.FAILED
    assert "the board rebooted, not only its agent" in final.error


async def test_another_connection_alone_is_no_restart_of_the_agent(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    board.details(abilities=ABLE)
    await bench.calm()
    await bench.ask(f"{NODE} restart-agent")
    board.session = "only-connected-again"
    board.come()
    await bench.pass_time(6)
    assert "no answer in 5 s" in bench.final(f"{NODE} restart-agent").error


async def test_an_agent_that_does_not_begin_anew_fails(bench: Bench) -> None:
    await restarting(bench)
    await bench.pass_time(61)
    error = bench.final(f"{NODE} restart-agent").error
    assert "no other session of it in 60 s" in error


async def test_an_update_of_an_hour_goes_on_while_its_agent_reports(
    bench: Bench,
) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    for minutes in range(0, 58, 10):
        board.answer(board.orders[0], Phase.RUNNING, stdout=f"minute {minutes}\n")
        await bench.pass_time(600)
        assert bench.replies(f"{NODE} update")[-1].phase is Phase.RUNNING
    assert bench.replies(f"{NODE} update")[-1].targets[0].stdout == "minute 50\n"
    board.answer(board.orders[0], exit_code=0, stdout=update_report.line(3, 0))
    await bench.calm()
    assert bench.final(f"{NODE} update").ok is True


async def test_an_agent_that_reports_no_more_fails(bench: Bench) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(901)
    assert "no progress for 900 s" in bench.final(f"{NODE} update").error


async def test_a_long_update_outlives_a_broken_connection(bench: Bench) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(60)
    board.leave()
    await bench.pass_time(90)
    board.session = "connected-again"
    board.come()
    await bench.pass_time(25)
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(600)
    board.answer(board.orders[0], exit_code=0, stdout=update_report.line(3, 0))
    await bench.calm()
    assert bench.final(f"{NODE} update").verified


@pytest.mark.parametrize("seconds", [5, 60])
async def test_an_update_whose_agent_does_not_come_back_fails(
    bench: Bench, seconds: int
) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(seconds)
    board.leave()
    await bench.pass_time(121)
    final = bench.final(f"{NODE} update")
    assert "its agent left before it answered" in final.error
    assert final.duration_s == pytest.approx(seconds if seconds < 10 else 180, abs=2)


@pytest.mark.parametrize("reboot", [False, True])
async def test_an_update_is_verified_when_it_says_that_nothing_is_left(
    bench: Bench, *, reboot: bool
) -> None:
    said = update_report.line(changed=3, left=0) + (
        f"\n{update_report.REBOOT}" if reboot else ""
    )
    final = await update(bench, said)
    assert (final.ok, final.verified) == (True, True)
    assert final.targets[0].stdout == said


@pytest.mark.parametrize(
    ("stdout", "why"),
    [
        ("All good.", "does not say what it left"),
        (update_report.line(changed=3, left=2), "it left updates: 2"),
    ],
)
async def test_an_update_is_not_verified_by_its_exit_code(
    bench: Bench, stdout: str, why: str
) -> None:
    final = await update(bench, stdout)
    assert (final.ok, final.verified) == (True, False)
    assert why in final.targets[0].error
