"""A DHCP server that is our own child, and the files of its kind."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from broker.common.processes import Process
from provisioning.backends import checks, daemon
from provisioning.backends.daemon import ChildDaemon
from provisioning.backends.dhcpd import Dhcpd
from provisioning.common.errors import BackendError
from provisioning.deploy import ssh
from tests.provisioning.story import Scenes, Virtually


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
    scene: Scenes, monkeypatch: pytest.MonkeyPatch, *, taken: bool, advice: str
) -> None:
    monkeypatch.setattr(checks, "somebody_serves_dhcp", lambda: taken)
    lo = {"interface": "lo", "address": "127.0.0.1/8"}
    subnet = msgspec.structs.replace(scene(1, 1).rack.subnet, **lo)
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
