"""A set of reservations, given on a slow card and while a server takes another."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from provisioning.backends.backend import Backend, Observe
from provisioning.backends.daemon import Daemon
from provisioning.backends.dhcpd import Dhcpd
from provisioning.backends.dnsmasq import Dnsmasq
from provisioning.common.errors import BackendError
from provisioning.common.subnet import Reservation, Subnet
from tests.provisioning.story import Scenes

Make = Callable[[Subnet, Path, Daemon], Backend]

MAC = "dc:a6:32:00:01:01"
ROWS = (Reservation(MAC, "192.168.23.10", "s01n1"),)


class Reluctant:
    """Fails when it is first told to read its files again, after a long while."""

    def __init__(self) -> None:
        self.asked, self.over = asyncio.Event(), asyncio.Event()

    async def reload(self) -> None:
        if not self.asked.is_set():
            self.asked.set()
            await self.over.wait()
            text = "it did not come up"
            raise BackendError(text)

    log = ""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def alive(self) -> bool:
        return True

    async def restart(self) -> None:
        """Come up, at last."""


class Unjudged(Dhcpd):
    """Dhcpd's file, on a machine without dhcpd."""

    def test_command(self, draft: Path) -> list[str]:
        del draft
        return ["true"]

    async def renew(self) -> None:
        await self._daemon.reload()


def make_dnsmasq(subnet: Subnet, folder: Path, daemon: Daemon) -> Backend:
    (folder / "hosts.d").mkdir()
    return Dnsmasq(subnet, folder, daemon)


def make_dhcpd(subnet: Subnet, folder: Path, daemon: Daemon) -> Backend:
    return Unjudged(subnet, folder, daemon)


def make_observe(subnet: Subnet, folder: Path, daemon: Daemon) -> Backend:
    del daemon
    return Observe(subnet, folder)


def to_be_read(folder: Path) -> str:
    """Return all that the server finds in its folder."""
    (folder / "reservations.json").unlink()
    files = (path for path in folder.rglob("*") if path.is_file())
    return "".join(path.read_text() for path in files)


@pytest.mark.parametrize("make", [make_dnsmasq, make_dhcpd])
async def test_who_asks_again_before_the_first_answer_is_served_after_it(
    scene: Scenes, tmp_path: Path, make: Make
) -> None:
    server = Reluctant()
    backend = make(scene(1, 1).rack.subnet, tmp_path, server)
    first = asyncio.create_task(backend.apply(ROWS))
    await server.asked.wait()
    second = asyncio.create_task(backend.apply(ROWS))
    await asyncio.sleep(0)
    server.over.set()
    with pytest.raises(BackendError, match="come up"):
        await first
    await second
    assert backend.applied() == ROWS
    assert MAC in to_be_read(tmp_path)


@pytest.mark.parametrize("make", [make_dnsmasq, make_dhcpd, make_observe])
async def test_a_slow_card_holds_up_nothing_but_the_reservations(
    scene: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    waiting: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: waiting.append(threading.get_ident()))
    server = Reluctant()
    server.asked.set()
    await make(scene(1, 1).rack.subnet, tmp_path, server).apply(ROWS)
    assert waiting
    assert threading.get_ident() not in waiting


async def test_a_server_starts_without_reservations_of_another_network(
    scene: Scenes, tmp_path: Path
) -> None:
    server = Reluctant()
    server.asked.set()
    subnet = msgspec.structs.replace(scene(1, 1).rack.subnet, interface="lo")
    await make_dhcpd(subnet, tmp_path, server).apply(ROWS)
    other = msgspec.structs.replace(subnet, address="10.0.0.1/24")
    backend = make_dhcpd(other, tmp_path, server)
    await backend.start()
    await backend.stop()
    assert MAC not in to_be_read(tmp_path)
