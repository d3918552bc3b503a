"""One contract for every DHCP server, on the real ones."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from provisioning.backends.backend import Backend
from provisioning.backends.checks import is_running
from provisioning.backends.daemon import ChildDaemon
from provisioning.common.errors import BackendError, ConfigurationRefusedError
from provisioning.common.subnet import Reservation
from tests.system.provisioning_netns.lab import MASTER, SUBNET, Lab
from tests.system.provisioning_netns.pi import Pi, wait_until
from tests.system.provisioning_netns.servers import SERVERS, MakeBackend

pytestmark = pytest.mark.system

A, B, C = (f"dc:a6:32:00:00:0{n}" for n in "abc")
Story = Callable[[Backend, ChildDaemon], Awaitable[None]]


def row(mac: str, last: int, name: str) -> Reservation:
    return Reservation(mac, f"10.77.0.{last}", name)


@pytest.fixture(params=SERVERS)
def make(request: pytest.FixtureRequest) -> MakeBackend:
    return SERVERS[request.param]


def serve(lab: Lab, make: MakeBackend, story: Story) -> None:
    """Tell a story beside a running server."""

    async def main() -> None:
        backend, child = make(SUBNET, lab.folder / "dhcp")
        await backend.start()
        try:
            await story(backend, child)
        finally:
            await backend.stop()

    lab.run(main)


async def cycle(*pis: Pi) -> list[str]:
    """Power-cycle boards together and return what they get."""
    return list(await asyncio.gather(*(asyncio.to_thread(pi.restart) for pi in pis)))


def test_a_board_with_an_address_of_the_pool_moves_to_its_own_when_it_renews(
    lab: Lab, make: MakeBackend
) -> None:
    """An install run counts on it: it cuts no board for that."""
    a = lab.pi(A, boot_s=0)

    async def story(backend: Backend, _: ChildDaemon) -> None:
        (first,) = await cycle(a)
        assert SUBNET.in_pool(first)
        await backend.apply([row(A, 10, "s01n1")], brief=True)
        moved = await asyncio.to_thread(
            wait_until, lambda: a.address == "10.77.0.10", 30
        )
        assert moved, a.address

    serve(lab, make, story)
    assert len(a.starts) == 1


def test_dnsmasq_lives_on_when_an_install_run_lengthens_the_leases(lab: Lab) -> None:
    """It died of a tag on a board that it had answered: dnsmasq 2.90."""
    a = lab.pi(A, boot_s=0)

    async def story(backend: Backend, child: ChildDaemon) -> None:
        await backend.apply([row(A, 10, "s01n1")], brief=True)
        assert await cycle(a) == ["10.77.0.10"]
        process = child.pid
        for brief in (False, True, False):
            await backend.apply([row(A, 10, "s01n1")], brief=brief)
            assert await cycle(a) == ["10.77.0.10"]
        assert child.pid == process

    serve(lab, SERVERS["dnsmasq"], story)


def test_boards_get_what_is_reserved_and_others_the_pool(
    lab: Lab, make: MakeBackend
) -> None:
    a, b, c = (lab.pi(mac, boot_s=0) for mac in (A, B, C))

    async def story(backend: Backend, _: ChildDaemon) -> None:
        assert not await backend.check(())
        first = await cycle(a, b)
        assert all(SUBNET.in_pool(address) for address in first)
        assert {lease.mac for lease in await backend.leases()} == {A, B}
        # Added, and effective on the next ask, without a word to the boards.
        change = await backend.apply([row(A, 10, "s01n1"), row(B, 11, "s01n2")])
        assert [one.mac for one in change.added] == [A, B]
        assert await cycle(a, b) == ["10.77.0.10", "10.77.0.11"]
        assert (a.hostname, b.hostname) == ("s01n1", "s01n2")
        # Two that exchange their addresses, and one that is gone.
        swapped = [row(A, 11, "s01n2"), row(B, 10, "s01n1")]
        assert len((await backend.apply(swapped)).changed) == 2
        assert await cycle(a, b) == ["10.77.0.11", "10.77.0.10"]
        assert len((await backend.apply([row(A, 11, "s01n2")])).removed) == 1
        again = await cycle(a, b)
        assert again[0] == "10.77.0.11"
        assert SUBNET.in_pool(again[1])
        # Replaced: the new board takes the address while the old one's lease runs.
        await backend.apply([row(C, 11, "s01n2")])
        a.power_off()
        assert await cycle(c) == ["10.77.0.11"]
        assert not await backend.apply([row(C, 11, "s01n2")])
        change = await backend.apply([row(A, 11, "s01n2")])
        assert [one.mac for one in (*change.removed, *change.added)] == [C, A]
        assert backend.applied() == (row(A, 11, "s01n2"),)
        c.power_off()
        assert await cycle(a) == ["10.77.0.11"]

    serve(lab, make, story)


def test_a_set_that_contradicts_itself_changes_nothing(
    lab: Lab, make: MakeBackend
) -> None:
    a = lab.pi(A, boot_s=0)
    bad = {
        "10.77.0.10 is reserved for two boards": [row(A, 10, "x"), row(B, 10, "y")],
        "lies in the pool": [row(A, 200, "x")],
        "is not in 10.77.0.0/24": [Reservation(A, "10.78.0.1", "x")],
        "host name": [row(A, 10, "not a name;\n}")],
    }

    async def story(backend: Backend, _: ChildDaemon) -> None:
        await backend.apply([row(A, 10, "s01n1")])
        for words, rows in bad.items():
            with pytest.raises(ConfigurationRefusedError, match=words):
                await backend.apply(rows)
        assert backend.applied() == (row(A, 10, "s01n1"),)
        assert await cycle(a) == ["10.77.0.10"]

    serve(lab, make, story)


def test_a_killed_server_is_back_with_its_boards_and_leases(
    lab: Lab, make: MakeBackend
) -> None:
    a, b = lab.pi(A, boot_s=0), lab.pi(B, boot_s=0)

    async def story(backend: Backend, child: ChildDaemon) -> None:
        await backend.apply([row(A, 10, "s01n1")])
        before = await cycle(a, b)
        killed = child.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(20):
            while child.pid in {None, killed}:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)
        assert await backend.alive()
        assert await cycle(a, b) == before

    serve(lab, make, story)


def test_a_server_serves_again_when_its_adapter_was_pulled_out_and_put_in(
    lab: Lab, make: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.backends.own_backend.LOOK_S", 0.05)
    a = lab.pi(A, boot_s=0)

    async def story(backend: Backend, _: ChildDaemon) -> None:
        await backend.apply([row(A, 10, "s01n1")])
        await asyncio.to_thread(lab.replug)
        assert await cycle(a) == ["10.77.0.10"]

    serve(lab, make, story)


def test_cloned_cards_get_an_address_each_and_a_full_pool_keeps_no_reserved_board_out(
    lab: Lab, make: MakeBackend
) -> None:
    clone = ("-C", "-x", "0x3d:ff11223344")
    a, b, c = (lab.pi(mac, boot_s=0, client=clone) for mac in (A, B, C))
    subnet = msgspec.structs.replace(SUBNET, pool_last="10.77.0.201")

    async def main() -> None:
        backend, _ = make(subnet, lab.folder / "dhcp")
        await backend.start()
        try:
            assert len(set(await cycle(a, b))) == 2
            c.power_on()
            assert not c.wait_address(0.5)
            await backend.apply([row(C, 10, "s01n1")])
            assert await cycle(c) == ["10.77.0.10"]
        finally:
            await backend.stop()

    lab.run(main)


KILLED = """
import asyncio, os, pathlib, signal, sys
from provisioning.common.subnet import Reservation
from tests.system.provisioning_netns.lab import SUBNET
from tests.system.provisioning_netns.servers import SERVERS

async def main():
    backend, child = SERVERS[sys.argv[1]](SUBNET, pathlib.Path(sys.argv[2]))
    await backend.start()
    await backend.apply([Reservation(sys.argv[3], "10.77.0.10", "s01n1")])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_killed_master_leaves_dhcp_running_and_the_next_takes_over(
    lab: Lab, make: MakeBackend, request: pytest.FixtureRequest
) -> None:
    a = lab.pi(A, boot_s=0)
    folder = lab.folder / "dhcp"
    name = request.node.callspec.params["make"]
    killed = lab.start(MASTER, sys.executable, "-c", KILLED, name, str(folder), A)
    assert killed.wait(timeout=20) == -signal.SIGKILL
    assert a.restart() == "10.77.0.10"
    orphan = int((folder / "server.pid").read_text())

    async def story(backend: Backend, child: ChildDaemon) -> None:
        assert child.pid != orphan
        assert not is_running(orphan, child.argv)
        assert backend.applied() == (row(A, 10, "s01n1"),)
        assert await cycle(a) == ["10.77.0.10"]

    serve(lab, make, story)


def test_a_server_that_cannot_serve_says_why(lab: Lab, make: MakeBackend) -> None:
    subnet = msgspec.structs.replace(SUBNET, interface="eth9")

    async def main() -> None:
        backend, _ = make(subnet, lab.folder / "dhcp")
        with pytest.raises(BackendError, match="eth9"):
            await backend.start()
        await backend.stop()

    lab.run(main)
