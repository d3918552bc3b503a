"""What we change about paho: how it reads, and what rides beside a payload."""

import socket
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from broker.client.paho_connection import publish_properties
from broker.client.paho_loop import BufferedClient, BufferedSocket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, BufferedSocket]]:
    far, near = socket.socketpair()
    near.setblocking(False)  # noqa: FBT003  # as socket has it
    buffered = BufferedSocket(near)
    yield far, buffered
    far.close()
    buffered.close()


def test_small_reads_are_served_from_one_large_one(
    pair: tuple[socket.socket, BufferedSocket],
) -> None:
    far, near = pair
    far.send(b"abcdef")
    assert near.recv(1) == b"a"
    assert near.pending() == 5
    assert near.recv(3) + near.recv(9) == b"bcdef"
    assert near.pending() == 0


def test_an_empty_socket_says_so_as_a_socket_does(
    pair: tuple[socket.socket, BufferedSocket],
) -> None:
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_the_end_of_the_connection_is_an_empty_read(
    pair: tuple[socket.socket, BufferedSocket],
) -> None:
    far, near = pair
    far.send(b"x")
    far.shutdown(socket.SHUT_WR)
    assert near.recv(5) == b"x"
    assert near.recv(5) == b""


def test_paho_reads_through_the_buffer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = BufferedClient(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", server.getsockname()[1])
        opened = client.socket()
        assert isinstance(opened, BufferedSocket)
        opened.close()


@pytest.mark.parametrize(
    ("asked_s", "carried_s"), [(0.2, 1), (30.0, 30), (1e308, 2**32 - 1)]
)
def test_any_time_to_live_makes_a_packet(asked_s: float, carried_s: int) -> None:
    properties = publish_properties(expiry_s=asked_s)
    assert properties is not None
    packed = properties.pack()  # type: ignore[no-untyped-call]  # paho types no properties
    assert int.from_bytes(packed[-4:], "big") == carried_s
