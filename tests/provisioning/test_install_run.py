"""Install runs on a rack in memory: good ones, their checks, crowds of devices."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import InstallStep, Power
from provisioning.common.network import BoardHeard, ForeignServer, HeardKind
from provisioning.fake import RackBoard
from provisioning.run.state import InstallRun
from tests.provisioning.harness import NewRig, Virtually, place, taken


def test_a_whole_rack_is_placed_addressed_and_verified(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(12, 4)
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 48
    assert taken(run)["dc:a6:32:00:03:02"] == ("s03n2", "192.168.23.19")
    assert rig.announcer.states[-1].done == rig.announcer.states[-1].total == 48
    assert all(level is Power.ON for level in rig.rack.levels.values())


def test_a_second_run_changes_neither_names_nor_addresses(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 4)
    first = virtually(rig.install())
    second = virtually(rig.install())
    assert second.step is InstallStep.DONE
    assert taken(second) == taken(first)


def test_the_forecast_counts_with_the_longest_boot_of_the_run_before(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.board(1, 2).boot_s = 70
    assert virtually(rig.install()).boot_s >= 70
    dry = virtually(rig.install(dry=True))
    assert dry.boot_s >= 70, "a run that hears nobody hands it on"
    rig.memory.runs[-1] = dry.with_(boot_s=30.0)
    assert virtually(rig.install(dry=True)).forecast != dry.forecast


def test_swapped_boards_take_over_the_slots_of_the_old_ones(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(4, 4)
    before = taken(virtually(rig.install()))
    for stack, slot in ((1, 2), (2, 4), (4, 1)):
        old = rig.board(stack, slot)
        rig.rack.boards.remove(old)
        new = RackBoard(f"dc:a6:32:ff:{stack:02x}:{slot:02x}", stack, boot_s=9)
        rig.rack.boards.append(new)
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 16
    after = taken(run)
    assert after["dc:a6:32:ff:01:02"] == before["dc:a6:32:00:01:02"]
    assert after["dc:a6:32:ff:02:04"] == before["dc:a6:32:00:02:04"]
    assert after["dc:a6:32:ff:04:01"] == before["dc:a6:32:00:04:01"]
    assert {m: a for m, a in after.items() if m in before} == {
        m: a for m, a in before.items() if m in after
    }
    assert any("takes the place" in event for event in rig.announcer.events)


def test_a_board_that_moved_to_another_stack_is_moved_not_doubled(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 2)
    virtually(rig.install())
    rig.board(1, 1).stack = 3
    rig.board(3, 2).stack = 1
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert place(run, "s01n1").mac == "dc:a6:32:00:03:02"
    assert place(run, "s03n2").mac == "dc:a6:32:00:01:01"


def test_observing_somebody_elses_server_places_boards_without_reserving(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.rack.rivals = (ForeignServer("192.168.23.99", "00:aa:bb:cc:dd:ee"),)
    run = virtually(rig.install(reserves=False))
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4


def test_a_scan_of_one_stack_leaves_the_others_on(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 3)
    before = taken(virtually(rig.install()))
    rig.rack.boards.remove(rig.board(2, 2))
    rig.rack.boards.append(RackBoard("dc:a6:32:ff:02:02", 2, boot_s=12))
    rig.rack.switches.clear()
    neighbour = rig.board(3, 1)

    async def install() -> InstallRun:
        rig.rack.speak(neighbour, after_s=20)  # renews in the middle of the scan
        return await rig.install(stacks=(rig.plans[1],), whole=False)

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert rig.announcer.events[-1] == "install run done: 3 of 3 boards placed"
    assert {stack for stack, _ in rig.rack.switches} == {2}
    assert taken(run)["dc:a6:32:ff:02:02"] == before["dc:a6:32:00:02:02"]
    assert taken(run)[neighbour.mac] == before[neighbour.mac]
    assert not run.findings


def test_places_the_network_has_no_more_are_named_before_anything_is_cut(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    virtually(rig.install())
    moved = {"address": "10.0.0.1/24", "pool_first": "10.0.0.200"}
    rig.rack.subnet = msgspec.structs.replace(
        rig.rack.subnet, **moved, pool_last="10.0.0.250"
    )
    rig.rack.switches.clear()
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert "192.168.23.10 for s01n1 is not in 10.0.0.0/24; " in run.problems[-1]
    assert not rig.rack.switches


def test_outlets_that_are_slow_to_read_are_read_at_once(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(12, 1)
    read = rig.rack.power.read

    async def slowly(stack: int) -> Power:
        await asyncio.sleep(10)
        return await read(stack)

    monkeypatch.setattr(rig.rack.power, "read", slowly)
    assert virtually(rig.install(dry=True)).step is InstallStep.DONE


def test_a_flood_of_invented_boards_is_bounded_and_told_once(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    for number in range(100):
        invented = RackBoard(f"dc:a6:32:ff:ff:{number:02x}", 1, boot_s=22)
        rig.rack.boards.append(invented)
    run = virtually(rig.install())
    told = [text for text in run.problems if "hardware addresses asked" in text]
    assert told == [text for text in told if "over 40" in text]
    assert len(told) == 1
    assert len(run.scanned[1]) <= 40


@pytest.mark.parametrize(
    ("step", "on"), [(InstallStep.BASELINE, "off"), (InstallStep.VERIFY, "on")]
)
def test_a_crowd_beside_all_windows_is_bounded_and_told_once(
    new_rig: NewRig, virtually: Virtually, step: InstallStep, on: str
) -> None:
    rig = new_rig(1, 2)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.step is step)
        for number in range(100):
            invented = f"dc:a6:32:ff:ff:{number:02x}"
            rig.rack.source.hear(BoardHeard(mac=invented, kind=HeardKind.DISCOVER))
        return await rig.ended(installer)

    run = virtually(install())
    (told,) = run.problems
    assert f"hardware addresses talk with all stacks {on}" in told
    assert len(run.verified) == 2
    assert 30 <= len(run.findings) <= 40
