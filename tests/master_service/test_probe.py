"""What is asked: an address, never a name that somebody would have to resolve."""

import socket

import pytest

from master_service.probe import SocketProber


class NoSocket(socket.socket):
    def sendto(self, *said: object) -> int:
        raise AssertionError(said)


@pytest.mark.parametrize(
    "address", ["", "some-host.example.com", "localhost", "fe80::1", "1.2.3", "7"]
)
async def test_only_an_ipv4_address_is_handed_to_the_socket(address: str) -> None:
    prober = SocketProber(NoSocket, bytes, bytes, 7)
    await prober.start()
    try:
        answer = await prober.probe(address)
    finally:
        await prober.stop()
    assert not answer.answered
    assert answer.note == "no IPv4 address is known"
