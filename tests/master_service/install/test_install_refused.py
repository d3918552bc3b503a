"""``install`` that must not be, or cannot: told, and nothing else stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.contract.messages import EventKind, InstallState, InstallStep, Phase
from master_service.install import service
from master_service.install.service import Setup
from provisioning.common.errors import BackendError
from provisioning.settings import InstallSettings
from tests.master_service.install.site import Site, quick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provisioning.installer import Installer
    from provisioning.interfaces import MasterParts


async def test_who_gives_himself_out_as_the_run_is_refused(site: Site) -> None:
    await site.install("start", confirm="rack")
    run = site.state.run
    refused = await site.ask("stack/2 power", id="posing", args=("on",), by=run)
    assert refused.phase is Phase.REFUSED
    assert f"by={run} is the id of the install run under way" in refused.error


async def test_nobody_else_touches_the_stacks_of_a_run(site: Site) -> None:
    await site.install("start", confirm="rack")
    run = site.state.run
    for where, words in (("rack power", "cycle"), ("stack/2 power", "on")):
        refused = await site.ask(where, id=where[:5], args=(words,))
        assert refused.phase is Phase.REFUSED
        assert f"reserved by {run}, the install run under way" in refused.error
    row = (await site.ask("node/s02n1 reboot", id="r")).targets[0]
    assert run in row.error
    again = await site.install("start")
    assert run in again.error
    assert again.phase is Phase.REFUSED
    await site.at(InstallStep.DONE)
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
        ("rack", "swap s01n1 s01n1", {}, "s01n1 cannot be swapped with itself"),
        ("rack", "start", {"confirm": "stack/1"}, "write confirm=rack"),
        ("stack/9", "start", {}, "there is no stack 9; [rack] stacks"),
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
    await site.at(InstallStep.DONE)
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
    own = site.rehearsal.node("s02n2").id
    master = msgspec.structs.replace(site.settings.master, node=own)
    site.settings = msgspec.structs.replace(site.settings, master=master)
    site.make()
    await site.start()
    refused = await site.install("start")
    assert "s02n2 is the master's own board" in refused.error
    await site.install("start", "stack/1", confirm="stack/1")
    await site.at(InstallStep.DONE)
    assert {name for name, _ in site.switchings} == {"stack-1"}


async def test_the_same_id_runs_once(site: Site) -> None:
    await site.install("start dry", id="once")
    await site.at(InstallStep.DONE)
    first = site.state.run
    again = await site.install("start dry", id="once", limit_s=5)
    assert site.state.run == first
    assert again.targets[0].stdout.startswith(f"run {first} ")


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


@pytest.mark.parametrize("kind", [BackendError, ValueError])
async def test_a_server_that_cannot_start_is_told_and_tried_again(
    make_site: Callable[..., Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
) -> None:
    monkeypatch.setattr("master_service.install.service.FIRST_PAUSE_S", 0.01)
    broken = ["dnsmasq is not installed"]

    def make(settings: InstallSettings, seams: MasterParts) -> Installer:
        if broken:
            raise kind(broken[0])
        return service.make(settings, seams)

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


async def test_a_command_in_the_first_moment_waits_for_the_server_to_start(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = make_site(setup=Setup(settings=quick(tmp_path), make=slow))
    await site.start()
    assert (await site.install("start dry")).ok


def slow(settings: InstallSettings, seams: MasterParts) -> Installer:
    """Make an installer whose server takes a while."""
    installer = service.make(settings, seams)
    start = installer.start

    async def slowly() -> None:
        await asyncio.sleep(0.2)
        await start()

    installer.start = slowly  # type: ignore[method-assign]  # stands for a server
    return installer
