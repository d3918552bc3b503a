"""``install`` from command to boards that have names, over a simulated rack."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from broker.messages import (
    Event,
    EventKind,
    InstallStack,
    InstallState,
    Phase,
    Power,
    Reply,
    ScanPhase,
    Verdict,
    decode,
)
from master_service.install import setup
from master_service.install.setup import Setup
from provisioning.errors import BackendError
from provisioning.run.state import Pace, Step
from provisioning.settings import BackendName, InstallSettings
from tests.master_service.rehearsed import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from provisioning.installer import Installer


class Site(Stage):
    """A simulated rack of two stacks of two, and what is published of an install."""

    serial = 0

    async def install(self, words: str, where: str = "rack", **said: Any) -> Reply:  # noqa: ANN401  # fields of Command
        """Give an install command; it is not confirmed unless that is said."""
        self.serial += 1
        said = {"id": f"i{self.serial}", "confirm": "", "by": "ann", **said}
        reply = await self.ask(f"{where} install", args=tuple(words.split()), **said)
        begun = re.match("run (.*) began", reply.targets[0].stdout if reply.ok else "")
        if begun:
            await self.until(lambda: self.state.run == begun[1])
        return reply

    async def until(self, when: Callable[[], object], limit_s: float = 600.0) -> None:
        """Let simulated time pass until something is so."""
        end = self.rehearsal.clock_s + limit_s
        while not when():
            assert self.rehearsal.clock_s < end, (self.state, self.events[-5:])
            await self.pass_time(0.5)
            await asyncio.sleep(0.005)  # the installer's own waits are in real time

    async def at(self, *steps: Step) -> None:
        await self.until(lambda: self.state.step in steps)

    async def whole(self, *words: str) -> None:
        """Install the rack and wait for the end."""
        await self.install(" ".join(("start", *words)), confirm="rack")
        await self.at(Step.DONE, Step.PROBLEMS, Step.FAILED)

    def _stored(self, topic: str) -> bytes:
        return self.rehearsal.broker.retained[topic].payload

    @property
    def state(self) -> InstallState:
        topic = self.rehearsal.topics.install_state
        return decode(self._stored(topic), InstallState)

    def stack(self, number: int) -> InstallStack:
        topic = self.rehearsal.topics.install_stack(number)
        return decode(self._stored(topic), InstallStack)

    @property
    def events(self) -> list[Event]:
        sent = self.rehearsal.broker.sent(self.rehearsal.topics.event)
        return [decode(message.payload, Event) for message in sent]

    async def level(self, stack: int) -> Power:
        return await self.outlets.read(f"stack-{stack}")

    @property
    def switchings(self) -> list[tuple[str, bool]]:
        return [(one.outlet, one.on) for one in self.outlets.relays().switchings]

    def node(self, name: str) -> Any:  # noqa: ANN401  # the master's own record
        node = self.master.rack.registry.find(name)
        assert node is not None, name
        return node


class Quick(InstallSettings, frozen=True):
    """Waits in real time, beside the simulated rack's, that are as short as can be."""

    def pace(self) -> Pace:
        return Pace(
            quiet_s=0.03,
            window_s=20.0,
            settle_s=0.01,
            baseline_s=0.03,
            probe_s=0.01,
            retry_s=0.05,
            stagger_s=0.01,
            verify_s=20.0,
        )


def quick(folder: Path) -> InstallSettings:
    return Quick(
        backend=BackendName.FAKE,
        interface="simulated",
        data_dir=str(folder / "install"),
    )


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**options: Any) -> Site:  # noqa: ANN401  # of Stage
        wanted = {"setup": Setup(settings=quick(tmp_path)), **options}
        made.append(Site(tmp_path, 2, 2, **wanted))
        return made[-1]

    yield make
    for site in made:
        await site.stop()


@pytest.fixture
async def site(make_site: Callable[..., Site]) -> Site:
    site = make_site()
    await site.start()
    return site


async def test_a_dry_run_names_who_would_lose_power_and_switches_nothing(
    site: Site,
) -> None:
    reply = await site.install("start dry")
    assert reply.phase is Phase.DONE
    assert "it only says what it would do" in reply.targets[0].stdout
    await site.at(Step.DONE)
    assert site.state.dry
    assert (site.state.backend, site.state.by) == ("fake", "ann")
    assert "stacks 1-2 will be switched off and on; stacks 1-2 lose power" in (
        site.state.forecast
    )
    assert any("s01n1, s01n2, s02n1, s02n2" in line for line in site.state.forecast)
    assert not site.switchings


async def test_a_run_waits_for_a_word_then_places_every_board_with_clean_shutdowns(
    site: Site,
) -> None:
    reply = await site.install("start")
    assert "it waits for `install confirm`" in reply.targets[0].stdout
    await site.at(Step.CONFIRM)
    await site.pass_time(5)
    assert not site.switchings
    before = site.boot_ids("s01n1", "s02n2")
    assert (await site.install("confirm")).ok
    await site.at(Step.DONE)
    assert site.state.done == site.state.total == 4
    assert not site.state.problems
    assert [site.stack(n).phase for n in (1, 2)] == [ScanPhase.VERIFIED] * 2
    assert [b.name for b in site.stack(2).boards if b.verified] == ["s02n1", "s02n2"]
    assert set(site.switchings[:2]) == {("stack-1", False), ("stack-2", False)}
    assert set(site.boot_ids("s01n1", "s02n2")).isdisjoint(before)
    bad = {EventKind.FAULT, EventKind.INCIDENT, EventKind.HEAL}
    assert not [event.text for event in site.events if event.kind in bad]
    halted = [e.text for e in site.events if f"shut down by {site.state.run}" in e.text]
    assert len(halted) == 8, "each board: once for all off, once after its scan"


async def test_nobody_else_touches_the_stacks_of_a_run(site: Site) -> None:
    await site.install("start", confirm="rack")
    run = site.state.run
    for where, words in (("rack power", "cycle"), ("stack/2 power", "on")):
        refused = await site.ask(where, id=where[:5], args=(words,))
        assert refused.phase is Phase.REFUSED
        assert f"in the hands of {run}, the install run under way" in refused.error
    row = (await site.ask("node/s02n1 reboot", id="r")).targets[0]
    assert run in row.error
    again = await site.install("start")
    assert run in again.error
    assert again.phase is Phase.REFUSED
    await site.at(Step.DONE)
    assert (await site.ask("stack/2 power", id="x", args=("on",))).ok


@pytest.mark.parametrize(
    ("where", "words", "said", "why"),
    [
        ("node/s01n1", "start", {}, "for the rack or one stack"),
        ("tag/web", "start", {}, "for the rack or one stack"),
        ("rack", "begin", {}, "'begin' is not known; write `install start"),
        ("rack", "start wet", {}, "'start wet' is not known"),
        ("rack", "cancel maybe", {}, "'cancel maybe' is not known"),
        ("rack", "swap s01n1", {}, "'swap s01n1' is not known"),
        ("rack", "start", {"confirm": "stack/1"}, "write confirm=rack"),
        ("stack/9", "start", {}, "no outlet feeds stack/9"),
        ("rack", "confirm", {}, "no install run under way"),
        ("rack", "cancel", {}, "no install run under way"),
        ("stack/1", "cancel", {}, "no install run over stack 1 alone"),
        ("rack", "swap s01n1 s09n1", {}, "no slot 's01n1'"),
        ("rack", "undo", {}, "no earlier set"),
    ],
)
async def test_what_cannot_be_is_refused_with_what_would_be_right(
    site: Site, where: str, words: str, said: dict[str, object], why: str
) -> None:
    reply = await site.install(words, where, **said)
    assert reply.phase is Phase.REFUSED
    assert why in reply.error
    assert not site.switchings


async def test_a_stack_somebody_else_reserved_is_not_installed(site: Site) -> None:
    await site.ask("stack/2 lock", id="l", args=("2h", "demo"), by="bob", confirm="")
    refused = await site.install("start")
    assert "stack 2 is locked by bob" in refused.error
    assert (await site.install("start dry")).ok
    await site.at(Step.DONE)
    assert (await site.install("start", by="bob")).ok


async def test_a_stack_that_is_being_switched_is_not_installed(site: Site) -> None:
    topics = site.rehearsal.topics
    site.rehearsal.broker.publish(
        f"{topics.prefix}/stack/1/cmd/power", b"off confirm=stack/1", qos=1
    )
    refused = await site.install("start")
    assert "busy: outlet stack-1" in refused.error


async def test_the_stack_of_the_masters_own_board_is_not_cut(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    own = site.rehearsal.machine("s02n2").id
    master = msgspec.structs.replace(site.settings.master, node=own)
    site.settings = msgspec.structs.replace(site.settings, master=master)
    site.make()
    await site.start()
    refused = await site.install("start")
    assert "s02n2 is the master's own board" in refused.error
    await site.install("start", "stack/1", confirm="stack/1")
    await site.at(Step.DONE)
    assert {name for name, _ in site.switchings} == {"stack-1"}


async def test_the_same_id_runs_once(site: Site) -> None:
    await site.install("start dry", id="once")
    await site.at(Step.DONE)
    first = site.state.run
    again = await site.install("start dry", id="once", limit_s=5)
    assert site.state.run == first
    assert again.targets[0].stdout.startswith(f"run {first} ")


async def test_one_stack_is_scanned_and_the_others_stay_on(site: Site) -> None:
    await site.install("start", "stack/2", confirm="stack/2")
    assert site.state.only == 2
    await site.at(Step.DONE)
    assert {name for name, _ in site.switchings} == {"stack-2"}
    assert site.stack(1).phase is ScanPhase.UNTOUCHED
    assert site.stack(2).phase is ScanPhase.VERIFIED


async def test_a_cancelled_run_leaves_outlets_as_they_were(site: Site) -> None:
    await site.install("start", confirm="rack")
    await site.at(Step.SCAN)
    assert (await site.install("cancel", by="bob")).ok
    await site.at(Step.CANCELLED)
    assert [await site.level(n) for n in (1, 2)] == [Power.ON] * 2
    assert any("cancelled by bob" in event.text for event in site.events)
    assert not site.master.rack.locks.of_run


async def test_a_board_that_cannot_be_asked_is_cut_all_the_same(site: Site) -> None:
    await site.ask("rack ping", id="p", confirm="")
    site.rehearsal.broker.publish(
        f"{site.rehearsal.topics.prefix}/sim/cmd/crash", b"s01n1", qos=1
    )
    await site.until(lambda: site.node("s01n1").verdict is Verdict.HUNG)
    await site.whole()
    assert site.state.step == Step.DONE


async def test_a_master_that_is_started_again_goes_on_with_the_run(
    site: Site,
) -> None:
    await site.install("start", confirm="rack")
    run = site.state.run
    await site.until(lambda: site.stack(1).phase is ScanPhase.PLACED)
    await site.master.stop()
    site.make()
    await site.master.start()
    await site.at(Step.DONE)
    assert site.state.run == run
    assert site.state.done == 4
    text = f"install run goes on after a restart, at {Step.SCAN}"
    assert any(event.text == text for event in site.events)


async def test_wrong_configuration_is_told_and_the_rest_works(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(setup=Setup(problem="[install]: the pool is too small"))
    await site.start()
    await site.until(lambda: site.state.problems)
    assert site.state.problems == ("[install]: the pool is too small",)
    assert site.state.backend == ""
    refused = await site.install("start")
    assert "the pool is too small" in refused.error
    assert (await site.ask("rack ping", id="p", confirm="")).ok


async def test_provisioning_that_is_off_says_how_to_turn_it_on(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(setup=Setup())
    await site.start()
    refused = await site.install("start")
    assert "[install] backend" in refused.error
    assert site.state == InstallState()


async def test_a_server_that_cannot_start_is_told_and_tried_again(
    make_site: Callable[..., Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("master_service.install.service.FIRST_PAUSE_S", 0.01)
    broken = ["dnsmasq is not installed"]

    def make(settings: InstallSettings, **seams: Any) -> Installer:  # noqa: ANN401  # of Make
        if broken:
            raise BackendError(broken[0])
        return setup.make(settings, **seams)

    site = make_site(setup=Setup(settings=quick(tmp_path), make=make))
    await site.start()
    await site.until(lambda: site.state.problems)
    assert "dnsmasq is not installed" in site.state.problems[0]
    assert "dnsmasq is not installed" in (await site.install("start")).error
    broken.clear()
    await site.until(lambda: not site.state.problems)
    assert (await site.install("start dry")).ok
    faults = [e.text for e in site.events if e.kind is EventKind.FAULT]
    assert faults == ["boards cannot be provisioned: dnsmasq is not installed"]


async def test_boards_nobody_placed_get_stack_slot_and_name_where_they_were_found(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(configured=False)
    await site.start()
    assert {n.stack for n in site.master.rack.registry.nodes.values()} == {None}
    await site.install("start")
    await site.at(Step.CONFIRM)
    assert any(
        "4 boards that run at places nobody told" in f for f in site.state.forecast
    )
    await site.install("confirm")
    await site.at(Step.DONE)
    for stack in (1, 2):
        nodes = site.master.rack.registry.in_stack(stack)
        assert {f"s0{stack}n1", f"s0{stack}n2"} == {node.name for node in nodes}
        real = {site.rehearsal.machine(f"s0{stack}n{n}").id for n in (1, 2)}
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
    undone = await site.install("undo")
    assert undone.ok, undone.error
    assert "192.168.23.10" in undone.targets[0].stdout
