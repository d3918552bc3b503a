"""No board is cut without evidence that it is down; what is cut unasked says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import (
    Ability,
    Command,
    Phase,
    Power,
    Reply,
    RowCode,
    TargetRow,
    Verdict,
    encode,
)
from master_service.power.fake import FakeOutlets
from master_service.presence.probe import PingAnswer
from master_service.rack.layout import FoundBoard
from master_service.rack.settings import Driver, OutletRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench
    from tests.master_service.power_lab import Lab

OFF = "off confirm=stack/1"
WHERE = "stack/1 power"
FOUND = FoundBoard("b8:27:eb:00:00:07", "s01n7", 1, 7, "10.0.0.7")


class Denied:
    """A prober that is not allowed to ping."""

    def __init__(self, bench: Bench) -> None:
        self.asked: list[str] = []
        self.alive = bench.prober.alive

    async def start(self) -> None:
        """Do nothing."""

    async def probe(self, address: str) -> PingAnswer:
        self.asked.append(address)
        return PingAnswer(answered=False, note="no socket: ICMP is not allowed")

    async def stop(self) -> None:
        """Do nothing."""


def row(reply: Reply, name: str) -> TargetRow:
    return next(one for one in reply.targets if one.name == name)


async def ask(bench: Bench, payload: str) -> None:
    await bench.ask(WHERE, payload)
    bench.now += 1
    await bench.pass_time(4)


def nobody_was_told(bench: Bench) -> None:
    for node_id in ("pi-11", "pi-12"):
        assert bench.boards[node_id].orders == [], "nobody is shut down in vain"


def refused(bench: Bench, name: str, words: str) -> None:
    """Check that the stack was left on, and that one board is named for it."""
    assert bench.stack(1).power is Power.ON
    assert bench.stack(1).wanted is Power.ON
    final = bench.final(WHERE)
    assert final.ok is False
    assert not final.verified
    found = row(final, name)
    assert (found.phase, found.code) == (Phase.REFUSED, RowCode.CANNOT_BE_ASKED)
    assert words in found.error
    assert f"force={name}" in found.error
    nobody_was_told(bench)


async def test_boards_behind_a_dead_switch_are_not_cut(bench: Bench) -> None:
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].freeze()
    await bench.pass_time(45)
    assert bench.node("pi-11").verdict is Verdict.UNPOWERED
    await ask(bench, OFF)
    refused(bench, "s01n1", "fell silent together")
    refused(bench, "s01n2", "fell silent together")


async def test_a_lost_board_is_not_cut_and_its_mate_not_shut_down(
    bench: Bench,
) -> None:
    bench.boards["pi-11"].die()
    await bench.pass_time(45)
    assert bench.node("pi-11").verdict is Verdict.LOST
    await ask(bench, OFF)
    refused(bench, "s01n1", "lost")
    mate = row(bench.final(WHERE), "s01n2")
    assert mate.phase is Phase.REFUSED
    assert mate.code is RowCode.BECAUSE_OF_OTHERS
    assert mate.error == "not cut, because of s01n1"


async def test_a_board_whose_agent_died_and_that_cannot_be_pinged_is_not_cut(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    bench.prober = Denied(bench)  # type: ignore[assignment]  # it is not asked for more
    bench.master = bench.make()
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    bench.boards["pi-11"].leave()
    await bench.pass_time(40)
    await ask(bench, OFF)
    refused(bench, "s01n1", "cannot be asked to shut down")
    refused(bench, "s01n2", "ICMP is not allowed")


async def test_a_board_that_was_never_heard_is_not_cut(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    bench.boards["pi-12"].come()
    await bench.pass_time(60)
    assert bench.node("pi-11").verdict is Verdict.UNSEEN
    await ask(bench, OFF)
    refused(bench, "s01n1", "ever heard (node pi-11)")


async def test_a_board_that_never_answers_pings_is_named_before_it_is_told(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    bench.prober.alive.discard(bench.boards["pi-11"].address)
    await ask(bench, OFF)
    refused(bench, "s01n1", "did not answer a ping since it booted")


async def test_a_board_that_stopped_answering_pings_is_named_before_it_is_told(
    bench: Bench,
) -> None:
    await bench.pass_time(3)
    bench.prober.alive.discard(bench.boards["pi-11"].address)
    await ask(bench, OFF)
    refused(bench, "s01n1", "does not answer ping now")


async def test_a_board_that_cannot_shut_down_is_named_before_its_mate_is_told(
    bench: Bench,
) -> None:
    board = bench.boards["pi-12"]
    board.details(abilities=(Ability(verb="ping"),), unable={"shutdown": "no sudo"})
    await bench.calm()
    await ask(bench, OFF)
    refused(bench, "s01n2", "it cannot 'shutdown': no sudo")


async def test_no_stack_is_shut_down_if_a_board_of_another_cannot_be_asked(
    bench: Bench,
) -> None:
    bench.boards["pi-21"].die()
    await bench.pass_time(45)
    await bench.ask("rack power", "off confirm=rack")
    await bench.pass_time(4)
    final = bench.final("rack power")
    assert final.phase is Phase.REFUSED
    assert "lost" in row(final, "s02n1").error
    assert row(final, "s01n1").error == "not cut, because of s02n1"
    nobody_was_told(bench)
    assert bench.boards["pi-22"].orders == []


async def test_a_board_that_an_install_run_found_is_not_cut(bench: Bench) -> None:
    bench.master.rack.placement.found = (FOUND,)
    final = (await bench.ask(WHERE, "cycle"))[-1]
    assert "s01n7" in final.error, "it is among those who lose power"
    await ask(bench, "cycle confirm=stack/1")
    refused(bench, "s01n7", "b8:27:eb:00:00:07")


async def test_a_found_board_is_cut_with_force_and_never_verified(
    bench: Bench,
) -> None:
    bench.master.rack.placement.found = (FOUND,)
    await ask(bench, "off force=s01n7 confirm=stack/1")
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].shut_down()
    await bench.pass_time(8)
    assert bench.stack(1).power is Power.OFF
    final = bench.final(WHERE)
    assert final.ok is True
    assert not final.verified
    found = row(final, "s01n7")
    assert (found.verified, found.code) == (False, RowCode.CUT_UNASKED)
    assert "b8:27:eb:00:00:07" in found.error
    assert row(final, "s01n1").verified


async def test_a_found_board_whose_agent_speaks_is_asked_like_any_other(
    bench: Bench,
) -> None:
    bench.master.rack.placement.found = (FOUND,)
    bench.boards["pi-11"].details(macs=(FOUND.mac,))
    await bench.calm()
    await ask(bench, OFF)
    assert [order.verb for order in bench.boards["pi-11"].orders] == ["shutdown"]


@pytest.mark.parametrize("force", ["force", "force=s01n1", "force=pi-11"])
async def test_what_is_cut_unasked_is_done_and_never_verified(
    bench: Bench, force: str
) -> None:
    bench.boards["pi-11"].die()
    await bench.pass_time(45)
    await ask(bench, f"off {force} confirm=stack/1")
    bench.boards["pi-12"].shut_down()
    await bench.pass_time(8)
    assert bench.stack(1).power is Power.OFF
    final = bench.final(WHERE)
    assert final.ok is True
    assert not final.verified
    cut = row(final, "s01n1")
    assert (cut.phase, cut.verified) == (Phase.DONE, False)
    assert cut.code is RowCode.CUT_UNASKED
    assert "lost" in cut.error
    assert row(final, "s01n2").verified


async def test_a_forced_board_that_talks_is_asked_and_given_its_time(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    for node_id in ("pi-11", "pi-12"):
        bench.prober.alive.discard(bench.boards[node_id].address)
    await ask(bench, "off force confirm=stack/1")
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].shut_down()
    await bench.pass_time(80)
    assert bench.stack(1).power is Power.ON, "its services may take 90 s to stop"
    await bench.pass_time(20)
    assert bench.stack(1).power is Power.OFF
    final = bench.final(WHERE)
    assert [one.verified for one in final.targets] == [False, False]


async def test_a_connection_that_breaks_after_the_order_is_no_goodbye(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    await ask(bench, OFF)
    bench.boards["pi-11"].die()
    bench.boards["pi-12"].shut_down()
    await bench.pass_time(95)
    assert bench.stack(1).power is Power.ON
    error = row(bench.final(WHERE), "s01n1").error
    assert "not down within 90 s" in error
    mate = row(bench.final(WHERE), "s01n2")
    assert "`power cycle stack/1` brings it back" in mate.error


async def test_boards_that_were_shut_down_before_are_evidence(bench: Bench) -> None:
    await bench.pass_time(2)
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].shut_down()
    await bench.pass_time(60)
    await ask(bench, OFF)
    assert bench.stack(1).power is Power.OFF
    final = bench.final(WHERE)
    assert final.verified
    nobody_was_told(bench)


async def test_a_board_that_comes_back_while_its_mate_goes_down_is_not_cut(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    await ask(bench, OFF)
    bench.boards["pi-11"].shut_down()
    await bench.pass_time(10)
    bench.boards["pi-11"].boot_id = bench.boards["pi-11"].session = "again"
    bench.boards["pi-11"].come()
    bench.boards["pi-12"].shut_down()
    await bench.pass_time(10)
    assert bench.stack(1).power is Power.ON
    assert "came back" in row(bench.final(WHERE), "s01n1").error


async def test_a_refused_command_may_be_repeated_with_the_same_id(
    bench: Bench,
) -> None:
    bench.boards["pi-11"].die()
    await bench.pass_time(45)
    for args in (("off",), ("off", "force=s01n1")):
        command = Command(id="mine", args=args, confirm="stack/1")
        await bench.ask(WHERE, encode(command))
        await bench.pass_time(4)
    bench.boards["pi-12"].shut_down()
    await bench.pass_time(8)
    assert bench.stack(1).power is Power.OFF


@pytest.mark.parametrize("verb", ["reboot", "shutdown", "power"])
async def test_what_is_to_be_confirmed_may_be_repeated_with_the_same_id(
    bench: Bench, verb: str
) -> None:
    args = ("off",) if verb == "power" else ()
    first = await bench.ask(f"stack/1 {verb}", encode(Command(id="mine", args=args)))
    assert "repeat it with confirm=stack/1" in first[-1].error
    confirmed = Command(id="mine", args=args, confirm="stack/1")
    again = await bench.ask(f"stack/1 {verb}", encode(confirmed))
    assert again[0].phase is Phase.ACCEPTED
    third = await bench.ask(f"stack/1 {verb}", encode(confirmed))
    assert third == []


async def test_the_state_of_a_board_says_whether_it_can_be_asked(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    assert bench.node("pi-11").askable == "must-be-asked"
    bench.boards["pi-11"].die()
    bench.boards["pi-12"].shut_down()
    await bench.pass_time(60)
    assert bench.node("pi-11").askable == "cannot-be-asked"
    assert bench.node("pi-12").askable == "down"


async def test_a_rack_that_answers_for_itself_is_never_torn(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(3, 2)
    await lab.start()
    await lab.ask("rack power", "cycle")
    await lab.until_quiet()
    assert lab.torn == []
    final = lab.final()
    assert final.ok is True
    assert final.verified


async def test_a_board_whose_power_came_after_its_goodbye_may_be_booting(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].shut_down()
    await bench.pass_time(10)
    await ask(bench, "off confirm=stack/1")
    await bench.pass_time(10)
    await bench.ask(WHERE, "on nowait")
    await bench.pass_time(300)
    for restart in (False, True):
        if restart:
            await bench.restart()
            await bench.pass_time(60)
        await ask(bench, "cycle confirm=stack/1")
        refused_row = row(bench.final(WHERE), "s01n1")
        assert refused_row.code is RowCode.CANNOT_BE_ASKED, refused_row
        assert bench.stack(1).power is Power.ON


async def test_a_board_whose_outlet_came_on_while_the_master_was_away_may_be_booting(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].shut_down()
    await ask(bench, "off confirm=stack/1")
    await bench.pass_time(10)
    await bench.master.stop()
    await bench.outlets.switch("stack-1", on=True)
    bench.master = bench.make()
    await bench.master.start()
    await bench.calm()
    await bench.pass_time(60)
    await ask(bench, "cycle confirm=stack/1")
    assert row(bench.final(WHERE), "s01n1").code is RowCode.CANNOT_BE_ASKED


async def test_a_board_that_was_told_to_reboot_and_is_silent_is_not_down(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    await bench.ask("node/s01n1 reboot")
    bench.now += 1
    bench.boards["pi-11"].shut_down("reboot ordered")
    await bench.pass_time(300)
    await ask(bench, OFF)
    assert "told to reboot" in row(bench.final(WHERE), "s01n1").error
    assert bench.stack(1).power is Power.ON


async def test_a_board_that_an_outlet_names_and_that_was_never_heard_is_not_cut(
    make_bench: Callable[..., Bench],
) -> None:
    outlet = OutletRow(name="plug", driver=Driver.FAKE, nodes=("pi-99",))
    bench = make_bench(outlets=(outlet,), nodes=())
    bench.master = bench.make(
        FakeOutlets(bench.folder / "plug.json", ("plug", "stack-1", "stack-2"))
    )
    await bench.master.start()
    await bench.calm()
    await bench.ask("rack power", "off confirm=rack")
    await bench.pass_time(4)
    final = bench.final("rack power")
    assert row(final, "pi-99").code is RowCode.CANNOT_BE_ASKED
    await bench.ask("rack power", "off force=pi-99 confirm=rack")
    await bench.pass_time(4)
    final = bench.final("rack power")
    assert final.ok is True
    assert row(final, "pi-99").code is RowCode.CUT_UNASKED
