"""After a mains cut outlets come back by policy, one by one, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import EventKind, Power
from master_service.rack.settings import ColdStart
from tests.master_service.power_lab import Lab, coming
from tests.master_service.power_parts import Fuse, Life

if TYPE_CHECKING:
    from collections.abc import Callable


async def mains_cut(lab: Lab, level: Power, boot_id: str = "boot-2") -> None:
    """Lose the mains and get it back with every relay at a level."""
    await lab.kill()
    for pi in lab.pis.values():
        pi.leave(Life.OFF)
    lab.relays.levels = dict.fromkeys(lab.relays.levels, level)
    if level is Power.ON:
        for outlet in lab.relays.levels:
            lab.supply(outlet, on=True)
    lab.relays.calls.clear()
    lab.make(Fuse(), boot_id=boot_id)
    await lab.begin()


async def test_after_a_mains_cut_stacks_come_back_one_by_one(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(4, 2)
    await lab.start()
    await lab.ask("stack/2 power", "off")
    await lab.until_quiet()
    await mains_cut(lab, Power.OFF)
    most = 0
    while lab.master._dispatcher.running:  # noqa: SLF001  # there is no other word for it
        await lab.tick()
        most = max(most, coming(lab))
    assert most == 1
    assert lab.relays.calls == [("stack-1", True), ("stack-3", True), ("stack-4", True)]
    assert lab.relays.levels["stack-2"] is Power.OFF, "it was off before"
    assert "this machine booted" in " ".join(e.text for e in lab.events)
    assert lab.final("cold-start-boot-2").ok is True


async def test_a_restart_of_the_master_alone_is_no_mains_cut(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(2, 1)
    await lab.start()
    await mains_cut(lab, Power.OFF, boot_id="boot-1")
    await lab.run_for(20.0)
    assert lab.relays.calls == []
    left = [e.text for e in lab.events if e.kind is EventKind.POWER]
    assert "outlet stack-1 is off; on was wanted; left as it is" in left


async def test_the_policy_of_an_outlet_decides_and_a_running_board_is_shut_down_first(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(2, 2, cold_start=ColdStart.OFF)
    await lab.start()
    await mains_cut(lab, Power.ON)
    await lab.run_for(6.0)
    assert lab.relays.calls == [], "boards that are booting are not touched"
    await lab.until_quiet()
    assert lab.relays.levels == {"stack-1": Power.OFF, "stack-2": Power.OFF}
    assert lab.torn == []


async def test_killed_while_the_rack_comes_back_it_goes_on_in_the_same_order(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(4, 1)
    await lab.start()
    await mains_cut(lab, Power.OFF)
    await lab.run_for(1.0)
    await lab.kill()
    lab.make(Fuse(), boot_id="boot-2")
    await lab.begin()
    await lab.until_quiet()
    assert [outlet for outlet, _ in lab.relays.calls] == [
        f"stack-{n}" for n in range(1, 5)
    ]
