"""The brokers that the contract suite runs on: in memory, and a real Mosquitto."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from broker.client.endpoint import Endpoint
from broker.client.fake import FakeBroker, PublishFailure
from broker.client.link import BreakableLink, Message, Subscription
from broker.client.mqtt_link import check_connection, connector
from broker.common.errors import LinkError
from broker.contract.topics import Topics
from broker.mosquitto import dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import MosquittoChild, MosquittoConfig
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from tests.ports import free_port

DEADLINE_S = 30.0
QUIET_S = 0.3
"""How long a real broker is given to deliver what must not come, if it is not busy."""
CLIENTS = ("node", "other", "watcher", "late")


class Recorder:
    """A listener that remembers everything."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.losses: list[str] = []
        self.messages: list[Message] = []
        self.on_up: Callable[[], None] = lambda: None

    def on_connected(self, session: str) -> None:
        self.sessions.append(session)
        self.on_up()

    def on_disconnected(self, reason: str) -> None:
        self.losses.append(reason)

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        if message.payload == b"raise":
            text = "a listener that raises"
            raise RuntimeError(text)

    def payloads(self, topic: str) -> list[bytes]:
        return [one.payload for one in self.messages if one.topic == topic]


class InMemoryBroker:
    """A ``FakeBroker``."""

    def __init__(self, *, v5: bool) -> None:
        self.v5 = v5
        self._broker = FakeBroker(mqtt5=v5)

    def link(
        self,
        recorder: Recorder,
        client_id: str,
        subscriptions: Sequence[Subscription] = (),
        status_topic: str | None = None,
    ) -> BreakableLink:
        return self._broker.connect(
            recorder,
            client_id=client_id,
            subscriptions=subscriptions,
            status_topic=status_topic,
        )

    async def until(self, condition: Callable[[], object]) -> None:
        await self._broker.settle()
        assert condition()

    async def quiet(self) -> None:
        await self._broker.settle()

    def forbidden(self) -> str:
        """Returns a topic that the broker allows nobody."""
        self._broker.fail(PublishFailure.REFUSED, "elsewhere/#", times=1000)
        return "elsewhere/topic"

    async def kill(self, client_id: str) -> None:
        self._broker.kill(client_id)

    async def reconnect(self, client_id: str) -> None:
        self._broker.reconnect(client_id)

    async def stop(self) -> None:
        self._broker.stop()

    async def start(self) -> None:
        self._broker.start()

    async def close(self) -> None:
        await self._broker.settle()


class TcpProxy:
    """Can cut one client's connection and refuse MQTT 5."""

    def __init__(self, port: int, *, v5: bool) -> None:
        self.port = 0
        self._target = port
        self._v5 = v5
        self._server: asyncio.Server | None = None
        self._connections: dict[str, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, client_id: str) -> None:
        """Resets the broker's side, as a cable pulled and a board gone would."""
        self._connections[client_id].transport.abort()

    async def _accept(
        self, near: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._ends.add(back)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._carry(near, back)
        back.transport.abort()
        self._tasks.discard(task)

    async def _carry(
        self, near: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        first = await near.readexactly(2)
        while first[-1] & 0x80:
            first += await near.readexactly(1)
        head = await near.readexactly(10)  # name, version, flags, keep-alive
        if head[6] == 5 and not self._v5:
            back.write(b"\x20\x02\x00\x01")  # unacceptable protocol version
            return
        rest = await near.readexactly(1)
        if head[6] == 5:  # the properties before the client id
            rest += await near.readexactly(rest[0])
            rest += await near.readexactly(1)
        rest += await near.readexactly(1)
        size = int.from_bytes(rest[-2:])
        name = await near.readexactly(size)
        far, out = await asyncio.open_connection("127.0.0.1", self._target)
        self._connections[name.decode()] = out
        self._ends.add(out)
        out.write(first + head + rest + name)
        pumps = [
            asyncio.create_task(self._pump(near, out)),
            asyncio.create_task(self._pump(far, back)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            out.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            await asyncio.sleep(0.05)  # let the last bytes go before the cut


class MosquittoBehindProxy:
    """A real Mosquitto behind a proxy."""

    def __init__(self, directory: Path, *, v5: bool) -> None:
        self.v5 = v5
        found = mosquitto.find()
        users = [
            BrokerUser(name=name, password="secret", role=BrokerRole.MASTER)
            for name in CLIENTS
        ]
        dynsec.write(directory, users, Topics("lab"))
        self._config = MosquittoConfig(
            directory=directory, plugin=found.plugin, port=free_port()
        )
        self._child = MosquittoChild(found, self._config)
        self._proxy = TcpProxy(self._config.port, v5=v5)
        self._links: list[BreakableLink] = []
        self._recorders: list[Recorder] = []

    async def begin(self) -> None:
        await self._child.start()
        await self._proxy.start()

    def link(
        self,
        recorder: Recorder,
        client_id: str,
        subscriptions: Sequence[Subscription] = (),
        status_topic: str | None = None,
    ) -> BreakableLink:
        endpoint = Endpoint(
            port=self._proxy.port, username=client_id, password="secret"
        )
        link = connector(endpoint)(
            recorder,
            client_id=client_id,
            subscriptions=subscriptions,
            status_topic=status_topic,
        )
        self._links.append(link)
        self._recorders.append(recorder)
        return link

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110  # any condition, not an event
                await asyncio.sleep(0.01)

    async def quiet(self) -> None:
        """Waits until the broker has answered and nothing was delivered meanwhile."""
        heard = -1
        while heard != (heard := sum(len(one.messages) for one in self._recorders)):
            await asyncio.sleep(QUIET_S)
            with contextlib.suppress(LinkError):  # it is down, or refuses a stranger
                await check_connection(Endpoint(port=self._config.port))

    def forbidden(self) -> str:
        """Returns a topic that the broker allows nobody."""
        return "elsewhere/topic"

    async def kill(self, client_id: str) -> None:
        self._proxy.cut(client_id)

    async def reconnect(self, client_id: str) -> None:
        """Does nothing: a real link connects again by itself."""

    async def stop(self) -> None:
        pid = self._child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await self._child.wait()

    async def start(self) -> None:
        await self._child.start()

    async def close(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links))
        await self._proxy.stop()
        await self._child.stop()


@contextlib.asynccontextmanager
async def running_mosquitto(
    directory: Path, users: Sequence[BrokerUser] = ()
) -> AsyncIterator[int]:
    """Runs a Mosquitto until the block ends; yields its port.

    Args:
        directory: Its data.
        users: Who may connect; none: as the plugin's file there says.
    """
    found = mosquitto.find()
    if users:
        dynsec.write(directory, users, Topics("lab"))
    config = MosquittoConfig(directory=directory, plugin=found.plugin, port=free_port())
    child = MosquittoChild(found, config)
    await child.start()
    try:
        yield config.port
    finally:
        await child.stop()


AnyBroker = InMemoryBroker | MosquittoBehindProxy
