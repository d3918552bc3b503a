"""Which boards share a supply, and what the rack says when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import EventKind, Throttled, ThrottleFlag, Verdict
from master_service.rack.settings import Driver, OutletRow, PowerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.contract.messages import Event
    from tests.master_service.bench import Bench

STACK = ("pi-11", "pi-12")


def incident(bench: Bench) -> list[Event]:
    """Return the lines of the one incident there is."""
    mine = [event for event in bench.events if event.incident]
    assert len({event.incident for event in mine}) == 1, mine
    return mine


async def test_a_stack_that_fails_is_one_incident_with_every_line_in_it(
    bench: Bench,
) -> None:
    for node_id in STACK:
        bench.boards[node_id].freeze()
    await bench.pass_time(35)
    lines = incident(bench)
    (headline,) = [event for event in lines if event.kind is EventKind.INCIDENT]
    assert headline.text == (
        "stack 1: all 2 boards fell silent together while outlet stack-1 reads on; no "
        "power or no network: check its supply (PSU, fuse, relay contact, cable) and "
        "its switch"
    )
    assert headline.stack == 1
    for node_id in STACK:
        said = [event.text for event in lines if event.node == node_id]
        assert any("is late" in text for text in said)
        assert any("is unpowered" in text for text in said)
        bench.boards[node_id].come()
    await bench.pass_time(3)
    assert incident(bench)[-1].text.startswith("stack 1 is well again after")


async def test_what_a_power_command_does_carries_its_id_and_is_no_incident(
    bench: Bench,
) -> None:
    (first,) = await bench.ask("stack/1 power", "off confirm=stack/1 by=ann")
    bench.now += 1
    for node_id in STACK:
        bench.boards[node_id].shut_down()
    await bench.pass_time(10)
    assert bench.node("pi-11").verdict is Verdict.OFF
    edges = [event for event in bench.events if event.kind is EventKind.VERDICT]
    mine = [event for event in edges if event.correlation == first.id]
    assert {event.node for event in mine} == set(STACK)
    assert {event.verb for event in mine} == {"power"}
    assert not [event for event in bench.events if event.incident]


async def test_boards_of_one_outlet_share_it_not_their_stack(
    make_bench: Callable[..., Bench],
) -> None:
    row = OutletRow(name="stack-1", driver=Driver.FAKE, nodes=STACK)
    bench = make_bench(outlets=(row,), power=PowerSettings())
    await bench.master.start()
    await bench.all_come()
    for node_id in STACK:
        node = bench.master.rack.registry.nodes[node_id]
        bench.master.rack.registry.move(node, None, None)
        bench.boards[node_id].freeze()
    await bench.pass_time(35)
    assert bench.node("pi-11").verdict is Verdict.UNPOWERED
    assert "all 2 boards of its outlet" in bench.node("pi-11").reason


async def test_a_stack_not_heard_since_the_master_started_has_no_supply(
    bench: Bench,
) -> None:
    for node_id in STACK:
        bench.boards[node_id].freeze()
    await bench.restart(away_s=60)
    await bench.pass_time(40)
    assert bench.node("pi-12").verdict is Verdict.UNPOWERED
    assert "none of the 2 boards of its stack was heard" in bench.node("pi-12").reason


async def test_under_voltage_of_a_whole_stack_names_what_they_share(
    bench: Bench,
) -> None:
    for node_id in STACK:
        low = Throttled(now=(ThrottleFlag.UNDER_VOLTAGE,))
        bench.boards[node_id].beat(throttled=low)
        bench.boards[node_id].beating = False
    await bench.calm()
    await bench.pass_time(16)
    lines = incident(bench)
    assert [event.kind for event in lines] == [
        EventKind.FAULT,
        EventKind.FAULT,
        EventKind.INCIDENT,
    ]
    assert "under-voltage of stack 1: 2 boards complain" in lines[-1].text


async def test_a_broker_outage_is_one_incident_from_its_first_line(
    bench: Bench,
) -> None:
    bench.broker.stop()
    await bench.calm()
    await bench.pass_time(60, beating=False)
    bench.boards["pi-11"].freeze()
    bench.broker.start()
    await bench.pass_time(40)
    lines = incident(bench)
    kinds = [event.kind for event in lines if event.kind is not EventKind.VERDICT]
    assert kinds == [EventKind.INCIDENT, EventKind.SERVICE, EventKind.INCIDENT]
    assert lines[-1].text == "not back since the broker's outage: s01n1"
