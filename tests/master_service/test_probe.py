"""What is asked: an address, never a name that somebody would have to resolve."""

import asyncio
import socket

import pytest

from broker.common.tasks import Tasks
from master_service.presence.probe import Answer, ProbeQueue, SocketProber
from master_service.rack.node import Node


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


async def test_a_silence_from_before_an_urgent_question_is_not_told() -> None:
    answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
    waiting = iter(answers)

    class SlowProber:
        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def probe(self, _address: str) -> Answer:
            return await next(waiting)

    told: list[bool] = []
    tasks = Tasks()
    queue = ProbeQueue(
        SlowProber(), tasks, lambda _node, answer: told.append(answer.answered)
    )
    node = Node("pi-11", "s01n1")
    queue.ask(node)
    await asyncio.sleep(0)
    queue.ask(node, urgent=True)
    answers[0].set_result(Answer(answered=False))
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == []
    answers[1].set_result(Answer(answered=True))
    await tasks.settle()
    assert told == [True]
