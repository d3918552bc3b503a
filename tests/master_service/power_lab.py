"""A rack with relays, boards and a clock, and a fuse that kills the master at a step.

Killed means: from that step on nothing the old master does has any effect, and a new
one starts from the same disk, with the same relays and the same boards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker.client.fake import FakeBroker
from broker.client.link import Message, Subscription
from broker.common.config import RackSettings
from broker.contract.messages import (
    Command,
    Event,
    Order,
    Power,
    Reply,
    decode,
    encode,
)
from broker.contract.topics import NodeLeaf, Scope
from master_service.presence.probe import FakeProber
from master_service.rack.settings import (
    Driver,
    MasterSettings,
    NodeRow,
    PowerSettings,
    Settings,
)
from master_service.service import Master
from tests import in_memory
from tests.master_service.power_parts import (
    BOOT_S,
    WALL_S,
    Fuse,
    FusedOutlets,
    Life,
    Pi,
    Relays,
    T,
    fused,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_S = 0.5


class Lab:
    """The rack."""

    def __init__(self, stacks: int = 12, boards: int = 1, **power: Any) -> None:  # noqa: ANN401  # any field of [power]
        self._folder = in_memory.temporary()
        self.broker = FakeBroker()
        self.prober = FakeProber()
        self.now = 1_000.0
        self.torn: list[str] = []
        """Boards whose power was cut while they ran."""
        self.pis = {
            pi.id: pi
            for stack in range(1, stacks + 1)
            for slot in range(1, boards + 1)
            for pi in [Pi(self, stack, slot)]
        }
        self.relays = Relays(self, [f"stack-{n}" for n in range(1, stacks + 1)])
        fast = {"settle_s": 0.5, "min_off_s": 0.5, "stagger_s": 0.0, "at_once": 4}
        self.settings = Settings(
            rack=RackSettings(name="lab", stacks=stacks, boards=boards),
            master=MasterSettings(
                data_dir=self._folder.name, grace_s=2, boot_s=BOOT_S * 4, stop_s=10
            ),
            power=PowerSettings(driver=Driver.FAKE, **{**fast, **power}),
            nodes=tuple(
                NodeRow(id=pi.id, name=pi.name, stack=int(pi.name[1:3]), slot=slot)
                for pi in self.pis.values()
                for slot in [int(pi.name[4:])]
            ),
        )
        self.fuse = Fuse()
        self.master = self.make(self.fuse)
        self._watcher = self.broker.connect(
            self,
            client_id="pis",
            subscriptions=[Subscription(T.node("+", NodeLeaf.ORDER), qos=1)],
        )

    def make(self, fuse: Fuse, boot_id: str = "boot-1") -> Master:
        self.fuse = fuse
        self.master = Master(
            self.settings,
            connect=fused(self.broker.connect, fuse),
            prober=self.prober,
            outlets=FusedOutlets(self.relays, fuse),
            clock=lambda: self.now,
            wall=lambda: self.now + WALL_S,
            boot_id=boot_id,
            sleep=_no_time,
            ticking=False,
        )
        store = self.master._store  # noqa: SLF001  # its door is where steps are counted
        commit = store.commit

        async def counted() -> None:
            await fuse.wait("commit")
            await commit()
            await fuse.wait("committed")

        store.commit = counted  # type: ignore[method-assign]  # as above
        return self.master

    async def start(self) -> None:
        """Start the master; boards are online a moment later."""
        await self._watcher.start()
        for pi in self.pis.values():
            pi.come()
        await self.begin()
        await self.run_for(1.0)

    async def begin(self) -> None:
        """Start the present master, as far as it lives."""
        await self._alive(self.master.start())
        if not self.fuse.blown.is_set():
            await self.calm()

    async def kill(self) -> None:
        """Drop the master: what it had under way has no effect any more."""
        self.fuse.blown.set()
        store = self.master._store  # noqa: SLF001  # it is torn apart, not stopped
        if self.master._running:  # noqa: SLF001  # as above; else it died in its start
            await self.master._effects.tasks.stop()  # noqa: SLF001  # as above
            await self.master._effects.switchings.stop()  # noqa: SLF001  # as above
        if "master" in self.broker.clients():
            self.broker.kill("master")
        await self.broker.settle()
        self.master._link._started = False  # type: ignore[attr-defined]  # noqa: SLF001  # it never comes back
        if store._thread is not None:  # noqa: SLF001  # as above
            store._thread.submit(store._close).result()  # noqa: SLF001  # as above
            store._thread.shutdown()  # noqa: SLF001  # as above
            store._thread = None  # noqa: SLF001  # as above

    async def close(self) -> None:
        await self.kill()
        self._folder.cleanup()

    async def calm(self) -> None:
        """Let everything arrive, and everything under way end."""
        for _ in range(2):
            await self.broker.settle()
            await self._alive(self.master.settle())
        await self.broker.settle()

    async def tick(self) -> None:
        """Let half a second pass."""
        self.now += TICK_S
        for pi in self.pis.values():
            pi.tick(self.now)
        await self.broker.settle()
        if not self.fuse.step("tick"):
            self.master.tick()
        await self.calm()

    async def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end and not self.fuse.blown.is_set():
            await self.tick()

    async def until_quiet(self, limit_s: float = 60.0) -> None:
        """Let time pass until no command is under way, or the master is dead."""
        end = self.now + limit_s
        while not self.fuse.blown.is_set() and self.master._dispatcher.running:  # noqa: SLF001  # there is no other word for it
            assert self.now < end, "a command does not end"
            await self.tick()

    async def ask(self, where: str, *args: str, **fields: Any) -> str:  # noqa: ANN401  # any field of Command
        """Send a command, confirmed; return its id."""
        scope, verb = where.split()
        said = {"id": "c1", "confirm": scope, "by": "ann", **fields}
        command = Command(args=args, **said)
        topic = T.command(Scope.parse(scope), verb)
        self.broker.publish(topic, encode(command), qos=1)
        await self.calm()
        return command.id

    def on_connected(self, session: str) -> None:
        pass

    def on_disconnected(self, reason: str) -> None:
        pass

    def on_message(self, message: Message) -> None:
        node_id = message.topic.split("/")[-2]
        if message.payload:
            self.pis[node_id].ordered(decode(message.payload, Order))

    def supply(self, outlet: str, *, on: bool) -> None:
        for pi in self.pis.values():
            if pi.outlet == outlet:
                pi.supply(on=on)

    def replies(self, command_id: str = "c1") -> list[Reply]:
        sent = (m for m in self.broker.published if "/reply/" in m.topic)
        replies = (decode(message.payload, Reply) for message in sent)
        return [reply for reply in replies if reply.id == command_id]

    def final(self, command_id: str = "c1") -> Reply:
        return [reply for reply in self.replies(command_id) if reply.phase.final][-1]

    @property
    def events(self) -> list[Event]:
        return [decode(m.payload, Event) for m in self.broker.sent(T.event)]

    @property
    def orders(self) -> list[Order]:
        sent = self.broker.sent(T.node("+", NodeLeaf.ORDER))
        return [decode(message.payload, Order) for message in sent]

    def calls(self) -> Iterator[tuple[str, list[bool]]]:
        """Return what was asked of each relay, in order."""
        for name in self.relays.levels:
            yield name, [on for outlet, on in self.relays.calls if outlet == name]

    async def _alive(self, work: Any) -> None:  # noqa: ANN401  # a coroutine
        """Wait for something, or for the end of the master."""
        doing = asyncio.ensure_future(work)
        dying = asyncio.ensure_future(self.fuse.blown.wait())
        await asyncio.wait({doing, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if doing.done():
            doing.result()
            return
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


async def all_off(lab: Lab) -> None:
    """Start, and switch everything off."""
    await lab.start()
    await lab.ask("rack power", "off", id="before")
    await lab.until_quiet()
    lab.relays.calls.clear()


def coming(lab: Lab) -> int:
    """Count the outlets that are on and whose boards do not all run yet."""
    waited = {pi.outlet for pi in lab.pis.values() if pi.life is not Life.RUNNING}
    return sum(lab.relays.levels[outlet] is Power.ON for outlet in waited)


async def _no_time(_seconds: float) -> None:
    """Do not wait between two attempts to switch."""
