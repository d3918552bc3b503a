"""A broker, a simulated rack and a master as processes, and a client that asks."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from broker.client.endpoint import Endpoint
from broker.client.link import Message, Subscription
from broker.client.mqtt_link import connector
from broker.contract.messages import (
    Command,
    InstallStack,
    InstallState,
    NodeState,
    RackState,
    Reply,
    StackState,
    Verdict,
    decode,
    encode,
)
from broker.contract.topics import (
    FixedTopic,
    InstallStackTopic,
    NodeTopic,
    ReplyTopic,
    Scope,
    StackTopic,
    Topics,
)
from master_service.power.fake import FakeRelays
from node_agent.simulator.settings import BoardPlace
from tests.mosquitto import OpenMosquitto
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

TOPICS = Topics("master-test")
STACKS, BOARDS = 12, 4
PATIENCE_S = 120.0
"""For what must come at all; how soon it comes is measured in ``bench/``."""


class RackObserver:
    """Remembers what the master publishes."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}
        self.stacks: dict[int, StackState] = {}
        self.rack: RackState | None = None
        self.replies: list[Reply] = []

    def on_connected(self, session: str) -> None:
        pass

    def on_disconnected(self, reason: str) -> None:
        pass

    def on_message(self, message: Message) -> None:
        match TOPICS.parse(message.topic):
            case NodeTopic(node=node):
                self.nodes[node] = decode(message.payload, NodeState)
            case StackTopic(stack=stack):
                self.stacks[stack] = decode(message.payload, StackState)
            case ReplyTopic():
                self.replies.append(decode(message.payload, Reply))
            case FixedTopic():
                self.rack = decode(message.payload, RackState)

    def with_verdict(self, verdict: Verdict) -> int:
        return sum(state.verdict is verdict for state in self.nodes.values())


class InstallObserver(RackObserver):
    """Remembers what is published of an install run, too."""

    def __init__(self) -> None:
        super().__init__()
        self.install = InstallState()
        self.scanned: dict[int, InstallStack] = {}
        self.master_was_away = False

    def on_message(self, message: Message) -> None:
        if not message.payload:
            return
        match TOPICS.parse(message.topic):
            case InstallStackTopic(stack=stack):
                self.scanned[stack] = decode(message.payload, InstallStack)
            case FixedTopic() if message.topic == TOPICS.master_status:
                if message.payload == b"offline":
                    self.master_was_away, self.install = True, InstallState()
            case FixedTopic() if message.topic == TOPICS.install_state:
                self.install = decode(message.payload, InstallState)
            case _:
                super().on_message(message)


class RackProcesses:
    """A broker, a simulated rack and a master, each its own process."""

    def __init__(
        self, folder: Path, stacks: int = STACKS, boards: int = BOARDS
    ) -> None:
        self.folder = folder
        self.shape = stacks, boards
        self.broker = OpenMosquitto(folder)
        self.port = self.broker.port
        self.conf = folder / "pirack.toml"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def configure(self, echo_port: int) -> None:
        stacks, boards = self.shape
        rows = "".join(
            f'[[node]]\nid = "{BoardPlace(s, n).id}"\nname = "s{s:02}n{n}"\n'
            f"stack = {s}\nslot = {n}\n"
            for s in range(1, stacks + 1)
            for n in range(1, boards + 1)
        )
        self.conf.write_text(
            f'[rack]\nname = "{TOPICS.rack}"\nstacks = {stacks}\nboards = {boards}\n'
            f"[broker]\nport = {self.port}\nkeepalive_s = 5\n"
            f"[simulator]\nstacks = {stacks}\nboards = {boards}\ninterval_s = 1.0\n"
            f"boot_s = 1.0\necho_port = {echo_port}\n"
            f'[master]\ndata_dir = "{self.folder}/master"\n'
            f'probe = "echo:{echo_port}"\ngrace_s = 10\n'
            f'[power]\ndriver = "fake"\nsettle_s = 0.5\nmin_off_s = 0.5\n{rows}'
        )

    def start(
        self, command: str, *words: str, stdout: int | None = None
    ) -> subprocess.Popen[bytes]:
        program = (sys.executable, "-m", "pirack.cli")
        self.processes[command] = process = subprocess.Popen(
            [*program, command, *words, "--config", self.conf],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
        )
        return process

    def kill(self, name: str) -> None:
        """End a process as ``kill -9`` does."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(30)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(30)
        self.broker.stop()

    @property
    def relays(self) -> FakeRelays:
        path = self.folder / "master" / "fake-outlets.json"
        if not path.exists():
            return FakeRelays()
        return msgspec.json.decode(path.read_bytes(), type=FakeRelays)


class CommandClient:
    """A client that watches the master and sends commands."""

    def __init__(
        self,
        port: int,
        observed: RackObserver | None = None,
        more: Sequence[Subscription] = (),
    ) -> None:
        self.observed = observed or RackObserver()
        filters = [
            f"{TOPICS.prefix}/node/+/state",
            f"{TOPICS.prefix}/stack/+/state",
            TOPICS.rack_state,
            *TOPICS.reply_filters(),
        ]
        self.link = connector(Endpoint(port=port))(
            self.observed,
            client_id=f"client-{time.monotonic_ns()}",
            subscriptions=[*(Subscription(one, qos=1) for one in filters), *more],
        )

    async def ask(
        self,
        where: str,
        *args: str,
        confirm: str = "",
        wave: int | None = None,
        limit_s: float = PATIENCE_S,
    ) -> list[Reply]:
        """Send a command; return every part of its final reply."""
        scope, verb = where.split()
        command = Command(
            id=f"t-{time.monotonic_ns()}",
            args=args,
            confirm=confirm,
            wave=wave,
            by="test",
        )
        topic = TOPICS.command(Scope.parse(scope), verb)
        self.link.publish(topic, encode(command), qos=1)

        def parts() -> list[Reply]:
            mine = [r for r in self.observed.replies if r.id == command.id]
            return [r for r in mine if r.phase.final]

        await self.until(
            lambda: bool(parts()) and len(parts()) == parts()[0].parts, limit_s
        )
        return parts()

    async def until(
        self, seen: Callable[[], bool], limit_s: float = PATIENCE_S
    ) -> float:
        """Wait until something is seen; return how long that took, seconds."""
        began = time.monotonic()
        while not seen():
            assert time.monotonic() - began < limit_s, "not seen in time"
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    async def all_online(self, limit_s: float = PATIENCE_S) -> float:
        whole = STACKS * BOARDS
        return await self.until(
            lambda: self.observed.with_verdict(Verdict.ONLINE) == whole, limit_s
        )


def echo_port() -> int:
    """Return a port on which simulated boards can answer."""
    return free_port(socket.SOCK_DGRAM, host="")


@contextlib.contextmanager
def running_rack(folder: Path, power: str = "") -> Iterator[RackProcesses]:
    """Runs a rack, each part its own process, until the block ends.

    Args:
        folder: For what it keeps.
        power: More lines for ``[power]``.
    """
    processes = RackProcesses(folder)
    processes.configure(echo_port())
    conf = processes.conf.read_text()
    processes.conf.write_text(conf.replace("[power]\n", f"[power]\n{power}"))
    processes.broker.start()
    processes.start("simulate")
    processes.start("master")
    try:
        yield processes
    finally:
        processes.stop()


@contextlib.asynccontextmanager
async def connected_client(processes: RackProcesses) -> AsyncIterator[CommandClient]:
    """Connects a client that sees all 48 boards online."""
    client = CommandClient(processes.port)
    await client.link.start()
    try:
        assert await client.link.wait_connected(PATIENCE_S)
        await client.all_online()
        yield client
    finally:
        await client.link.stop()
