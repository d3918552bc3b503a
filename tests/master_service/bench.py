"""A rack without sockets: FakeBroker, a clock that is told, boards that are played."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broker.client.fake import FakeBroker
from broker.client.link import Message
from broker.common.config import RackSettings
from broker.contract.messages import (
    Ability,
    Details,
    Event,
    Heartbeat,
    NodeState,
    Order,
    Phase,
    RackState,
    Reply,
    Result,
    StackState,
    Throttled,
    decode,
    encode,
)
from broker.contract.topics import NodeLeaf, Scope, Topics
from master_service.power.fake import FakeOutlets
from master_service.power.outlets import Outlets
from master_service.presence.probe import FakeProber
from master_service.rack.settings import (
    Driver,
    MasterSettings,
    NodeRow,
    PowerSettings,
    Settings,
)
from master_service.service import Master

T = Topics("lab")
START = 1_000.0
WALL_LESS_MONOTONIC = 1_700_000_000.0
VERBS = ("ping", "refresh", "run", "temperature", "reboot", "shutdown", "update")


class Board:
    """A node played by a test: it says what it is told to say."""

    def __init__(self, bench: "Bench", node_id: str, address: str) -> None:
        self._bench = bench
        self.id = node_id
        self.address = address
        self.session = f"{node_id}-session"
        self.boot_id = f"{node_id}-boot"
        self.beating = False
        self._seq = itertools.count(1)

    def say(self, leaf: NodeLeaf, payload: bytes, *, retain: bool = False) -> None:
        self._bench.broker.publish(T.node(self.id, leaf), payload, qos=1, retain=retain)

    def details(self, **changed: Any) -> None:  # noqa: ANN401  # any field of Details
        said: dict[str, Any] = {
            "session": self.session,
            "boot_id": self.boot_id,
            "hostname": f"host-{self.id}",
            "interval_s": 10.0,
            "agent_version": "0.1.0",
            "addresses": (self.address,),
            "abilities": tuple(Ability(verb=verb) for verb in VERBS),
            "ts": self._bench.wall,
        }
        details = Details(**{**said, **changed})
        self.say(NodeLeaf.DETAILS, encode(details), retain=True)

    def beat(self, **changed: Any) -> None:  # noqa: ANN401  # any field of Heartbeat
        said: dict[str, Any] = {
            "session": self.session,
            "seq": next(self._seq),
            "ts": self._bench.wall,
            "uptime_s": 60.0,
            "cpu_percent": 5.0,
            "load": (0.1, 0.1, 0.1),
            "memory_percent": 20.0,
            "disk_percent": 30.0,
            "throttled": Throttled(),
        }
        self.say(NodeLeaf.HEARTBEAT, encode(Heartbeat(**{**said, **changed})))

    def come(self) -> None:
        """Connect: details, online, a first beat; its board answers ping."""
        self._bench.prober.alive.add(self.address)
        self.beating, self._seq = True, itertools.count(1)
        self.details()
        self.say(NodeLeaf.STATUS, b"online", retain=True)
        self.beat()

    def leave(self) -> None:
        """Lose the connection; the broker publishes the will."""
        self.beating = False
        self.say(NodeLeaf.STATUS, b"offline", retain=True)

    def freeze(self) -> None:
        """Fall silent without a word; the board answers nothing either."""
        self._bench.prober.alive.discard(self.address)
        self.beating = False

    def die(self) -> None:
        """Lose connection and board."""
        self._bench.prober.alive.discard(self.address)
        self.leave()

    def shut_down(self, reason: str = "shutdown ordered by ann") -> None:
        """Says goodbye with a reason and goes down; the board answers no ping then."""
        self._bench.prober.alive.discard(self.address)
        self.details(reason=reason)
        self.leave()

    def answer(self, order: Order, phase: Phase = Phase.DONE, **said: Any) -> None:  # noqa: ANN401  # any field of Result
        result = Result(
            id=order.id, verb=order.verb, session=self.session, phase=phase, **said
        )
        self.say(NodeLeaf.RESULT, encode(result))

    @property
    def orders(self) -> list[Order]:
        return [
            decode(message.payload, Order)
            for message in self._bench.broker.sent(T.node(self.id, NodeLeaf.ORDER))
            if message.payload
        ]


class Bench:
    """A master on a FakeBroker, and the boards of its rack."""

    def __init__(self, folder: Path, *, mqtt5: bool = True, **settings: Any) -> None:  # noqa: ANN401  # any field of Settings
        self.broker = FakeBroker(mqtt5=mqtt5)
        self.now, self.clock_jump_s = START, 0.0
        self.clock_synced: bool | None = True
        self.prober = FakeProber()
        nodes = tuple(
            NodeRow(
                id=f"pi-{s}{n}",
                name=f"s0{s}n{n}",
                stack=s,
                slot=n,
                tags=("web",) if n == 1 else (),
            )
            for s in (1, 2)
            for n in (1, 2)
        )
        self.settings = Settings(
            **{
                "rack": RackSettings(name="lab", stacks=2, boards=2),
                "master": MasterSettings(data_dir=str(folder)),
                "power": PowerSettings(driver=Driver.FAKE, settle_s=3, min_off_s=5),
                "nodes": nodes,
                **settings,
            }
        )
        self.folder = folder
        self.boards = {
            row.id: Board(self, row.id, f"127.77.{row.stack}.{row.slot}")
            for row in self.settings.nodes
        }
        self._ids = itertools.count(1)
        self.master = self.make()

    @property
    def wall(self) -> float:
        return self.now + WALL_LESS_MONOTONIC + self.clock_jump_s

    def make(self, outlets: Outlets | None = None) -> Master:
        """Return a master, on outlets in a file if on no others."""
        self.outlets = FakeOutlets(self.folder / "outlets.json", ("stack-1", "stack-2"))
        return Master(
            self.settings,
            connect=self.broker.connect,
            prober=self.prober,
            outlets=outlets or self.outlets,
            clock=lambda: self.now,
            wall=lambda: self.wall,
            new_id=lambda: f"id-{next(self._ids)}",
            clock_synced=lambda: self.clock_synced,
            ticking=False,
        )

    async def restart(
        self, meanwhile: Callable[[], None] = lambda: None, *, away_s: float = 0.0
    ) -> None:
        """End the master, and start another with what is on disk.

        Args:
            meanwhile: What happens in between.
            away_s: How long that takes, seconds.
        """
        await self.master.stop()
        meanwhile()
        self.now += away_s
        self.master = self.make()
        await self.master.start()
        await self.calm()

    async def calm(self) -> None:
        """Let everything arrive, and everything under way end."""
        for _ in range(4):
            await self.broker.settle()
            await self.master.settle()

    async def pass_time(self, seconds: float, *, beating: bool = True) -> None:
        """Let time pass in ticks; boards that came go on beating if they should."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            if beating:
                for board in self.boards.values():
                    if board.beating:
                        board.beat()
            await self.calm()
            self.master.tick()
            await self.calm()

    async def all_come(self) -> None:
        for board in self.boards.values():
            board.come()
        await self.calm()

    async def ask(self, where: str, payload: bytes | str = b"") -> list[Reply]:
        """Send a command, ``stack/1 ping``, and return the replies so far."""
        scope, verb = where.split()
        before = len(self.replies(where))
        data = payload.encode() if isinstance(payload, str) else payload
        self.broker.publish(T.command(Scope.parse(scope), verb), data, qos=1)
        await self.calm()
        return self.replies(where)[before:]

    async def answer_all(self) -> None:
        """Let every board that has an order say that it is done."""
        for board in filter(lambda one: one.orders, self.boards.values()):
            board.answer(board.orders[-1])
        await self.calm()

    def replies(self, where: str) -> list[Reply]:
        scope, verb = where.split()
        sent = self.broker.sent(T.reply(Scope.parse(scope), verb))
        return [decode(message.payload, Reply) for message in sent]

    def final(self, where: str) -> Reply:
        """Return the last reply, which must be a final one."""
        reply = self.replies(where)[-1]
        assert reply.phase.final, reply
        return reply

    def node(self, node_id: str) -> NodeState:
        return decode(self.stored(T.node(node_id, NodeLeaf.STATE)).payload, NodeState)

    def stack(self, number: int) -> StackState:
        return decode(self.stored(T.stack(number)).payload, StackState)

    @property
    def rack(self) -> RackState:
        return decode(self.stored(T.rack_state).payload, RackState)

    def stored(self, topic: str) -> Message:
        return self.broker.retained[topic]

    @property
    def events(self) -> list[Event]:
        return [decode(m.payload, Event) for m in self.broker.sent(T.event)]

    @property
    def verdicts(self) -> dict[str, str]:
        nodes = self.master.rack.registry.nodes.values()
        return {node.name: node.verdict.value for node in nodes}
