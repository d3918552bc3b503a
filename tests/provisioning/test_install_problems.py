"""Whatever is wrong is named as itself, and the run goes on or stops as designed."""

import asyncio
import functools

import pytest

from broker.contract.messages import InstallStep, InstallVerdict
from provisioning.common.errors import NetworkError
from provisioning.common.network import BoardHeard, ForeignServer, HeardKind
from provisioning.fake import RackBoard
from provisioning.run.state import InstallRun, RunPace
from tests.provisioning.harness import NewRig, Virtually, place, reasons


def test_a_silent_board_is_missing_and_the_run_goes_on(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 4)
    rig.board(2, 3).silent = True
    run = virtually(rig.install())
    assert run.step is InstallStep.PROBLEMS
    assert len(run.verified) == 11
    assert "s02n4: no board was heard" in reasons(run, InstallVerdict.MISSING)
    said = "install run done: 11 of 12 boards placed, 1 problem"
    assert rig.announcer.events[-1] == said


def test_a_known_board_that_stays_silent_keeps_its_place(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    virtually(rig.install())
    rig.board(1, 1).silent = True
    run = virtually(rig.install())
    assert place(run, "s01n1").mac == "dc:a6:32:00:01:01"
    assert place(run, "s01n1").verdict is InstallVerdict.MISSING
    assert "It keeps its place" in reasons(run, InstallVerdict.MISSING)


def test_a_stack_without_any_board_does_not_hang_the_run(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.rack.boards = [b for b in rig.rack.boards if b.stack == 2]
    run = virtually(rig.install())
    assert run.step is InstallStep.PROBLEMS
    assert len(run.verified) == 2


def test_who_talks_with_all_stacks_off_is_foreign(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    laptop = RackBoard("00:11:22:33:44:55")
    rig.rack.boards.append(laptop)

    async def install() -> InstallRun:
        rig.rack.speak(laptop, after_s=8)  # after the checks, within the baseline
        loop = asyncio.get_running_loop()
        loop.call_later(25, functools.partial(rig.rack.speak, laptop, after_s=0))
        return await rig.install()

    run = virtually(install())
    assert run.step is InstallStep.DONE  # a laptop is no fault of the rack
    assert len(run.findings) == 1  # known by then, it is no sighting in the scan
    assert "00:11:22:33:44:55 talks although" in reasons(run, InstallVerdict.FOREIGN)
    assert "00:11:22:33:44:55" not in {place.mac for place in run.places}


def test_a_stranger_in_a_window_is_found_by_its_maker_and_costs_no_board(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 4)
    rig.board(1, 4).boot_s = 60
    rogue = RackBoard("00:11:22:33:44:55")
    rig.rack.boards.append(rogue)

    async def install() -> InstallRun:
        rig.rack.speak(rogue, after_s=20)
        loop = asyncio.get_running_loop()
        for at_s in range(60, 160, 5):  # and again, all through the second scan
            loop.call_later(at_s, functools.partial(rig.rack.speak, rogue, after_s=0))
        return await rig.install()

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4
    assert "asked while stack 1 was on and is in no stack" in reasons(
        run, InstallVerdict.FOREIGN
    )


def test_one_hardware_address_in_two_stacks_is_named(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 2)
    rig.board(3, 1).mac = "dc:a6:32:00:01:02"
    run = virtually(rig.install())
    assert run.step is InstallStep.PROBLEMS
    assert "heard in stack 1 and in stack 3" in reasons(
        run, InstallVerdict.IN_TWO_STACKS
    )
    assert place(run, "s01n2").verdict is InstallVerdict.IN_TWO_STACKS
    assert len(run.verified) == 4
    macs = [p.mac for p in run.places if p.mac]
    assert len(macs) == len(set(macs))


def test_two_boards_with_one_hardware_address_in_a_stack_are_told_by_their_answers(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 3)
    rig.board(1, 2).mac = "dc:a6:32:00:01:01"
    run = virtually(rig.install())
    assert "two boards answer as dc:a6:32:00:01:01" in reasons(
        run, InstallVerdict.CONFLICT
    )


def test_a_board_more_than_the_stack_has_slots_is_overfull(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.rack.boards.append(RackBoard("dc:a6:32:00:00:00", 1, boot_s=24))
    run = virtually(rig.install())
    assert "dc:a6:32:00:00:00" in reasons(run, InstallVerdict.OVERFULL), "it asked last"
    assert len(run.verified) == 4


def test_an_address_in_use_is_not_reserved(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.rack.boards.append(RackBoard("00:11:22:33:44:55", static="192.168.23.12"))
    run = virtually(rig.install())
    assert (
        "192.168.23.12, the address of s02n1, is used by 00:11:22:33:44:55"
        in reasons(run, InstallVerdict.CONFLICT)
    )
    assert "192.168.23.12" not in {r.address for r in rig.rack.backend.applied()}
    assert len(run.verified) == 3
    rig.rack.boards.pop()
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4


def test_boards_with_one_client_identifier_are_named_and_each_is_placed(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    copies = [rig.board(1, 2), rig.board(2, 1)]
    for board in copies:
        board.client_id = "ff11223344"
    rig.board(1, 1).client_id = "01dca632000101"
    run = virtually(rig.install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4
    (told,) = [text for text in run.problems if "one DHCP client identifier" in text]
    assert told.startswith(", ".join(board.mac for board in copies))


def test_an_exhausted_pool_is_said_and_hides_no_board(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(3, 4)
    run = virtually(rig.install(pool_size=4))
    assert any("addresses of the pool are lent" in text for text in run.problems)
    assert len(run.verified) == 12


def test_a_server_that_is_away_for_a_while_costs_no_board(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)

    async def install() -> InstallRun:
        loop = asyncio.get_running_loop()
        loop.call_later(15, functools.partial(rig.rack.set_alive, yes=False))
        loop.call_later(15 + 200, functools.partial(rig.rack.set_alive, yes=True))
        return await rig.install()

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert len(run.verified) == 4
    assert any("is back after" in event for event in rig.announcer.events)


@pytest.mark.parametrize("away_s", [10, 11, 12])  # during a probe, or between two
def test_verifying_waits_as_much_longer_as_the_server_was_away(
    new_rig: NewRig, virtually: Virtually, away_s: float
) -> None:
    rig = new_rig(1, 2)

    async def install() -> InstallRun:
        # Shorter than a boot: without more time nobody would be up.
        installer = await rig.begin(pace=RunPace(verify_s=20))
        await rig.reach(installer, lambda run: run.step is InstallStep.VERIFY)
        rig.rack.alive = False
        loop = asyncio.get_running_loop()
        loop.call_later(away_s, functools.partial(rig.rack.set_alive, yes=True))
        run = await rig.ended(installer)
        await installer.stop()
        return run

    assert virtually(install()).step is InstallStep.DONE


def test_boards_that_could_not_answer_are_not_all_that_is_named(
    new_rig: NewRig, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = new_rig(1, 2)

    async def deaf(*_: object, **__: object) -> None:
        text = "nothing can be sent on eth1: Network is down; is it up?"
        raise NetworkError(text)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.step is InstallStep.VERIFY)
        rig.rack.alive = False
        monkeypatch.setattr(rig.rack.network, "probe", deaf)
        run = await rig.ended(installer)
        await installer.stop()
        return run

    network, server = virtually(install()).problems
    assert "Network is down" in network
    assert server.startswith("the DHCP server is away")


def test_reservations_that_are_refused_are_tried_again_then_end_the_run(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    rig.rack.backend.refusals = 2
    assert virtually(rig.install()).step is InstallStep.DONE
    rig = new_rig(1, 2)
    rig.rack.backend.refusals = 3
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert "told to refuse" in run.problems[0]


def test_every_problem_of_the_checks_is_told_and_the_one_that_ends_the_run(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(1, 2)
    addresses = ("192.168.23.1", "192.168.23.2")
    rig.rack.rivals = tuple(ForeignServer(address=one, mac="") for one in addresses)
    run = virtually(rig.install())
    first, second = sorted(run.problems)
    told = rig.announcer.events
    assert run.step is InstallStep.FAILED
    assert told[-3:] == [f"problem: {second}", first, f"install run failed: {first}"]


@pytest.mark.parametrize(("owner", "window"), [((1, 1), 2), ((2, 1), 1)])
def test_a_lease_that_is_read_late_doubles_and_moves_no_board(
    new_rig: NewRig, virtually: Virtually, owner: tuple[int, int], window: int
) -> None:
    rig = new_rig(2, 2)
    first = virtually(rig.install())
    mac = rig.board(*owner).mac
    ask = BoardHeard(mac=mac, kind=HeardKind.LEASE, address="192.168.23.200")

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(
            installer, lambda run: run.stack.number == window and run.powered_at
        )
        rig.rack.source.hear(ask)
        return await rig.ended(installer)

    run = virtually(install())
    assert run.step is InstallStep.DONE
    assert run.places == first.places


def test_a_late_lease_of_a_board_too_many_makes_it_no_double(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    extra = RackBoard("dc:a6:32:ff:ff:ff", 1, boot_s=10)
    rig.rack.boards.append(extra)

    async def install() -> InstallRun:
        installer = await rig.begin()
        await rig.reach(installer, lambda run: run.stack.number == 2 and run.powered_at)
        ask = BoardHeard(mac=extra.mac, kind=HeardKind.LEASE, address="192.168.23.200")
        rig.rack.source.hear(ask)
        return await rig.ended(installer)

    run = virtually(install())
    assert not reasons(run, InstallVerdict.IN_TWO_STACKS)
    assert len(run.verified) == 4
