"""What a person changes between two runs: the boards of two slots, all reservations."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import msgspec
import pytest

from provisioning.common.errors import JournalError
from provisioning.common.subnet import Change, Reservation
from provisioning.installer import Installer
from provisioning.run.state import InstallRun
from tests.provisioning.story import Scenes, Virtually, place


def test_a_person_swaps_two_slots_by_their_leds(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)

    async def install() -> None:
        installer = await stage.begin()
        await stage.ended(installer)
        await installer.swap("s01n1", "s01n2")
        undone = await installer.undo()
        assert (len(undone.changed), undone.removed) == (2, ())
        await installer.undo()
        await installer.stop()

    virtually(install())
    assert {p.name: p.mac for p in stage.journal.places()} == {
        "s01n1": "dc:a6:32:00:01:02",
        "s01n2": "dc:a6:32:00:01:01",
    }
    run = virtually(stage.install())
    assert place(run, "s01n1").mac == "dc:a6:32:00:01:02"


def test_a_run_that_is_asked_for_during_a_swap_waits_for_it_and_is_not_lost(
    scene: Scenes, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = scene(1, 2)
    backend = stage.rack.backend
    apply = backend.apply

    async def slowly(want: Collection[Reservation]) -> Change:
        await asyncio.sleep(5)
        return await apply(want)

    async def install() -> InstallRun:
        installer = await stage.begin()
        await stage.ended(installer)
        monkeypatch.setattr(backend, "apply", slowly)
        swapping = asyncio.create_task(installer.swap("s01n1", "s01n2"))
        await asyncio.sleep(1)
        begun = await installer.begin(stage.params)
        await swapping
        assert installer.run is not None
        assert installer.run.id == begun
        run = await stage.ended(installer)
        await installer.stop()
        return run

    assert place(virtually(install()), "s01n1").mac == "dc:a6:32:00:01:02"


@pytest.mark.parametrize("change", [lambda i: i.swap("s01n1", "s01n2"), Installer.undo])
def test_what_cannot_be_written_down_is_not_served_either(
    scene: Scenes,
    virtually: Virtually,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Installer], Awaitable[object]],
) -> None:
    stage = scene(1, 2)

    async def full(_: InstallRun) -> None:
        text = "database or disk is full"
        raise JournalError(text)

    async def install() -> None:
        installer = await stage.begin()
        await stage.ended(installer)
        served, run = stage.rack.backend.applied(), installer.run
        monkeypatch.setattr(stage.journal, "save", full)
        with pytest.raises(JournalError, match="full"):
            await change(installer)
        assert stage.rack.backend.applied() == served
        assert installer.run == run
        await installer.stop()

    virtually(install())


def test_undo_goes_back_to_before_the_whole_run_not_to_before_its_last_stack(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(2, 2)

    async def install() -> None:
        installer = await stage.begin()
        await stage.ended(installer)
        await installer.begin(msgspec.structs.replace(stage.params, dry=True))
        await stage.ended(installer)
        assert len((await installer.undo()).removed) == 4
        assert len((await installer.undo()).added) == 4
        await installer.stop()

    virtually(install())
