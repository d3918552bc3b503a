"""Many outlets: by turns, within the budget, cancelled midway, after a mains cut."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.contract.messages import Phase, Power
from tests.master_service.power_lab import Lab, all_off, coming
from tests.master_service.power_parts import Fuse

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_switching_is_told_with_the_way_it_goes(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 2)
    await lab.start()
    await lab.ask("rack power", "off")
    node = lab.master.rack.registry.find("s01n1")

    assert node is not None
    assert node.running is not None
    assert (node.running.verb, node.running.word) == ("power", "off")
    assert any(event.text.startswith("power off rack") for event in lab.events)


@pytest.mark.parametrize(
    ("boards", "told"), [(1, "began on 1 target"), (2, "began on 2 targets")]
)
async def test_the_history_counts_the_targets_in_words(
    make_lab: Callable[..., Lab], boards: int, told: str
) -> None:
    lab = make_lab(1, boards)
    await lab.start()
    await lab.ask("rack power", "off")
    assert any(event.text.endswith(told) for event in lab.events)


@pytest.mark.parametrize(
    "power", [{"at_once": 2}, {"at_once": None, "budget_a": 25.0, "inrush_a": 12.0}]
)
async def test_a_rack_comes_on_two_stacks_at_a_time_in_order_and_spaced(
    make_lab: Callable[..., Lab], power: dict[str, float]
) -> None:
    lab = make_lab(12, 2, stagger_s=1.0, **power)
    await all_off(lab)
    for pi in lab.pis.values():
        pi.boot_s = 3.0
    await lab.ask("rack power", "on")
    most = 0
    while lab.master._dispatcher.running:  # noqa: SLF001  # there is no other word for it
        await lab.tick()
        most = max(most, coming(lab))
    assert most == 2
    assert lab.relays.calls == [(f"stack-{n}", True) for n in range(1, 13)]
    switched = [e for e in lab.events if e.text.endswith("switched on")]
    assert [e.stack for e in switched] == list(range(1, 13))
    spaces = [b.ts - a.ts for a, b in itertools.pairwise(switched)]
    assert min(spaces) >= 1.0
    assert lab.final().ok is True


async def test_a_stack_whose_board_never_answers_holds_the_others_only_so_long(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(3, 2, at_once=1)
    await all_off(lab)
    lab.pis["pi-011"].boot_s = 10_000.0
    began = lab.now
    await lab.ask("rack power", "on")
    await lab.until_quiet()
    bad = [row.name for row in lab.final().targets if row.phase is not Phase.DONE]
    assert bad == ["s01n1"]
    assert lab.relays.levels == dict.fromkeys(lab.relays.levels, Power.ON)
    assert lab.now - began < 20.0


async def test_the_answer_names_every_board_that_is_hit_before_anything_is_done(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(12, 4)
    await lab.start()
    await lab.ask("rack power", "off", confirm="")
    refused = lab.replies()
    assert {row.name for reply in refused for row in reply.targets} == {
        pi.name for pi in lab.pis.values()
    }
    assert "interrupts 48 boards (s01n1, s01n2" in refused[0].error
    assert lab.orders == []
    await lab.ask("stack/3 power", "off", id="c2")
    (accepted,) = [r for r in lab.replies("c2") if r.phase is Phase.ACCEPTED]
    assert [row.name for row in accepted.targets] == [f"s03n{n}" for n in range(1, 5)]


async def test_a_board_that_refuses_is_named_and_its_stack_alone_stays_on(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(3, 4)
    await lab.start()
    lab.pis["pi-022"].obeys = False
    await lab.ask("rack power", "off")
    await lab.until_quiet()
    levels = [lab.relays.levels[f"stack-{n}"] for n in (1, 2, 3)]
    assert levels == [Power.OFF, Power.ON, Power.OFF]
    errors = {row.name: row.error for row in lab.final().targets if row.error}
    assert "a disk check is under way" in errors["s02n2"]
    assert "because of s02n2" in errors["s02n1"]
    assert set(errors) == {f"s02n{n}" for n in range(1, 5)}
    assert lab.torn == []


async def test_an_update_under_way_is_not_cut(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(1, 2)
    await lab.start()
    await lab.ask("node/s01n1 update", id="u1")
    await lab.ask("stack/1 power", "off")
    assert "busy: s01n1: update is" in lab.final().error


async def test_cancelled_midway_no_further_stack_comes_on(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(6, 2, at_once=2)
    await all_off(lab)
    await lab.ask("rack power", "on")
    await lab.tick()
    await lab.ask("rack cancel", id="stop")
    await lab.until_quiet()
    assert [outlet for outlet, _ in lab.relays.calls] == ["stack-1", "stack-2"]
    rows = {row.name: row for row in lab.final().targets}
    assert rows["s01n1"].phase is Phase.DONE
    assert rows["s06n1"].phase is Phase.NOT_DELIVERED
    assert rows["s06n1"].error == "its outlet was not switched: cancelled by ann"
    answer = lab.final("stop")
    prevented = [row.name for row in answer.targets if row.phase is Phase.DONE]
    assert len(prevented) == 8
    assert "so it goes on" in answer.error


async def test_an_outlet_that_does_not_tell_its_level_rests_off_in_a_cycle(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab(1, 1, min_off_s=5.0)

    async def untold(_outlet: str) -> Power:
        return Power.UNKNOWN

    monkeypatch.setattr(lab.relays, "read", untold)
    await lab.start()
    await lab.ask("stack/1 power", "cycle")
    while ("stack-1", False) not in lab.relays.calls:
        await lab.tick()
    cut_at = lab.now
    while ("stack-1", True) not in lab.relays.calls:
        await lab.tick()
    assert lab.now - cut_at >= 5.0
    await lab.until_quiet()


async def test_a_cycle_is_cancelled_before_the_cut_and_not_after(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 2)
    await lab.start()
    await lab.ask("stack/1 power", "cycle")
    await lab.ask("stack/1 cancel", "c1", id="stop")
    await lab.until_quiet()
    assert lab.relays.calls == []
    back = "it was told to shut down: `power cycle stack/1` brings it back"
    assert back in lab.final().error
    await lab.run_for(2.0)
    await lab.ask("stack/1 power", "cycle", id="c2")
    while not lab.relays.calls:
        await lab.tick()
    await lab.ask("stack/1 cancel", "c2", id="late")
    assert "its power was cut already" in lab.final("late").error
    await lab.until_quiet()
    assert lab.final("c2").ok is True


@pytest.mark.parametrize(
    ("where", "args", "words"),
    [
        ("rack cancel", (), "nothing of rack is under way"),
        ("rack cancel", ("c9",), "no command 'c9' of rack is under way"),
        ("rack cancel", ("c9", "now"), "write nothing, or the id of a command"),
    ],
)
async def test_there_must_be_something_to_cancel(
    make_lab: Callable[..., Lab], where: str, args: tuple[str, ...], words: str
) -> None:
    lab = make_lab(1, 1)
    await lab.start()
    await lab.ask(where, *args)
    assert words in lab.final().error


async def test_on_says_at_once_that_it_cannot_bring_back_who_was_shut_down(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 2)
    await lab.start()
    await lab.ask("stack/1 shutdown", id="s1")
    await lab.until_quiet()
    await lab.ask("stack/1 power", "on")
    await lab.tick()
    assert "`power cycle` brings it back" in lab.final().error
    assert lab.relays.calls == []


async def test_the_masters_own_power_is_never_cut(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(2, 1)
    master = msgspec.structs.replace(lab.settings.master, node="pi-021")
    lab.settings = msgspec.structs.replace(lab.settings, master=master)
    await lab.kill()
    lab.make(Fuse())
    await lab.start()
    await lab.ask("rack power", "off")
    assert "s02n1 is the master's own board" in lab.final().error
    assert lab.orders == []
