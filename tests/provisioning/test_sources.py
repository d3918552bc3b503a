"""The second and the third source, and what a run says of itself."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from broker.contract.messages import Details
from provisioning.backends import files
from provisioning.backends.backend import Lease, LeaseSource, lease_heard
from provisioning.backends.dnsmasq import parse_leases
from provisioning.common.network import BoardHeard, ForeignServer, HeardKind
from provisioning.discovery.sources import AgentSource
from provisioning.fake import FakeBackend
from provisioning.run.state import InstallRun
from provisioning.run.texts import listed

if TYPE_CHECKING:
    from tests.provisioning.conftest import Scene

Scenes = Callable[..., "Scene"]
Virtually = Callable[[Coroutine[Any, Any, Any]], Any]


class Ear:
    def __init__(self) -> None:
        self.asks: list[BoardHeard] = []

    def heard(self, ask: BoardHeard) -> None:
        self.asks.append(ask)

    def server(self, server: ForeignServer) -> None:
        raise AssertionError(server)


DETAILS = Details(
    session="s1",
    boot_id="b1",
    hostname="raspberrypi",
    interval_s=10,
    agent_version="0.1",
    model="Raspberry Pi 4 Model B",
    serial="1000000051000301",
    macs=("DC:A6:32:01:36:C2", "dc:a6:32:01:36:c3"),
    addresses=("fe80::1", "192.168.23.77"),
)


async def test_an_agents_first_words_are_a_birth() -> None:
    source, ear = AgentSource(), Ear()
    source.said("pi-1", DETAILS, retained=False)
    await source.start(ear)
    source.said("pi-1", DETAILS, retained=False)
    again = msgspec.structs.replace(DETAILS, session="s2")
    source.said("pi-1", again, retained=False)
    assert not ear.asks, "the same boot as before: it only connected again"
    source.said("pi-1", msgspec.structs.replace(again, boot_id="b2"), retained=False)
    assert ear.asks == [
        BoardHeard(
            mac="dc:a6:32:01:36:c2",
            kind=HeardKind.BIRTH,
            address="192.168.23.77",
            hostname="raspberrypi",
            model="Raspberry Pi 4 Model B",
            serial="51000301",
        )
    ]
    await source.stop()


async def test_a_hardware_address_that_changes_in_one_boot_is_no_birth() -> None:
    """A bridge takes the address of a port, or an adapter is plugged in."""
    source, ear = AgentSource(), Ear()
    await source.start(ear)
    source.said("pi-1", DETAILS, retained=True)
    other = msgspec.structs.replace(DETAILS, macs=("5a:fd:4c:93:cf:c8",))
    source.said("pi-1", other, retained=False)
    assert not ear.asks


NOT_BOARDS = (
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:01",
    "00:00:00:00:00:00",
    "02:00:00:00:01:01",
)


@pytest.mark.parametrize("kind", HeardKind)
def test_groups_nobody_and_this_machine_are_no_boards(
    scene: Scenes, virtually: Virtually, kind: HeardKind
) -> None:
    stage = scene(1, 4)

    async def install() -> InstallRun:
        installer = stage.installer(own=lambda: {NOT_BOARDS[-1]})
        await installer.start()
        await installer.begin(stage.params)
        await stage.reach(installer, lambda run: run.powered_at)
        for mac in NOT_BOARDS:
            stage.rack.source.hear(BoardHeard(mac=mac, kind=kind))
        return await stage.ended(installer)

    run = virtually(install())
    assert len(run.verified) == 4
    assert not run.findings


async def test_what_a_board_says_of_itself_is_short_and_in_one_line() -> None:
    source, ear = AgentSource(), Ear()
    await source.start(ear)
    lies = {
        "addresses": ("1.2.3", "tftp.example", "192.168.23.300", "192.168.23.9"),
        "hostname": "pi\n\x1b[31m\u202e",
        "model": "x" * 200,
    }
    source.said("pi-1", msgspec.structs.replace(DETAILS, **lies), retained=False)
    (ask,) = ear.asks
    assert ask.address == "192.168.23.9"
    assert ask.hostname == "pi[31m"
    assert ask.model == "x" * 64


def test_a_lease_file_that_is_no_text_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "leases").write_bytes(b"1 dc:a6:32:00:00:01 ? \xff\xfe *\n")
    (lease,) = parse_leases(files.read(tmp_path / "leases") or "")
    assert lease_heard(lease).address == ""


async def test_old_words_goodbyes_and_boards_without_address_are_no_births() -> None:
    source, ear = AgentSource(), Ear()
    await source.start(ear)
    replace = msgspec.structs.replace
    source.said("pi-1", replace(DETAILS, boot_id="b3"), retained=True)
    source.said(
        "pi-1", replace(DETAILS, boot_id="b4", reason="shutdown"), retained=False
    )
    source.said("pi-1", replace(DETAILS, boot_id="b5", macs=()), retained=False)
    source.said("pi-1", replace(DETAILS, boot_id="b6", macs=("?",)), retained=False)
    assert not ear.asks


def test_only_new_leases_are_heard(scene: Scenes, virtually: Virtually) -> None:
    stage = scene(1, 2)
    ear = Ear()

    async def story() -> None:
        stage.rack.backend.lend("dc:a6:32:00:00:01")
        source = LeaseSource(stage.rack.backend)
        await source.start(ear)
        await asyncio.sleep(2)
        stage.rack.backend.lend("dc:a6:32:00:00:02")
        await asyncio.sleep(2)
        await source.stop()
        await source.stop()

    virtually(story())
    (ask,) = ear.asks
    assert (ask.mac, ask.kind) == ("dc:a6:32:00:00:02", HeardKind.LEASE)


class HalfWritten(FakeBackend):
    """A server whose file is read in the middle of a rewrite, every other time."""

    reads = 0

    async def leases(self) -> tuple[Lease, ...]:
        self.reads += 1
        return () if self.reads % 2 else await super().leases()


def test_a_file_that_is_read_half_written_makes_no_news(
    scene: Scenes, virtually: Virtually
) -> None:
    backend = HalfWritten(scene(1, 2).rack)
    ear = Ear()

    async def story() -> None:
        backend.lend("dc:a6:32:00:00:01")
        source = LeaseSource(backend)
        await source.start(ear)
        await asyncio.sleep(5)
        await source.stop()

    virtually(story())
    assert len(ear.asks) == 1


def test_numbers_are_written_as_people_do() -> None:
    assert listed([3, 1, 2, 7]) == "1-3, 7"
    assert listed([5]) == "5"
