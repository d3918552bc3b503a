"""The back ends without a real server: their files, processes and reservations."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from broker.common.processes import Process
from provisioning.backends import checks, daemon
from provisioning.backends.backend import Backend, Observe
from provisioning.backends.daemon import ChildDaemon, Daemon
from provisioning.backends.dhcpd import Dhcpd
from provisioning.backends.dnsmasq import Dnsmasq
from provisioning.common.errors import BackendError
from provisioning.common.subnet import Reservation, Subnet
from provisioning.deploy import ssh
from tests.provisioning.harness import NewRig, Virtually

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
    new_rig: NewRig, tmp_path: Path, make: Make
) -> None:
    server = Reluctant()
    backend = make(new_rig(1, 1).rack.subnet, tmp_path, server)
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
    new_rig: NewRig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Make,
) -> None:
    waiting: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: waiting.append(threading.get_ident()))
    server = Reluctant()
    server.asked.set()
    await make(new_rig(1, 1).rack.subnet, tmp_path, server).apply(ROWS)
    assert waiting
    assert threading.get_ident() not in waiting


async def test_a_server_starts_without_reservations_of_another_network(
    new_rig: NewRig, tmp_path: Path
) -> None:
    server = Reluctant()
    server.asked.set()
    subnet = msgspec.structs.replace(new_rig(1, 1).rack.subnet, interface="lo")
    await make_dhcpd(subnet, tmp_path, server).apply(ROWS)
    other = msgspec.structs.replace(subnet, address="10.0.0.1/24")
    backend = make_dhcpd(other, tmp_path, server)
    await backend.start()
    await backend.stop()
    assert MAC not in to_be_read(tmp_path)


class Dead(Process):
    """A program that has ended already."""

    def __init__(self) -> None: ...

    @property
    def exit_code(self) -> int:
        return 1

    async def wait(self) -> int:
        return 1

    async def last_output(self, within_s: float = 0.0) -> None: ...


class Dying(ChildDaemon):
    """Serves, and is dead at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("dying",), folder)
        self.starts: list[float] = []

    async def _launch(self) -> Process:
        self.starts.append(asyncio.get_running_loop().time())
        return Dead()


def test_a_server_that_dies_at_once_is_started_at_longer_and_longer_intervals(
    tmp_path: Path, virtually: Virtually
) -> None:
    child = Dying(tmp_path)

    async def minute() -> None:
        await child.start()
        await asyncio.sleep(60)
        await child.stop()

    virtually(minute())
    pauses = [b - a for a, b in zip(child.starts, child.starts[1:], strict=False)]
    assert pauses[0] < 1
    assert pauses[-1] == pytest.approx(5.0, rel=0.1)
    assert len(pauses) < 25


async def test_what_a_server_said_does_not_fill_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "serves_dhcp", lambda _pid: True)
    monkeypatch.setattr(daemon, "LOG_BYTES", 100)
    child = ChildDaemon(("sleep", "60"), tmp_path)
    child.log_file.write_bytes(b"x" * 101)
    await child.start()
    await child.stop()
    assert not child.log_file.read_bytes()
    assert child.log_file.with_suffix(".log.old").read_bytes() == b"x" * 100


async def test_what_a_server_says_while_it_runs_does_not_fill_the_card_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "serves_dhcp", lambda _pid: True)
    monkeypatch.setattr(daemon, "LOG_BYTES", 100_000)
    monkeypatch.setattr(daemon, "LOG_LOOK_S", 0.01)
    said = "for i in $(seq 40000); do echo line $i; done; sleep 60"
    child = ChildDaemon(("sh", "-c", said), tmp_path)
    await child.start()
    old = child.log_file.with_suffix(".log.old")
    async with asyncio.timeout(20):
        while not (old.exists() and child.log_file.stat().st_size < 100_000):  # noqa: ASYNC110  # no call tells
            await asyncio.sleep(0.01)
    assert old.stat().st_size <= 100_000
    await child.stop()


async def test_a_server_that_does_not_come_up_again_is_tried_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "serves_dhcp", lambda _pid: True)
    child = ChildDaemon(("sleep", "60"), tmp_path)
    await child.start()
    child.argv = ("false",)
    monkeypatch.setattr(daemon, "serves_dhcp", lambda _pid: False)
    with pytest.raises(BackendError, match="does not serve"):
        await child.restart()
    child.argv = ("sleep", "60")
    monkeypatch.setattr(daemon, "serves_dhcp", lambda _pid: True)
    async with asyncio.timeout(20):
        while not await child.alive():  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.01)
    await child.stop()


@pytest.mark.parametrize(
    ("taken", "advice"),
    [(True, "another program has UDP port 67"), (False, "see /data/server.log")],
)
async def test_a_server_that_does_not_run_is_named_with_where_to_look(
    new_rig: NewRig,
    monkeypatch: pytest.MonkeyPatch,
    *,
    taken: bool,
    advice: str,
) -> None:
    monkeypatch.setattr(checks, "somebody_serves_dhcp", lambda: taken)
    lo = {"interface": "lo", "address": "127.0.0.1/8"}
    subnet = msgspec.structs.replace(new_rig(1, 1).rack.subnet, **lo)
    server = Dhcpd(subnet, Path("/data"), ChildDaemon((), Path("/data")))
    problems = await server.check(())
    assert any(advice in problem.text for problem in problems)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_is_given_to_its_folders_owner_and_never_what_a_link_leads_to(
    tmp_path: Path,
) -> None:
    precious, folder = tmp_path / "precious", tmp_path / "theirs"
    precious.write_text("of root")
    folder.mkdir()
    os.chown(folder, 1234, 1234)
    (folder / "key").symlink_to(precious)  # the owner of the folder could do that
    ssh.write_private(folder / "key", b"ours")
    assert (folder / "key").lstat().st_uid == 1234
    assert (precious.stat().st_uid, precious.read_text()) == (0, "of root")


def test_the_end_of_the_log_says_why_a_server_ended() -> None:
    about = "07:00 INFO  [kea-dhcp4.dhcp4/1] DHCP4_STARTING Kea starting " + "x" * 90
    why = "07:00 ERROR [kea-dhcp4.dhcp4/1] DHCP4_PARSER_FAIL 'socket-name' is invalid"
    log = "\n".join([why.replace("socket", "old"), *[about] * 20, why, about])
    assert daemon.end_of_log(log) == why


def test_the_end_of_the_log_of_dhcpd_is_not_its_thanks() -> None:
    why = "No subnet declaration for eth1 (no IPv4 addresses)."
    thanks = "If you think you have received this message due to a bug rather"
    log = "\n".join(["Internet Systems Consortium DHCP Server", why, thanks, "x" * 700])
    assert daemon.end_of_log(log).endswith(why)


def test_the_end_of_a_long_log_is_its_last_lines() -> None:
    assert daemon.end_of_log("a" * 700 + "\nthe end").endswith("a; the end")
    assert daemon.end_of_log("") == "it said nothing"
