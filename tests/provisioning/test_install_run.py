"""Whole install runs on a rack in memory, in virtual time."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import pytest

from broker.messages import Power
from provisioning.errors import BusyError, NoRunError
from provisioning.fake import FakeBoard
from provisioning.plan import Place, Verdict
from provisioning.run.messages import ForeignServer
from provisioning.run.state import Leave, Run, Step

if TYPE_CHECKING:
    from tests.provisioning.conftest import Scene

Scenes = Callable[..., "Scene"]
T = TypeVar("T")


class Virtually(Protocol):
    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T: ...


def taken(run: Run) -> dict[str, tuple[str, str]]:
    """Return name and address by hardware address, of boards that are well."""
    return {
        place.mac: (place.name, place.address)
        for place in run.places
        if place.verdict is Verdict.OK
    }


def texts(run: Run, verdict: Verdict) -> str:
    return "\n".join(f.text for f in run.findings if f.verdict is verdict)


def place(run: Run, name: str) -> Place:
    return next(place for place in run.places if place.name == name)


def test_a_whole_rack_is_placed_addressed_and_verified(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(12, 4)
    run = virtually(stage.install())
    assert run.step is Step.DONE
    assert len(run.verified) == 48
    assert taken(run)["dc:a6:32:00:03:02"] == ("s03n2", "192.168.23.19")
    assert stage.announcer.states[-1].done == stage.announcer.states[-1].total == 48
    assert all(level is Power.ON for level in stage.rack.levels.values())


def test_a_second_run_changes_neither_names_nor_addresses(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 4)
    first = virtually(stage.install())
    second = virtually(stage.install())
    assert second.step is Step.DONE
    assert taken(second) == taken(first)


def test_swapped_boards_take_over_the_slots_of_the_old_ones(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(4, 4)
    before = taken(virtually(stage.install()))
    for stack, slot in ((1, 2), (2, 4), (4, 1)):
        old = stage.board(stack, slot)
        stage.rack.boards.remove(old)
        new = FakeBoard(f"dc:a6:32:ff:{stack:02x}:{slot:02x}", stack, boot_s=9)
        stage.rack.boards.append(new)
    run = virtually(stage.install())
    assert run.step is Step.DONE
    assert len(run.verified) == 16
    after = taken(run)
    assert after["dc:a6:32:ff:01:02"] == before["dc:a6:32:00:01:02"]
    assert after["dc:a6:32:ff:02:04"] == before["dc:a6:32:00:02:04"]
    assert after["dc:a6:32:ff:04:01"] == before["dc:a6:32:00:04:01"]
    assert {m: a for m, a in after.items() if m in before} == {
        m: a for m, a in before.items() if m in after
    }
    assert any("takes the place" in event for event in stage.announcer.events)


def test_a_board_that_moved_to_another_stack_is_moved_not_doubled(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 2)
    virtually(stage.install())
    stage.board(1, 1).stack = 3
    stage.board(3, 2).stack = 1
    run = virtually(stage.install())
    assert run.step is Step.DONE
    assert place(run, "s01n1").mac == "dc:a6:32:00:03:02"
    assert place(run, "s03n2").mac == "dc:a6:32:00:01:01"


def test_a_silent_board_is_missing_and_the_run_goes_on(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 4)
    stage.board(2, 3).silent = True
    run = virtually(stage.install())
    assert run.step is Step.PROBLEMS
    assert len(run.verified) == 11
    assert "s02n4: no board was heard" in texts(run, Verdict.MISSING)


def test_a_known_board_that_stays_silent_keeps_its_place(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    virtually(stage.install())
    stage.board(1, 1).silent = True
    run = virtually(stage.install())
    assert place(run, "s01n1").mac == "dc:a6:32:00:01:01"
    assert place(run, "s01n1").verdict is Verdict.MISSING
    assert "It keeps its place" in texts(run, Verdict.MISSING)


def test_a_stack_without_any_board_does_not_hang_the_run(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.boards = [b for b in stage.rack.boards if b.stack == 2]
    run = virtually(stage.install())
    assert run.step is Step.PROBLEMS
    assert len(run.verified) == 2


def test_who_talks_with_all_stacks_off_is_foreign(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)
    laptop = FakeBoard("00:11:22:33:44:55")
    stage.rack.boards.append(laptop)

    async def install() -> Run:
        stage.rack.speak(laptop, after_s=8)  # after the checks, within the baseline
        return await stage.install()

    run = virtually(install())
    assert run.step is Step.DONE  # a laptop is no fault of the rack
    assert "00:11:22:33:44:55 talks although" in texts(run, Verdict.FOREIGN)
    assert "00:11:22:33:44:55" not in {place.mac for place in run.places}


def test_a_stranger_in_a_window_is_found_by_the_cut_and_costs_no_board(
    scene: Scenes, virtually: Virtually
) -> None:
    """It fills the stack and the slowest board is cut off, so it is scanned again."""
    stage = scene(1, 4)
    stage.board(1, 4).boot_s = 60
    rogue = FakeBoard("00:11:22:33:44:55")
    stage.rack.boards.append(rogue)

    async def install() -> Run:
        stage.rack.speak(rogue, after_s=20)
        return await stage.install()

    run = virtually(install())
    assert run.step is Step.DONE
    assert len(run.verified) == 4
    assert "still answers with it off" in texts(run, Verdict.FOREIGN)


def test_one_hardware_address_in_two_stacks_is_named(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 2)
    stage.board(3, 1).mac = "dc:a6:32:00:01:02"
    run = virtually(stage.install())
    assert run.step is Step.PROBLEMS
    assert "heard in stack 1 and in stack 3" in texts(run, Verdict.IN_TWO_STACKS)
    assert place(run, "s01n2").verdict is Verdict.IN_TWO_STACKS
    assert len(run.verified) == 4
    macs = [p.mac for p in run.places if p.mac]
    assert len(macs) == len(set(macs))


def test_two_boards_with_one_hardware_address_in_a_stack_are_told_by_their_answers(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 3)
    stage.board(1, 2).mac = "dc:a6:32:00:01:01"
    run = virtually(stage.install())
    assert "two boards answer as dc:a6:32:00:01:01" in texts(run, Verdict.CONFLICT)


def test_a_board_more_than_the_stack_has_slots_is_overfull(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.boards.append(FakeBoard("dc:a6:32:ff:ff:ff", 1, boot_s=10))
    run = virtually(stage.install())
    assert "dc:a6:32:ff:ff:ff" in texts(run, Verdict.OVERFULL)
    assert len(run.verified) == 4


def test_an_address_in_use_is_not_reserved(scene: Scenes, virtually: Virtually) -> None:
    stage = scene(2, 2)
    stage.rack.boards.append(FakeBoard("00:11:22:33:44:55", static="192.168.23.12"))
    run = virtually(stage.install())
    assert "192.168.23.12, the address of s02n1, is used by 00:11:22:33:44:55" in texts(
        run, Verdict.CONFLICT
    )
    assert "192.168.23.12" not in {r.address for r in stage.rack.backend.applied()}
    assert len(run.verified) == 3
    stage.rack.boards.pop()
    run = virtually(stage.install())
    assert run.step is Step.DONE
    assert len(run.verified) == 4


def test_an_exhausted_pool_is_said_and_hides_no_board(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 4)
    run = virtually(stage.install(pool_size=4))
    assert any("addresses of the pool are lent" in text for text in run.problems)
    assert len(run.verified) == 12


def test_another_dhcp_server_stops_the_run_before_anything_is_switched(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.rivals = (ForeignServer("192.168.23.99", "00:aa:bb:cc:dd:ee"),)
    run = virtually(stage.install())
    assert run.step is Step.FAILED
    assert "192.168.23.99" in run.problems[0]
    assert not stage.rack.switches
    forced = virtually(stage.install(force=True))
    assert len(forced.verified) == 4


def test_observing_somebody_elses_server_places_boards_without_reserving(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.rivals = (ForeignServer("192.168.23.99", "00:aa:bb:cc:dd:ee"),)
    run = virtually(stage.install(reserves=False))
    assert run.step is Step.DONE
    assert len(run.verified) == 4


def test_a_dry_run_only_says_what_it_would_do(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.levels = {1: Power.ON, 2: Power.ON}
    run = virtually(stage.install(dry=True))
    assert run.step is Step.DONE
    assert not stage.rack.switches
    assert "stacks 1-2 will be switched off and on; stacks 1-2 lose power" in (
        run.forecast
    )
    assert not stage.rack.backend.applied()


def test_a_run_waits_for_a_word_and_ends_untouched_without_one(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)
    run = virtually(stage.install(confirmed=False))
    assert run.step is Step.CANCELLED
    assert not stage.rack.switches


def test_a_confirmed_run_runs(scene: Scenes, virtually: Virtually) -> None:
    stage = scene(1, 2)

    async def install() -> Run:
        installer = stage.installer()
        await installer.start()
        with pytest.raises(NoRunError):
            installer.confirm()
        installer.begin(msgspec.structs.replace(stage.params, confirmed=False))
        await asyncio.sleep(30)
        assert installer.run is not None
        assert installer.run.step is Step.CONFIRM
        with pytest.raises(BusyError):
            installer.begin(stage.params)
        installer.confirm(by="ann")
        return await stage.ended(installer)

    run = virtually(install())
    assert run.step is Step.DONE
    assert "install run confirmed by ann" in stage.announcer.events


@pytest.mark.parametrize(
    ("leave", "levels"),
    [
        (Leave.LEAVE, {1: Power.ON, 2: Power.OFF, 3: Power.OFF}),
        (Leave.RESTORE, {1: Power.ON, 2: Power.ON, 3: Power.OFF}),
        (Leave.OFF, {1: Power.OFF, 2: Power.OFF, 3: Power.OFF}),
    ],
)
def test_a_cancelled_run_leaves_the_outlets_as_asked(
    scene: Scenes, virtually: Virtually, leave: Leave, levels: dict[int, Power]
) -> None:
    stage = scene(3, 2)
    stage.rack.levels = {1: Power.ON, 2: Power.ON, 3: Power.OFF}

    async def install() -> Run:
        installer = stage.installer()
        await installer.start()
        installer.begin(stage.params)
        while installer.run is None or installer.run.step is not Step.SCAN:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.5)
        installer.cancel(leave, by="ann")
        run = await stage.ended(installer)
        await installer.stop()
        return run

    run = virtually(install())
    assert run.step is Step.CANCELLED
    assert stage.rack.levels == levels


def test_a_scan_of_one_stack_leaves_the_others_on(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 3)
    before = taken(virtually(stage.install()))
    stage.rack.boards.remove(stage.board(2, 2))
    stage.rack.boards.append(FakeBoard("dc:a6:32:ff:02:02", 2, boot_s=12))
    stage.rack.switches.clear()
    neighbour = stage.board(3, 1)

    async def install() -> Run:
        stage.rack.speak(neighbour, after_s=20)  # renews in the middle of the scan
        return await stage.install(stacks=(stage.plans[1],), whole=False)

    run = virtually(install())
    assert run.step is Step.DONE
    assert {stack for stack, _ in stage.rack.switches} == {2}
    assert taken(run)["dc:a6:32:ff:02:02"] == before["dc:a6:32:00:02:02"]
    assert taken(run)[neighbour.mac] == before[neighbour.mac]
    assert not run.findings


def test_an_outlet_that_does_not_cut_ends_the_run_and_restores_the_rest(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 2)
    stage.rack.levels = dict.fromkeys((1, 2, 3), Power.ON)
    stage.rack.stuck = {2}
    run = virtually(stage.install())
    assert run.step is Step.FAILED
    assert "stack 2 could not be switched off" in run.problems[0]
    assert stage.rack.levels == dict.fromkeys((1, 2, 3), Power.ON)


def test_an_outlet_that_does_not_come_on_costs_only_its_stack(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 2)
    stage.rack.levels = dict.fromkeys((1, 2, 3), Power.OFF)
    stage.rack.stuck = {2}
    run = virtually(stage.install())
    assert run.step is Step.PROBLEMS
    assert len(run.verified) == 4
    assert "stack 2 could not be switched on" in texts(run, Verdict.MISSING)


def test_a_server_that_is_away_for_a_while_costs_no_board(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)

    async def install() -> Run:
        loop = asyncio.get_running_loop()
        loop.call_later(15, functools.partial(stage.rack.set_alive, yes=False))
        loop.call_later(15 + 200, functools.partial(stage.rack.set_alive, yes=True))
        return await stage.install()

    run = virtually(install())
    assert run.step is Step.DONE
    assert len(run.verified) == 4
    assert any("is back after" in event for event in stage.announcer.events)


def test_reservations_that_are_refused_are_tried_again_then_end_the_run(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)
    stage.rack.backend.refusals = 2
    assert virtually(stage.install()).step is Step.DONE
    stage = scene(1, 2)
    stage.rack.backend.refusals = 3
    run = virtually(stage.install())
    assert run.step is Step.FAILED
    assert "told to refuse" in run.problems[0]


def test_a_person_swaps_two_slots_by_their_leds(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)

    async def install() -> None:
        installer = stage.installer()
        await installer.start()
        installer.begin(stage.params)
        await stage.ended(installer)
        await installer.swap("s01n1", "s01n2")
        await installer.stop()

    virtually(install())
    assert {p.name: p.mac for p in stage.journal.places()} == {
        "s01n1": "dc:a6:32:00:01:02",
        "s01n2": "dc:a6:32:00:01:01",
    }
    run = virtually(stage.install())
    assert place(run, "s01n1").mac == "dc:a6:32:00:01:02"
