"""``install`` from command to boards that have names, over a simulated rack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import (
    EventKind,
    InstallState,
    InstallStep,
    Phase,
    Power,
    ScanPhase,
    StackState,
    Verdict,
    decode,
)
from master_service.rack.layout import FoundBoard
from tests.master_service.install.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_dry_run_names_who_would_lose_power_and_switches_nothing(
    site: Site,
) -> None:
    reply = await site.install("start dry")
    assert reply.phase is Phase.DONE
    assert "it only says what it would do" in reply.targets[0].stdout
    await site.at(InstallStep.DONE)
    assert site.state.dry
    assert (site.state.backend, site.state.by) == ("fake", "ann")
    loses = "stacks 1-2 lose power: all go off, then one after the other comes on and "
    loses += "stays on"
    assert loses in site.state.forecast
    assert any("s01n1, s01n2, s02n1, s02n2" in line for line in site.state.forecast)
    assert not site.switchings


async def test_a_run_waits_for_a_word_then_places_every_board_with_clean_shutdowns(
    site: Site,
) -> None:
    reply = await site.install("start")
    assert "it waits for `install confirm`" in reply.targets[0].stdout
    await site.at(InstallStep.CONFIRM)
    await site.pass_time(5)
    assert not site.switchings
    before = site.boot_ids("s01n1", "s02n2")
    assert (await site.install("confirm")).ok
    await site.at(InstallStep.DONE)
    assert site.state.done == site.state.total == 4
    assert not site.state.problems
    assert [site.stack(n).phase for n in (1, 2)] == [ScanPhase.VERIFIED] * 2
    assert [b.name for b in site.stack(2).boards if b.verified] == ["s02n1", "s02n2"]
    assert set(site.switchings[:2]) == {("stack-1", False), ("stack-2", False)}
    assert set(site.boot_ids("s01n1", "s02n2")).isdisjoint(before)
    bad = {EventKind.FAULT, EventKind.INCIDENT, EventKind.HEAL}
    assert not [event.text for event in site.events if event.kind in bad]
    halted = [e.text for e in site.events if f"shut down by {site.state.run}" in e.text]
    assert len(halted) == 4, "each board once: for all off, and not after its scan"


async def test_who_reads_done_has_every_stack_as_it_ended(site: Site) -> None:
    await site.whole()
    sent = site.rehearsal.broker.sent(f"{site.rehearsal.topics.prefix}/install/#")
    assert sent[-1].topic == site.rehearsal.topics.install_state
    assert decode(sent[-1].payload, InstallState).step == InstallStep.DONE


async def test_one_stack_is_scanned_and_the_others_stay_on(site: Site) -> None:
    await site.install("start", "stack/2", confirm="stack/2")
    assert site.state.only == 2
    await site.at(InstallStep.DONE)
    assert {name for name, _ in site.switchings} == {"stack-2"}
    assert site.stack(1).phase is ScanPhase.UNTOUCHED
    assert site.stack(2).phase is ScanPhase.VERIFIED


async def test_a_cancelled_run_leaves_outlets_as_they_were(site: Site) -> None:
    await site.install("start", confirm="rack")
    await site.at(InstallStep.SCAN)
    assert (await site.install("cancel", by="bob")).ok
    await site.at(InstallStep.CANCELLED)
    assert [await site.level(n) for n in (1, 2)] == [Power.ON] * 2
    assert any("cancelled by bob" in event.text for event in site.events)
    assert not site.master.rack.locks.of_run


async def test_what_a_run_switches_is_not_cancelled_under_its_hands(site: Site) -> None:
    await site.install("start", confirm="rack")
    await site.until(lambda: any("began on" in event.text for event in site.events))
    reply = await site.ask("rack cancel", id="c")
    assert reply.error.endswith(f"; `install cancel` ends {site.state.run}")
    await site.at(InstallStep.DONE)


async def test_a_board_that_cannot_be_asked_is_cut_all_the_same(site: Site) -> None:
    site.fault("crash", "s01n1")
    await site.until(lambda: site.node("s01n1").verdict is Verdict.HUNG)
    await site.install("start")
    await site.at(InstallStep.CONFIRM)
    (named,) = [text for text in site.state.forecast if "without being asked" in text]
    assert "s01n1" in named
    assert "s01n2" not in named
    await site.install("confirm")
    await site.at(InstallStep.DONE)


async def test_the_consent_is_only_for_the_boards_that_were_named(site: Site) -> None:
    site.fault("crash", "s01n1")
    await site.until(lambda: site.node("s01n1").verdict is Verdict.HUNG)
    await site.install("start")
    await site.at(InstallStep.CONFIRM)
    site.fault("crash", "s01n2")
    await site.until(lambda: site.node("s01n2").verdict is Verdict.HUNG)
    await site.install("confirm")
    await site.at(InstallStep.FAILED)
    (why,) = [p for p in site.state.problems if "could not be switched off" in p]
    assert "s01n2: cannot be asked to shut down" in why
    assert "s01n1: cannot be asked" not in why


async def test_a_board_that_does_not_go_down_ends_the_run_unless_it_is_forced(
    site: Site,
) -> None:
    site.fault("freeze", "s02n1")
    await site.whole()
    assert site.state.step == InstallStep.FAILED
    (why,) = [p for p in site.state.problems if "could not be switched off" in p]
    assert "s02n1: cannot be asked to shut down" in why
    assert "`install start force` cuts it all the same" in why
    site.fault("heal", "rack")
    await site.ask("stack/2 power", id="c", args=("cycle", "force"))
    site.fault("freeze", "s02n1")
    await site.whole("force")
    assert site.state.step.value == "done"


async def test_after_a_mains_cut_the_run_brings_its_stacks_back_and_nobody_else(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    site.make(boot_id="before")
    await site.start()
    await site.install("start", confirm="rack")
    await site.until(lambda: site.run is not None and site.run.position == 1)
    await site.master.stop()
    site.make(boot_id="after")
    await site.master.start()
    await site.at(InstallStep.DONE)
    assert not [event.text for event in site.events if event.by == "cold-start"]
    assert [await site.level(n) for n in (1, 2)] == [Power.ON] * 2


async def test_a_master_that_is_started_again_goes_on_with_the_run(
    site: Site,
) -> None:
    await site.install("start", confirm="rack")
    run = site.state.run
    await site.until(lambda: site.run is not None and site.run.position == 1)
    await site.master.stop()
    site.make()
    await site.master.start()
    await site.at(InstallStep.DONE)
    assert site.state.run == run
    assert site.state.done == 4
    text = "install run goes on after a restart, at "
    assert any(event.text.startswith(text) for event in site.events)


async def test_boards_nobody_placed_get_stack_slot_and_name_where_they_were_found(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(configured=False)
    await site.start()
    assert {n.stack for n in site.master.rack.registry.nodes.values()} == {None}
    await site.install("start")
    await site.at(InstallStep.CONFIRM)
    assert any("4 boards that run at unknown places" in f for f in site.state.forecast)
    await site.install("confirm")
    await site.at(InstallStep.DONE)
    for stack in (1, 2):
        nodes = site.master.rack.registry.in_stack(stack)
        assert {f"s0{stack}n1", f"s0{stack}n2"} == {node.name for node in nodes}
        real = {site.rehearsal.node(f"s0{stack}n{n}").id for n in (1, 2)}
        assert {node.id for node in nodes} == real


async def test_swapped_slots_swap_the_names_of_their_boards(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(configured=False)
    await site.start()
    await site.whole()
    before = site.node("s01n1").id, site.node("s01n2").id
    reply = await site.install("swap s01n1 s01n2")
    assert "changed places" in reply.targets[0].stdout
    assert (site.node("s01n2").id, site.node("s01n1").id) == before
    await site.pass_time(1)
    said = [e.text for e in site.events if e.verb == "install"]
    assert said[-1].startswith("install rack by ann: the boards of s01n1 and s01n2")
    undone = await site.install("undo")
    assert undone.ok, undone.error
    assert "192.168.23.10" in undone.targets[0].stdout


async def test_undo_takes_back_a_swap_alone_after_a_restart_too(site: Site) -> None:
    await site.whole()
    await site.master.stop()
    site.make()
    await site.master.start()
    await site.pass_time(1)
    assert (await site.install("swap s01n1 s01n2")).ok
    undone = (await site.install("undo")).targets[0].stdout.splitlines()
    assert [line[0] for line in undone] == ["~", "~"]


async def test_a_board_that_was_found_and_has_no_agent_is_shown_in_its_slot(
    site: Site,
) -> None:
    await site.whole()
    topic = site.rehearsal.topics.stack(2)
    assert decode(site.rehearsal.broker.retained[topic].payload, StackState).found == ()
    board = FoundBoard("dc:a6:32:00:00:99", "s02n3", 2, 3, "192.168.23.14")
    site.master.rack.placement.found = (*site.master.rack.placement.found, board)
    await site.pass_time(1)
    state = decode(site.rehearsal.broker.retained[topic].payload, StackState)
    assert state.found == (3,)
