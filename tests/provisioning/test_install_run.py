"""Whole install runs on a rack in memory, in virtual time."""

from broker.contract.messages import InstallStep, Power
from provisioning.common.network import ForeignServer
from provisioning.fake import RackBoard
from provisioning.run.state import InstallRun
from tests.provisioning.story import Scenes, Virtually, place, taken


def test_a_whole_rack_is_placed_addressed_and_verified(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(12, 4)
    run = virtually(stage.install())
    assert run.step is InstallStep.DONE
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
    assert second.step is InstallStep.DONE
    assert taken(second) == taken(first)


def test_the_forecast_counts_with_the_longest_boot_of_the_run_before(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.board(1, 2).boot_s = 70
    assert virtually(stage.install()).boot_s >= 70
    dry = virtually(stage.install(dry=True))
    assert dry.boot_s >= 70, "a run that hears nobody hands it on"
    stage.memory.runs[-1] = dry.with_(boot_s=30.0)
    assert virtually(stage.install(dry=True)).forecast != dry.forecast


def test_swapped_boards_take_over_the_slots_of_the_old_ones(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(4, 4)
    before = taken(virtually(stage.install()))
    for stack, slot in ((1, 2), (2, 4), (4, 1)):
        old = stage.board(stack, slot)
        stage.rack.boards.remove(old)
        new = RackBoard(f"dc:a6:32:ff:{stack:02x}:{slot:02x}", stack, boot_s=9)
        stage.rack.boards.append(new)
    run = virtually(stage.install())
    assert run.step is InstallStep.DONE
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
    assert run.step is InstallStep.DONE
    assert place(run, "s01n1").mac == "dc:a6:32:00:03:02"
    assert place(run, "s03n2").mac == "dc:a6:32:00:01:01"


def test_observing_somebody_elses_server_places_boards_without_reserving(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)
    stage.rack.rivals = (ForeignServer("192.168.23.99", "00:aa:bb:cc:dd:ee"),)
    run = virtually(stage.install(reserves=False))
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4


def test_a_scan_of_one_stack_leaves_the_others_on(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(3, 3)
    before = taken(virtually(stage.install()))
    stage.rack.boards.remove(stage.board(2, 2))
    stage.rack.boards.append(RackBoard("dc:a6:32:ff:02:02", 2, boot_s=12))
    stage.rack.switches.clear()
    neighbour = stage.board(3, 1)

    async def install() -> InstallRun:
        stage.rack.speak(neighbour, after_s=20)  # renews in the middle of the scan
        return await stage.install(stacks=(stage.plans[1],), whole=False)

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert stage.announcer.events[-1] == "install run done: 3 of 3 boards placed"
    assert {stack for stack, _ in stage.rack.switches} == {2}
    assert taken(run)["dc:a6:32:ff:02:02"] == before["dc:a6:32:00:02:02"]
    assert taken(run)[neighbour.mac] == before[neighbour.mac]
    assert not run.findings
