"""What a master says that was restarted, or whose broker was: only what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.common.config import RackSettings
from broker.contract.messages import EventKind, Power, Verdict
from broker.contract.topics import NodeLeaf, Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

T = Topics("lab")


async def restart(bench: Bench, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Restart the master, and return where the events of that begin."""
    begins = len(bench.events)
    await bench.restart(meanwhile)
    return begins


def told(bench: Bench, begins: int) -> list[str]:
    events = bench.events[begins:]
    return [event.text for event in events if event.kind is EventKind.VERDICT]


@pytest.fixture
async def off(bench: Bench) -> Bench:
    """A rack whose first stack is off."""
    for name in ("pi-11", "pi-12"):
        bench.boards[name].shut_down()
    await bench.pass_time(40)
    await bench.ask("stack/1 power", "off confirm=stack/1")
    await bench.pass_time(10)
    assert bench.verdicts["s01n1"] == Verdict.OFF
    return bench


async def test_what_was_off_before_is_not_told_again(off: Bench) -> None:
    since = off.node("pi-11").since
    begins = await restart(off)
    await off.pass_time(40)
    assert off.node("pi-11").verdict is Verdict.OFF
    assert off.node("pi-11").since == since
    assert told(off, begins) == []


async def test_a_board_that_was_hung_before_is_no_new_incident(bench: Bench) -> None:
    bench.boards["pi-11"].leave()
    await bench.pass_time(31)
    assert bench.verdicts["s01n1"] == Verdict.HUNG
    begins = await restart(bench)
    await bench.pass_time(40)
    assert bench.verdicts["s01n1"] == Verdict.HUNG
    assert told(bench, begins) == []
    assert not any(event.incident for event in bench.events[begins:])


async def test_a_power_command_that_was_over_at_once_is_not_told_again(
    bench: Bench,
) -> None:
    bench.boards["pi-11"].leave()
    await bench.pass_time(31)
    await bench.ask("stack/1 power", "off confirm=stack/1")
    assert "cannot be asked to shut down" in bench.events[-1].text
    begins = await restart(bench)
    assert [e.text for e in bench.events[begins:] if e.kind is EventKind.COMMAND] == []


async def test_what_changed_while_it_was_away_is_told(off: Bench) -> None:
    begins = await restart(off, off.boards["pi-21"].die)
    await off.pass_time(5)
    assert told(off, begins) == [
        "s02n1 is lost: its connection broke, and no answer to ping",
    ]


@pytest.mark.parametrize(("gone", "verdict"), [("leave", "hung"), ("die", "lost")])
async def test_who_left_while_only_the_master_was_away_is_judged_at_once(
    bench: Bench, gone: str, verdict: str
) -> None:
    await bench.pass_time(5)  # connected for longer than the grace, by their beats
    await restart(bench, getattr(bench.boards["pi-11"], gone))
    await bench.pass_time(3)
    assert bench.verdicts["s01n1"] == verdict
    assert bench.rack.frozen == ""


async def test_after_a_restart_of_the_broker_too_boards_have_their_grace(
    bench: Bench,
) -> None:
    await bench.all_come()
    await restart(bench, bench.boards["pi-11"].leave)
    await bench.pass_time(1)
    assert bench.verdicts["s01n1"] == Verdict.UNKNOWN
    assert bench.rack.frozen == "the master just started; 1 board not heard again yet"


@pytest.mark.parametrize("on", [True, False])
async def test_an_outlet_taken_out_of_the_configuration_while_on_is_named(
    bench: Bench, *, on: bool
) -> None:
    if not on:
        await bench.ask("stack/2 power", "off force confirm=stack/2")
        while bench.stack(2).power is Power.ON:
            await bench.pass_time(5)
    before = bench.outlets.relays().switchings
    bench.settings = msgspec.structs.replace(
        bench.settings, rack=RackSettings(name="lab", stacks=1, boards=2), nodes=()
    )
    begins = await restart(bench)
    faults = [e.text for e in bench.events[begins:] if e.kind is EventKind.FAULT]
    named = "outlet stack-2 is not in the configuration any more; it was on when last"
    assert any(named in text for text in faults) is on
    assert bench.outlets.relays().switchings == before


async def test_what_the_broker_kept_of_an_older_session_is_no_second_board(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    kept = bench.stored(T.node("pi-11", NodeLeaf.DETAILS))
    bench.master.on_connected("after the broker came back")
    board.session = "new"
    board.beat()
    await bench.calm()
    bench.master.on_message(kept)
    board.come()
    await bench.calm()
    assert bench.node("pi-11").faults == ()
