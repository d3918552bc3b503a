"""Off means safely off: asked, proven down, settled, cut, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import EventKind, Phase, Power, Verdict

if TYPE_CHECKING:
    from broker.contract.messages import Reply
    from tests.master_service.bench import Bench

STACK = ("pi-11", "pi-12")
OFF = "off confirm=stack/1"
CYCLE = "cycle confirm=stack/1"
WHERE = "stack/1 power"


def switchings(bench: Bench) -> list[tuple[str, bool]]:
    return [(one.outlet, one.on) for one in bench.outlets.relays().switchings]


async def begin(bench: Bench, payload: str) -> Reply:
    first = (await bench.ask(WHERE, payload))[0]
    bench.now += 1
    return first


async def go_down(bench: Bench, *node_ids: str) -> None:
    for node_id in node_ids:
        bench.boards[node_id].shut_down()
    await bench.pass_time(3)


async def test_a_stack_goes_off_when_every_board_is_down_and_not_before(
    bench: Bench,
) -> None:
    first = await begin(bench, OFF)
    assert first.phase is Phase.ACCEPTED
    for node_id in STACK:
        assert [o.verb for o in bench.boards[node_id].orders] == ["shutdown"]
        assert bench.node(node_id).verdict is Verdict.STOPPING
    await go_down(bench, "pi-11")
    await bench.pass_time(20)
    assert switchings(bench) == [], "cut although one is still up"
    await go_down(bench, "pi-12")
    assert switchings(bench) == [], "cut before the card has settled"
    await bench.pass_time(3)
    assert switchings(bench) == [("stack-1", False)]
    final = bench.final(WHERE)
    assert final.ok is True
    assert final.verified
    assert bench.node("pi-11").verdict is Verdict.OFF
    state = bench.stack(1)
    assert (state.wanted, state.power, state.worst) == (
        Power.OFF,
        Power.OFF,
        Verdict.OFF,
    )
    assert bench.stack(2).power is Power.ON


async def test_a_board_that_refuses_saves_its_stack_and_is_named(bench: Bench) -> None:
    await begin(bench, OFF)
    board = bench.boards["pi-12"]
    board.answer(board.orders[0], Phase.REFUSED, error="sudo: a password is required")
    await go_down(bench, "pi-11")
    final = bench.final(WHERE)
    assert final.ok is False
    rows = {row.name: row.error for row in final.targets}
    assert "sudo: a password is required; `power off force` cuts" in rows["s01n2"]
    assert "not cut, because of s01n2" in rows["s01n1"]
    assert switchings(bench) == []
    assert bench.stack(1).wanted is Power.ON
    assert bench.node("pi-12").verdict is Verdict.ONLINE


async def test_a_board_that_does_not_go_down_in_time_saves_its_stack(
    bench: Bench,
) -> None:
    await begin(bench, OFF)
    await go_down(bench, "pi-11")
    await bench.pass_time(90)
    assert "not down within 90 s" in bench.final(WHERE).error
    assert switchings(bench) == []


async def test_a_hung_board_cannot_be_asked_so_it_needs_force(bench: Bench) -> None:
    bench.boards["pi-11"].leave()
    await bench.pass_time(2)
    await begin(bench, OFF)
    assert "cannot be asked to shut down" in bench.final(WHERE).error
    assert bench.boards["pi-12"].orders == [], "nobody is shut down in vain"
    assert switchings(bench) == []


async def test_force_cuts_all_the_same(bench: Bench) -> None:
    await begin(bench, "off force confirm=stack/1")
    await go_down(bench, "pi-11")
    assert switchings(bench) == []
    await bench.pass_time(95)
    assert switchings(bench) == [("stack-1", False)]
    assert bench.final(WHERE).ok is True


async def test_dead_boards_are_not_waited_for(bench: Bench) -> None:
    for node_id in STACK:
        bench.boards[node_id].die()
        await bench.pass_time(2)
    await begin(bench, "off force confirm=stack/1")
    await bench.pass_time(1)
    assert switchings(bench) == [("stack-1", False)]


async def test_a_cycle_is_done_when_other_boot_ids_are_there(bench: Bench) -> None:
    await begin(bench, CYCLE)
    await go_down(bench, *STACK)
    await bench.pass_time(3)
    assert switchings(bench) == [("stack-1", False)]
    await bench.pass_time(1)
    assert switchings(bench) == [("stack-1", False)], "on again too soon"
    await bench.pass_time(5)
    assert switchings(bench) == [("stack-1", False), ("stack-1", True)]
    assert bench.node("pi-11").verdict is Verdict.BOOTING
    for node_id in STACK:
        bench.boards[node_id].boot_id = f"{node_id}-second-boot"
        bench.boards[node_id].come()
    await bench.pass_time(1)
    final = bench.final(WHERE)
    assert final.ok is True
    assert final.verified
    assert bench.node("pi-11").verdict is Verdict.ONLINE
    assert bench.master.rack.registry.nodes["pi-11"].boot_s is not None


async def test_a_board_that_does_not_come_back_is_named(bench: Bench) -> None:
    await begin(bench, CYCLE)
    await go_down(bench, *STACK)
    await bench.pass_time(12)
    bench.boards["pi-11"].boot_id = "second"
    bench.boards["pi-11"].come()
    await bench.pass_time(245)
    final = bench.final(WHERE)
    assert [row.phase for row in final.targets] == [Phase.DONE, Phase.FAILED]
    assert "it did not come in 240 s" in final.error


async def test_on_waits_for_the_rest_of_the_pause(bench: Bench) -> None:
    await begin(bench, "off force confirm=stack/1")
    await go_down(bench, *STACK)
    await bench.pass_time(3)
    await bench.ask(WHERE, "on")
    await bench.pass_time(1)
    assert switchings(bench)[-1] == ("stack-1", False)
    await bench.pass_time(6)
    assert switchings(bench)[-1] == ("stack-1", True)


async def test_setting_the_clock_does_not_shorten_the_pause(bench: Bench) -> None:
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    while bench.stack(1).power is Power.ON:
        await bench.pass_time(1)
    bench.clock_jump_s = 3_600.0
    await bench.ask(WHERE, "on nowait")
    await bench.pass_time(3)
    assert bench.stack(1).power is Power.OFF, "off for 3 seconds, not for an hour"
    await bench.pass_time(3)
    assert bench.stack(1).power is Power.ON


async def test_a_relay_that_fails_is_told_and_nothing_is_claimed(bench: Bench) -> None:
    bench.outlets.fails["stack-1"] = "relay board does not answer"
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    await bench.pass_time(4)
    final = bench.final(WHERE)
    assert "relay board does not answer" in final.error
    assert not final.verified
    assert (bench.stack(1).wanted, bench.stack(1).power) == (Power.ON, Power.ON)


async def test_a_second_power_command_waits_its_turn(bench: Bench) -> None:
    await begin(bench, OFF)
    final = (await bench.ask(WHERE, CYCLE))[-1]
    assert final.phase is Phase.REFUSED
    assert "busy" in final.error


async def test_starting_and_stopping_the_master_switches_nothing(bench: Bench) -> None:
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    await bench.pass_time(4)
    before = switchings(bench)
    for _ in range(3):
        await bench.restart()
    assert switchings(bench) == before
    assert (bench.stack(1).wanted, bench.stack(1).power) == (Power.OFF, Power.OFF)
    assert bench.node("pi-11").verdict is Verdict.OFF


async def test_an_outlet_found_otherwise_than_wanted_is_left_and_told(
    bench: Bench,
) -> None:
    await bench.master.stop()
    await bench.outlets.switch("stack-1", on=False)
    bench.master = bench.make()
    await bench.master.start()
    await bench.calm()
    assert (bench.stack(1).wanted, bench.stack(1).power) == (Power.ON, Power.OFF)
    assert "left as it is" in next(
        e.text for e in reversed(bench.events) if e.kind is EventKind.POWER
    )


async def test_the_wanted_level_is_on_disk_before_the_relay_moves(
    bench: Bench,
) -> None:
    order: list[str] = []
    store, outlets = bench.master._store, bench.outlets  # noqa: SLF001  # the order of two doors is the point
    commit, switch = store.commit, outlets.switch

    async def committed() -> None:
        await commit()
        order.append("disk")

    async def switched(outlet: str, *, on: bool) -> None:
        order.append("relay")
        await switch(outlet, on=on)

    store.commit = committed  # type: ignore[method-assign]  # as above
    outlets.switch = switched  # type: ignore[method-assign]  # as above
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    order.clear()
    await bench.pass_time(4)
    assert order[:2] == ["disk", "relay"]


async def test_every_switching_is_a_line_of_history(bench: Bench) -> None:
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    await bench.pass_time(4)
    (event,) = [e for e in bench.events if e.kind is EventKind.POWER]
    assert (event.text, event.stack) == ("outlet stack-1 was switched off", 1)


async def test_a_board_that_does_not_come_back_with_its_power_is_missed(
    bench: Bench,
) -> None:
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    await bench.pass_time(10)
    await bench.ask(WHERE, "on")
    await bench.pass_time(2)
    bench.boards["pi-11"].come()
    await bench.pass_time(300)
    assert bench.node("pi-11").verdict is Verdict.ONLINE
    assert bench.node("pi-12").verdict is Verdict.LOST, "not off on purpose any more"


async def test_switching_on_without_waiting_ends_when_the_outlet_reads_on(
    bench: Bench,
) -> None:
    await begin(bench, OFF)
    await go_down(bench, *STACK)
    await bench.pass_time(10)
    await bench.ask(WHERE, "on nowait")
    await bench.pass_time(2)
    final = bench.final(WHERE)
    assert (final.ok, final.verified) == (True, True)
    assert bench.stack(1).power is Power.ON
    assert bench.node("pi-11").verdict is Verdict.BOOTING
    refused = (await bench.ask(WHERE, "off nowait confirm=stack/1"))[-1]
    assert "is not known; write `power on`" in refused.error
