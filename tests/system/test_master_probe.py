"""Real sockets: boards that answer, boards that do not, and no right to ask."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from master_service.presence.probe import NoProber, SocketProber, icmp_token, make

pytestmark = pytest.mark.system


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        _Echo, local_addr=("127.77.1.1", 0)
    )
    yield transport.get_extra_info("sockname")[1]
    transport.close()


async def test_a_board_that_echoes_is_there_and_its_neighbour_is_not(
    echo_port: int,
) -> None:
    prober = make(f"echo:{echo_port}")
    await prober.start()
    there, away = await asyncio.gather(
        prober.probe("127.77.1.1"), prober.probe("127.77.1.2")
    )
    await prober.stop()
    assert there.answered
    assert not away.answered
    assert not away.note


async def test_a_thousand_boards_are_asked_in_a_few_moments(echo_port: int) -> None:
    prober = make(f"echo:{echo_port}")
    await prober.start()
    answers = await asyncio.gather(*(prober.probe("127.77.1.1") for _ in range(1000)))
    await prober.stop()
    assert all(answer.answered for answer in answers)


async def test_this_machine_answers_icmp_or_the_reason_is_told() -> None:
    prober = make("icmp")
    await prober.start()
    answer = await prober.probe("127.0.0.1")
    await prober.stop()
    assert answer.answered or "ICMP is not allowed" in answer.note


async def test_a_kernel_that_allows_no_icmp_is_named_in_every_answer() -> None:
    def forbidden() -> socket.socket:
        raise OSError(1, "ICMP is not allowed: ask root")

    prober = SocketProber(forbidden, bytes, lambda data: data)
    await prober.start()
    answer = await prober.probe("127.0.0.1")
    await prober.stop()
    assert not answer.answered
    assert "ask root" in answer.note


async def test_no_address_no_network_and_no_prober_are_told_apart() -> None:
    prober = make("echo:7")
    await prober.start()
    assert (await prober.probe("")).note == "no IPv4 address is known"
    assert "cannot send" in (await prober.probe("255.255.255.255")).note
    await prober.stop()
    await prober.stop()
    assert "none" in (await NoProber().probe("127.0.0.1")).note


@pytest.mark.parametrize("junk", [b"", b"\x45", b"\x00" * 8, b"\x00" * 30, b"\x4f" * 9])
def test_a_stray_packet_is_not_an_answer(junk: bytes) -> None:
    assert icmp_token(junk) is None
