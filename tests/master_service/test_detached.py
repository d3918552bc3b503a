"""A database that goes to another machine: it knows the rack, and no relay there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import EventKind, Power
from master_service.rack.store import Store
from tests.master_service.power_lab import Lab
from tests.master_service.power_parts import Fuse, Life

if TYPE_CHECKING:
    from collections.abc import Callable

SAID = "restored: rack lab"


async def move(lab: Lab, levels: dict[str, Power], *, detached: bool = True) -> None:
    """Go on with a killed master's database where relays stand as they please."""
    if detached:
        store = Store(Path(lab.settings.master.data_dir) / "master.db")
        await store.detach(await store.open(), SAID)
        await store.close()
    for pi in lab.pis.values():
        pi.leave(Life.OFF)
    lab.relays.levels = dict(levels)
    for outlet, level in levels.items():
        if level is Power.ON:
            lab.supply(outlet, on=True)
    lab.relays.calls.clear()
    lab.make(Fuse(), boot_id="boot-of-another-machine")
    await lab.begin()


async def interrupted(lab: Lab) -> None:
    """Switch one stack off, and end the master while it cycles another one."""
    await lab.start()
    await lab.ask("stack/2 power", "off")
    await lab.until_quiet()
    await lab.ask("stack/3 power", "cycle", id="c2")
    while lab.relays.levels["stack-3"] is Power.ON:
        await lab.tick()
    await lab.kill()


OTHERWISE = {
    "stack-1": Power.OFF,
    "stack-2": Power.ON,
    "stack-3": Power.OFF,
    "stack-4": Power.ON,
}


async def test_no_relay_of_the_other_machine_moves(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(4, 1, min_off_s=5.0)
    await interrupted(lab)
    await move(lab, OTHERWISE)
    await lab.run_for(120.0)
    assert lab.relays.calls == []
    assert lab.relays.levels == OTHERWISE
    outlets = lab.master.rack.panel.outlets
    wanted = {name: fed.wanted for name, fed in outlets.items()}
    assert wanted == {
        "stack-1": Power.ON,
        "stack-2": Power.OFF,
        "stack-3": Power.ON,
        "stack-4": Power.ON,
    }
    said = [event.text for event in lab.events if event.kind is EventKind.POWER]
    assert "outlet stack-1 is off; on was wanted; left as it is" in said
    assert "outlet stack-2 is on; off was wanted; left as it is" in said


@pytest.mark.parametrize("detached", [True, False])
async def test_without_that_it_would_be_taken_for_a_mains_cut(
    make_lab: Callable[..., Lab], *, detached: bool
) -> None:
    lab = make_lab(4, 1, min_off_s=5.0)
    await interrupted(lab)
    await move(lab, OTHERWISE, detached=detached)
    await lab.run_for(120.0)
    assert bool(lab.relays.calls) is not detached


async def test_the_next_mains_cut_there_is_one_again(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(4, 1)
    await interrupted(lab)
    await move(lab, OTHERWISE)
    await lab.run_for(5.0)
    await lab.kill()
    lab.make(Fuse(), boot_id="its-next-boot")
    await lab.begin()
    await lab.until_quiet()
    assert ("stack-1", True) in lab.relays.calls
    assert ("stack-3", True) in lab.relays.calls


async def test_an_outlet_that_had_to_come_on_is_not_tried_there(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(2, 1)
    await lab.start()
    lab.master.rack.panel.outlets["stack-1"].want(Power.ON, owed=True)
    lab.master._store.put(lab.master.rack.panel.outlets["stack-1"].record())  # noqa: SLF001  # as after a switching that failed
    await lab.master._store.commit()  # noqa: SLF001  # likewise
    await lab.kill()
    await move(lab, {"stack-1": Power.OFF, "stack-2": Power.ON})
    await lab.run_for(200.0)
    assert lab.relays.calls == []


async def test_the_history_goes_on_with_a_line_about_it(tmp_path: Path) -> None:
    path = tmp_path / "master.db"
    store = Store(path)
    saved = await store.open()
    await store.detach(saved, SAID)
    await store.close()
    again = Store(path)
    found = await again.open()
    assert (found.boot_id, found.parts) == ("", ())
    assert found.seq == saved.seq + 1
    await again.close()
