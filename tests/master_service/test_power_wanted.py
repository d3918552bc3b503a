"""What is wanted is what somebody wanted; what must come on is tried until it is on."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.contract.messages import EventKind, Phase, Power, StackState, decode
from master_service.power.job import JobStep
from master_service.power.outlets import PowerFatalError, PowerRetryableError
from master_service.rack.effects import OutletSwitched
from master_service.rack.settings import CommandsRow, Driver, OutletRow
from master_service.rack.times import Moment
from tests.master_service.power_lab import Lab, all_off
from tests.master_service.power_parts import Fuse, Life, T

if TYPE_CHECKING:
    from collections.abc import Callable


class Plugs:
    """Makes the relays of a lab fail as plugs do.

    Args:
        lab: The lab.
    """

    def __init__(self, lab: Lab) -> None:
        self.gone: set[str] = set()
        """Outlets that answer nothing and do not move."""
        self.deaf_after_off = False
        """Whether an outlet goes away right after it was cut, before it answers."""
        self.lost_answer: set[str] = set()
        """Outlets that switch, and whose answer is lost; they cannot be read either."""
        self.fatal: dict[str, str] = {}
        self._relays = lab.relays
        self._switch, self._read = lab.relays.switch, lab.relays.read
        lab.relays.switch = self.switch  # type: ignore[method-assign]  # the relays of one test
        lab.relays.read = self.read  # type: ignore[method-assign]  # as above

    async def switch(self, outlet: str, *, on: bool) -> None:
        if outlet in self.fatal:
            raise PowerFatalError(self.fatal[outlet])
        self._answer(outlet)
        await self._switch(outlet, on=on)
        if outlet in self.lost_answer or (self.deaf_after_off and not on):
            self.gone.add(outlet)
        self._answer(outlet)

    async def read(self, outlet: str) -> Power:
        self._answer(outlet)
        return await self._read(outlet)

    def _answer(self, outlet: str) -> None:
        if outlet in self.gone:
            text = f"outlet {outlet}: the plug is not there"
            raise PowerRetryableError(text)


def stack(lab: Lab, number: int = 1) -> StackState:
    return decode(lab.broker.retained[T.stack(number)].payload, StackState)


def wanted(lab: Lab, outlet: str = "stack-1") -> Power:
    return lab.master.rack.panel.outlets[outlet].wanted


def level(lab: Lab, outlet: str = "stack-1") -> Power:
    return lab.master.rack.panel.outlets[outlet].level


async def restart(lab: Lab, boot_id: str = "boot-1") -> None:
    await lab.kill()
    lab.make(Fuse(), boot_id=boot_id)
    await lab.begin()
    await lab.run_for(1.0)


async def mains_cut(lab: Lab) -> None:
    """Loses the mains; every plug comes back as it was, so its boards boot."""
    await lab.kill()
    for pi in lab.pis.values():
        pi.leave(Life.OFF)
    for outlet, on in lab.relays.levels.items():
        lab.supply(outlet, on=on is Power.ON)
    lab.relays.calls.clear()
    lab.make(Fuse(), boot_id="boot-2")
    await lab.begin()
    await lab.run_for(1.0)
    await lab.until_quiet()
    await lab.run_for(20.0)


async def test_a_cycle_wants_on_throughout(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(1, 1)
    await lab.start()
    seen = {wanted(lab)}
    await lab.ask("stack/1 power", "cycle")
    while lab.master._dispatcher.running:  # noqa: SLF001  # there is no other word for it
        await lab.tick()
        seen |= {wanted(lab), stack(lab).wanted or Power.UNKNOWN}
    assert seen == {Power.ON}
    assert lab.relays.calls == [("stack-1", False), ("stack-1", True)]


@pytest.mark.parametrize("words", [("cycle",), ("off",)])
async def test_a_mains_cut_after_a_failed_command_switches_nothing_off(
    make_lab: Callable[..., Lab], words: tuple[str, ...]
) -> None:
    lab = make_lab(1, 2)
    plugs = Plugs(lab)
    await lab.start()
    plugs.gone.add("stack-1")
    await lab.ask("stack/1 power", *words)
    await lab.until_quiet()
    assert lab.final().phase is Phase.FAILED
    assert wanted(lab) is Power.ON
    plugs.gone.clear()
    await mains_cut(lab)
    assert [on for _, on in lab.relays.calls if not on] == []
    assert lab.relays.levels["stack-1"] is Power.ON
    assert {pi.life for pi in lab.pis.values()} == {Life.RUNNING}


@pytest.mark.parametrize("words", [("cycle",), ("off",), ("on",)])
async def test_a_switching_without_an_answer_makes_the_level_unknown(
    make_lab: Callable[..., Lab], words: tuple[str, ...]
) -> None:
    lab = make_lab(1, 1)
    plugs = Plugs(lab)
    await (all_off(lab) if words == ("on",) else lab.start())
    plugs.lost_answer.add("stack-1")
    await lab.ask("stack/1 power", *words)
    await lab.until_quiet()
    assert lab.final().phase is Phase.FAILED
    assert level(lab) is Power.UNKNOWN
    assert stack(lab).power is Power.UNKNOWN


async def test_a_reading_without_an_answer_makes_the_level_unknown(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1, look_s=1)
    plugs = Plugs(lab)
    await lab.start()
    plugs.gone.add("stack-1")
    await lab.run_for(3.0)
    assert stack(lab).power is Power.UNKNOWN
    assert "not there" in stack(lab).fault
    plugs.gone.clear()
    await lab.run_for(3.0)
    assert (stack(lab).power, stack(lab).fault) == (Power.ON, "")


async def test_boards_of_a_stack_that_is_off_on_purpose_stay_off_while_its_plug_is_away(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1, look_s=1)
    plugs = Plugs(lab)
    await all_off(lab)
    plugs.gone.add("stack-1")
    await lab.run_for(5.0)
    assert stack(lab).power is Power.UNKNOWN
    assert {n.verdict.value for n in lab.master.rack.registry.nodes.values()} == {"off"}
    await restart(lab)
    await lab.run_for(10.0)
    assert {n.verdict.value for n in lab.master.rack.registry.nodes.values()} == {"off"}


async def test_power_on_switches_on_what_only_seems_to_be_on(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    plugs = Plugs(lab)
    await lab.start()
    plugs.lost_answer.add("stack-1")
    await lab.ask("stack/1 power", "off")
    await lab.until_quiet()
    assert lab.relays.levels == {"stack-1": Power.OFF}
    plugs.gone.clear()
    plugs.lost_answer.clear()
    await lab.ask("stack/1 power", "on", id="c2")
    await lab.until_quiet()
    assert lab.final("c2").ok is True, lab.final("c2").error
    assert lab.relays.levels["stack-1"] is Power.ON


async def test_power_on_of_a_board_that_halted_under_power_says_what_brings_it_back(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    await lab.start()
    await lab.ask("node/s01n1 shutdown", id="down", confirm="node/s01n1")
    await lab.run_for(10.0)
    await lab.ask("stack/1 power", "on", id="c2")
    await lab.until_quiet()
    assert "`power cycle` brings it back" in lab.final("c2").error
    lab.relays.levels["stack-1"] = Power.OFF  # by hand, and nobody looked since
    lab.supply("stack-1", on=False)
    await lab.ask("stack/1 power", "on", id="c3")
    await lab.until_quiet()
    assert lab.final("c3").ok is True, lab.final("c3").error


@pytest.mark.parametrize("action", ["cycle", "on"])
async def test_what_must_come_on_is_tried_until_it_is_on(
    make_lab: Callable[..., Lab], action: str
) -> None:
    lab = make_lab(1, 1)
    plugs = Plugs(lab)
    await (all_off(lab) if action == "on" else lab.start())
    plugs.deaf_after_off = action == "cycle"
    if action == "on":
        plugs.gone.add("stack-1")
    await lab.ask("stack/1 power", action)
    await lab.until_quiet()
    final = lab.final()
    assert final.phase is Phase.FAILED
    assert "until it is on" in final.error
    await lab.run_for(30.0)
    assert "until it is on" in stack(lab).fault
    await restart(lab)
    assert "until it is on" in stack(lab).fault
    plugs.gone.clear()
    await lab.run_for(90.0)
    assert lab.relays.levels["stack-1"] is Power.ON
    assert {pi.life for pi in lab.pis.values()} == {Life.RUNNING}
    assert (stack(lab).fault, stack(lab).power) == ("", Power.ON)


async def test_attempts_grow_rarer_and_fill_no_history(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    plugs = Plugs(lab)
    await all_off(lab)
    plugs.gone.add("stack-1")
    tried: list[float] = []
    switch = lab.relays.switch

    async def counted(outlet: str, *, on: bool) -> None:
        tried.append(lab.now)
        await switch(outlet, on=on)

    lab.relays.switch = counted  # type: ignore[method-assign]  # the relays of one test
    await lab.ask("stack/1 power", "on")
    await lab.run_for(1800.0)
    rounds = len(set(tried))
    assert 20 < rounds < 60, "with a pause of up to a minute"
    lines = [e for e in lab.events if e.kind in {EventKind.POWER, EventKind.FAULT}]
    assert len(lines) < 12


@pytest.mark.parametrize("stops", ["off", "cancel"])
async def test_it_is_tried_no_more_once_somebody_asks_for_off_or_cancels(
    make_lab: Callable[..., Lab], stops: str
) -> None:
    lab = make_lab(1, 1)
    plugs = Plugs(lab)
    await all_off(lab)
    plugs.gone.add("stack-1")
    await lab.ask("stack/1 power", "on")
    await lab.until_quiet()
    if stops == "cancel":
        await lab.ask("stack/1 cancel", id="c2")
        assert lab.final("c2").ok is True
        plugs.gone.clear()
    else:
        plugs.gone.clear()
        await lab.ask("stack/1 power", "off", "force", id="c2")
        await lab.until_quiet()
    await lab.run_for(120.0)
    await restart(lab)
    await lab.run_for(120.0)
    assert lab.relays.levels["stack-1"] is Power.OFF
    assert "until it is on" not in stack(lab).fault


async def test_what_a_person_switched_off_by_hand_is_left_alone(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1, look_s=1)
    await lab.start()
    lab.relays.levels["stack-1"] = Power.OFF
    lab.supply("stack-1", on=False)
    await lab.run_for(60.0)
    await restart(lab)
    await lab.run_for(60.0)
    assert lab.relays.calls == []


async def test_after_a_mains_cut_a_plug_that_is_late_is_brought_on_too(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(2, 1)
    plugs = Plugs(lab)
    await lab.start()
    await lab.kill()
    for pi in lab.pis.values():
        pi.leave(Life.OFF)
    lab.relays.levels = dict.fromkeys(lab.relays.levels, Power.OFF)
    plugs.gone.add("stack-1")
    lab.make(Fuse(), boot_id="boot-2")
    await lab.begin()
    await lab.run_for(30.0)
    assert lab.relays.levels == {"stack-1": Power.OFF, "stack-2": Power.ON}
    plugs.gone.clear()
    await lab.run_for(120.0)
    assert lab.relays.levels["stack-1"] is Power.ON


async def test_only_what_was_switched_is_claimed_at_its_level(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(2, 1)
    await lab.start()
    await lab.ask("stack/2 power", "cycle")
    await lab.until_quiet()
    claimed: dict[str, Power] = {}

    async def claim(outlet: str, level: Power) -> None:
        claimed[outlet] = level

    lab.relays.claim = claim  # type: ignore[method-assign]  # the relays of one test
    await restart(lab)
    assert claimed == {"stack-1": Power.UNKNOWN, "stack-2": Power.ON}


def as_of_bb7333b(lab: Lab, action: str) -> None:
    """Writes to a stopped master's disk what an older one left in its cut."""
    outlet = {"name": "stack-1", "wanted": "off", "level": "on", "changed": 1.7e9}
    part = {
        "id": "old", "verb": "power", "scope": "stack/1", "args": [action],
        "asked": 1.7e9, "by": "ann", "outlet": "stack-1", "action": action,
        "step": "cutting", "before": "on",
        "targets": [{"key": "pi-011", "name": "s01n1", "boot_id": "x", "told": True}],
    }  # fmt: skip
    path = f"{lab.settings.master.data_dir}/master.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        row = msgspec.json.encode(outlet)
        database.execute("INSERT OR REPLACE INTO outlet VALUES ('stack-1', ?)", (row,))
        blob = msgspec.json.encode(part)
        database.execute("INSERT INTO part VALUES ('old/stack-1', 'old', ?)", (blob,))


@pytest.mark.parametrize(("action", "after"), [("cycle", Power.ON), ("off", Power.OFF)])
async def test_what_an_older_master_left_at_the_cut_is_taken_up(
    make_lab: Callable[..., Lab], action: str, after: Power
) -> None:
    lab = make_lab(1, 1)
    await lab.start()
    await lab.kill()
    as_of_bb7333b(lab, action)
    lab.pis["pi-011"].leave(Life.OFF, "shutting down")
    lab.relays.levels["stack-1"] = Power.OFF
    lab.make(Fuse())
    await lab.begin()
    await lab.run_for(1.0)
    await lab.until_quiet()
    assert lab.final("old").ok is True, lab.final("old").error
    assert (lab.relays.levels["stack-1"], wanted(lab)) == (after, after)


async def test_the_end_of_an_earlier_switching_is_no_result_of_a_later_command(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(1, 1)
    await lab.start()
    await lab.ask("stack/1 power", "off", id="c2")
    power = lab.master._dispatcher.power  # noqa: SLF001  # what is told is made up here
    job = power._jobs["stack-1"]  # noqa: SLF001  # as above
    job.step = JobStep.CUTTING
    late = OutletSwitched("stack-1", on=True)
    assert job.switched(late, Moment(lab.now, lab.now)) == []
    assert job.step is JobStep.CUTTING


def slow_row(lab: Lab, timeout_s: float) -> None:
    """Gives the outlet of a lab a driver whose commands may take so long."""
    commands = CommandsRow(
        on="true", off="true", status="true", status_on="on", status_off="off",
        timeout_s=timeout_s,
    )  # fmt: skip
    row = OutletRow(name="stack-1", driver=Driver.COMMAND, stack=1, commands=commands)
    lab.settings = msgspec.structs.replace(lab.settings, outlets=(row,))


@pytest.mark.parametrize("action", ["cycle", "off"])
async def test_a_cut_that_happens_after_the_restart_is_seen(
    make_lab: Callable[..., Lab], action: str
) -> None:
    """The order to the plug was under way when the master was killed."""
    lab = make_lab(1, 1)
    slow_row(lab, 4.0)
    lab.make(lab.fuse)
    await lab.start()
    switch = lab.relays.switch
    cut: list[bool] = []

    async def late(outlet: str, *, on: bool) -> None:
        if not on and not cut:
            cut.append(True)
            lab.fuse.blown.set()
            return
        await switch(outlet, on=on)

    lab.relays.switch = late  # type: ignore[method-assign]  # the relays of one test
    await lab.ask("stack/1 power", action)
    await lab.until_quiet()
    assert cut
    await lab.kill()
    lab.make(Fuse())
    await lab.begin()
    await lab.run_for(2.0)
    await switch("stack-1", on=False)
    await lab.run_for(60.0)
    assert lab.torn == []
    if action == "cycle":
        assert lab.relays.levels["stack-1"] is Power.ON
        assert lab.final().ok is True, lab.final().error
    else:
        assert lab.final().ok is True, lab.final().error
        assert "by hand" not in " ".join(event.text for event in lab.events)


@pytest.mark.parametrize("how", ["killed", "full disk", "refused"])
async def test_a_cycle_that_never_cuts_leaves_what_must_come_on_to_be_tried(
    make_lab: Callable[..., Lab], how: str
) -> None:
    lab = make_lab(1, 1, settle_s=3)
    plugs = Plugs(lab)
    await dark_after_a_cycle(lab, plugs)
    words = ["cycle"] if how == "refused" else ["cycle", "force"]
    await lab.ask("stack/1 power", *words, id="c2")
    if how == "full disk":
        lab.master._store.commit = no_space  # type: ignore[method-assign]  # noqa: SLF001  # as a full disk does
        await lab.until_quiet()
    if how != "refused":
        await restart(lab)
    await lab.until_quiet()
    plugs.deaf_after_off = False
    plugs.gone.clear()
    await lab.run_for(120.0)
    assert lab.relays.levels["stack-1"] is Power.ON


@pytest.mark.parametrize("words", [("on",), ("cycle", "force")])
async def test_cancel_of_a_command_that_waits_ends_the_attempts_too(
    make_lab: Callable[..., Lab], words: tuple[str, ...]
) -> None:
    lab = make_lab(1, 1, min_off_s=40)
    plugs = Plugs(lab)
    await dark_after_a_cycle(lab, plugs)
    plugs.deaf_after_off = False
    plugs.gone.clear()
    fed = lab.master.rack.panel.outlets["stack-1"]
    fed.was_switched(Power.OFF, "", Moment(lab.now, lab.now))
    await lab.ask("stack/1 power", *words, id="c2")
    assert lab.master._dispatcher.running  # noqa: SLF001  # there is no other word for it
    await lab.ask("stack/1 cancel", id="c3")
    await lab.until_quiet()
    assert lab.final("c2").phase is Phase.NOT_DELIVERED
    for _ in range(2):
        await lab.run_for(120.0)
        assert lab.relays.levels["stack-1"] is Power.OFF
        await restart(lab)


async def dark_after_a_cycle(lab: Lab, plugs: Plugs) -> None:
    """Lets a cycle fail after the cut: its outlet must come on, and is silent."""
    await lab.start()
    plugs.deaf_after_off = True
    await lab.ask("stack/1 power", "cycle")
    await lab.until_quiet()
    assert lab.master.rack.panel.outlets["stack-1"].owed


async def no_space() -> None:
    text = "database or disk is full"
    raise sqlite3.OperationalError(text)
