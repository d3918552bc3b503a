"""What is asked: an address, never a name that somebody would have to resolve."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from broker.common.config import RackSettings
from broker.common.tasks import Tasks
from broker.contract.topics import NodeLeaf
from master_service.presence.probe import AT_ONCE, PingAnswer, ProbeQueue, SocketProber
from master_service.rack.node import RackNode
from master_service.rack.settings import NodeRow
from tests.master_service.bench import Bench


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

        async def probe(self, _address: str) -> PingAnswer:
            return await next(waiting)

    told: list[bool] = []
    tasks = Tasks()
    queue = ProbeQueue(
        SlowProber(), tasks, lambda _node, answer: told.append(answer.answered)
    )
    node = RackNode("pi-11", "s01n1")
    queue.ask(node)
    await asyncio.sleep(0)
    queue.ask(node, urgent=True)
    answers[0].set_result(PingAnswer(answered=False))
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == []
    answers[1].set_result(PingAnswer(answered=True))
    await tasks.settle()
    assert told == [True]


NODES = 5_000


class SlowProber:
    """As the real one for boards that are away: each answer takes until ``pump``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._open: list[asyncio.Future[None]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def probe(self, address: str) -> PingAnswer:
        self.asked.append(address)
        done = asyncio.get_running_loop().create_future()
        self._open.append(done)
        await done
        return PingAnswer(answered=False)

    def pump(self) -> int:
        """Lets the questions under way end; returns how many there were."""
        ended, self._open = self._open, []
        for one in ended:
            one.set_result(None)
        return len(ended)


async def turn() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


class Crowd:
    """A rack of boards that all fall silent."""

    def __init__(self, folder: Path, nodes: int) -> None:
        rows = tuple(NodeRow(id=f"pi-{number:05d}") for number in range(nodes))
        rack = RackSettings(name="lab", stacks=0)
        self.bench = Bench(folder, nodes=rows, rack=rack)
        self.prober = SlowProber()
        self.bench.prober = self.prober  # type: ignore[assignment]  # another fake
        self.bench.master = self.bench.make()

    async def fall_silent(self) -> None:
        await self.bench.master.start()
        for number, board in enumerate(self.bench.boards.values()):
            board.address = f"10.0.{number // 250}.{number % 250}"
            board.details()
            board.say(NodeLeaf.STATUS, b"online", retain=True)
            board.beat()
        await self.bench.broker.settle()
        self.bench.master.tick()
        await turn()

    async def second(self) -> None:
        self.bench.now += 1.0
        self.bench.master.tick()
        await turn()

    async def end(self) -> None:
        await self.bench.master.stop()


async def test_thousands_of_silent_boards_cost_a_hundred_tasks(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, NODES)
    await crowd.fall_silent()
    before = len(asyncio.all_tasks())
    most = asked_at_once = 0
    for _ in range(80):
        await crowd.second()
        most = max(most, len(asyncio.all_tasks()) - before)
        asked_at_once = max(asked_at_once, crowd.prober.pump())
        await turn()
    assert asked_at_once == AT_ONCE
    assert most <= AT_ONCE + 10
    first = crowd.prober.asked[:NODES]
    assert len(set(first)) == NODES, "each is asked once before any is asked again"
    await crowd.end()


async def test_a_question_that_is_needed_now_goes_before_all_others(
    tmp_path: Path,
) -> None:
    crowd = Crowd(tmp_path, 3 * AT_ONCE)
    await crowd.fall_silent()
    for _ in range(40):
        await crowd.second()
        if crowd.prober.asked:
            break
    runner = crowd.bench.master._effects  # noqa: SLF001  # who asks
    nodes = list(crowd.bench.master.rack.registry.nodes.values())
    running, last = nodes[0], nodes[-1]
    assert running.address in crowd.prober.asked
    asked = len(crowd.prober.asked)
    runner.probe(running)
    runner.probe(running, urgent=True)
    runner.probe(last, urgent=True)
    crowd.prober.pump()
    await turn()
    assert set(crowd.prober.asked[asked : asked + 2]) == {running.address, last.address}
    assert crowd.prober.asked.count(running.address) == 2
    await crowd.end()
