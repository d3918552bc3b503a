"""How long one turn of a service's loop takes, with random messages and without any.

Each service runs in a process of its own on a loop that times its turns; the messages
are those of the tests: valid structs with extreme fields, on the topics of the
contract. While a turn lasts, nothing else is done: no heartbeat, no answer, no ping.
"""

import asyncio
import selectors
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from bench.figures import Figure
from bench.raw import RawPublisher, publish_packet
from bench.sandbox import BenchError, Sandbox
from broker.client.endpoint import Endpoint
from broker.client.link import Connect, Link
from broker.client.mqtt_link import connector
from broker.contract.topics import Topics
from tests.random_messages import RandomMessages

CASE = "turns"
SECONDS = 6.0
RATE = 300
"""Random messages a second."""
WARM_S = 1.5
NODES = ("pi-11", "pi-12", "pi-21", "pi-22")
SERVICES = ("agent", "master", "dashboard")


class Turns(msgspec.Struct, frozen=True):
    """What a service's loop did.

    Args:
        longest_s: The longest turn, seconds.
        count: How many turns there were.
        failed: Tasks that died and exceptions of the listener.
    """

    longest_s: float
    count: int
    failed: int


def measure() -> list[Figure]:
    """Runs each service idle and under random messages."""
    figures = []
    for service in SERVICES:
        idle, busy = _run(service, rate=0), _run(service, rate=RATE)
        if busy.failed:
            text = f"{busy.failed} errors inside {service} under random messages"
            raise BenchError(text)
        figures.append(
            Figure(
                case=CASE,
                what=f"longest turn of the {service}'s loop, random messages",
                ours=busy.longest_s * 1000,
                unit="ms",
                beside={"idle": idle.longest_s * 1000},
                note=f"{RATE} random messages a second for {SECONDS:g} s; 0 tasks died",
            )
        )
    return figures


def _run(service: str, *, rate: int) -> Turns:
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        answer = sandbox.folder / "turns.json"
        argv = ("-m", "bench.turns", service, str(port), answer)
        child = sandbox.python(service, *argv)
        with RawPublisher(port) as publisher:
            _feed(publisher, rate)
        if child.wait(30.0):
            text = f"{service}: {sandbox.log(service)}"
            raise BenchError(text)
        return msgspec.json.decode(answer.read_bytes(), type=Turns)


def _feed(publisher: RawPublisher, rate: int) -> None:
    """Sends random messages for as long as the service is timed."""
    random_ = RandomMessages(1, nodes=NODES)
    end = time.monotonic() + WARM_S + SECONDS + 1.0
    while time.monotonic() < end:
        time.sleep(0.1)
        for _ in range(rate // 10):
            one = random_.next()
            publisher.send(publish_packet(one.topic, one.payload, retain=one.retain))


class Service(Protocol):
    """What is timed."""

    async def start(self) -> None:
        """Begins."""

    async def stop(self) -> None:
        """Ends."""


class TimedSelector(selectors.DefaultSelector):
    """Knows how long the loop was away from it: that was one turn."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = 0.0
        self.count = 0
        self._back_at: float | None = None

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits for events, and time what was done since the last ones."""
        if self._back_at is not None:
            self.longest_s = max(self.longest_s, time.perf_counter() - self._back_at)
            self.count += 1
        events = super().select(timeout)
        self._back_at = time.perf_counter()
        return events


def main(arguments: Sequence[str]) -> None:
    """Be one service, timed; write what its loop did."""
    service, port, answer = arguments
    selector = TimedSelector()
    loop = asyncio.SelectorEventLoop(selector)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        failed = runner.run(_live(service, int(port), Path(answer).parent, selector))
    turns = Turns(selector.longest_s, selector.count, failed)
    part = Path(f"{answer}.part")
    part.write_bytes(msgspec.json.encode(turns))
    part.replace(answer)


async def _live(service: str, port: int, folder: Path, selector: TimedSelector) -> int:
    from broker.common import tasks  # noqa: PLC0415  # of the child only

    connect = connector(Endpoint(port=port))
    running = _MAKERS[service](connect, folder)
    await running.start()
    await asyncio.sleep(WARM_S)
    selector.longest_s, selector.count = 0.0, 0
    await asyncio.sleep(SECONDS)
    longest_s, count = selector.longest_s, selector.count
    await running.stop()
    selector.longest_s, selector.count = longest_s, count
    link: Link = running._link  # type: ignore[attr-defined]  # noqa: SLF001  # each has one, and it counts
    return tasks.counts.total() + link.listener_errors.total


def _agent(connect: Connect, _folder: Path) -> Service:
    from node_agent.actions import from_text  # noqa: PLC0415  # of the child only
    from node_agent.node import Node  # noqa: PLC0415  # as above
    from node_agent.runner import FakeRunner  # noqa: PLC0415  # orders are not run
    from node_agent.vitals import LinuxBoard  # noqa: PLC0415  # as above

    return Node(
        NODES[0],
        board=LinuxBoard(),
        actions=from_text("[a]\nuptime = uptime\nreboot = reboot\n"),
        runner=FakeRunner(),
        connect=connect,
        topics=Topics("lab"),
        interval_s=1.0,
    )


def _master(connect: Connect, folder: Path) -> Service:
    from broker.common.config import RackSettings  # noqa: PLC0415  # of the child only
    from master_service.power.fake import FakeOutlets  # noqa: PLC0415  # as above
    from master_service.presence.probe import NoProber  # noqa: PLC0415  # as above
    from master_service.rack.settings import MasterSettings, Settings  # noqa: PLC0415  # as above
    from master_service.service import Master  # noqa: PLC0415  # as above

    settings = Settings(
        rack=RackSettings(name="lab", stacks=2, boards=2),
        master=MasterSettings(data_dir=str(folder)),
    )
    outlets = FakeOutlets(folder / "outlets.json", ())
    return Master(settings, connect=connect, prober=NoProber(), outlets=outlets)


def _dashboard(connect: Connect, folder: Path) -> Service:
    from dashboard.live.hub import View  # noqa: PLC0415  # as above
    from dashboard.live.service import Dashboard  # noqa: PLC0415  # of the child only
    from dashboard.server.settings import DashboardSettings  # noqa: PLC0415  # as above
    from dashboard.server.users import PageRole, PageUser, Users  # noqa: PLC0415  # as above

    users = Users(folder / "users.json")
    dashboard = Dashboard(DashboardSettings(), "lab", connect, users, publish_hint="")
    user = PageUser(name="ada", role=PageRole.ADMIN, salt="", digest="", stamp="x")
    dashboard.join(View(_Tab(), user))
    return dashboard


class _Tab:
    """A browser tab that takes everything."""

    open = True

    def send(self, number: int, shared: str, private: str) -> None:
        """Forgets it."""


_MAKERS: dict[str, Callable[[Connect, Path], Service]] = {
    "agent": _agent,
    "master": _master,
    "dashboard": _dashboard,
}

if __name__ == "__main__":
    main(sys.argv[1:])
