"""What a power lab is made of: a fuse, relays that latch, boards that obey."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any, Protocol

from broker.client.link import Connect, Link
from broker.common.errors import NotConnectedError
from broker.contract.messages import (
    Ability,
    Details,
    Heartbeat,
    Order,
    Phase,
    Power,
    Result,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from master_service.power.outlets import Outlets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.client.link import Listener

T = Topics("lab")
SHUTDOWN_S = 0.5
BOOT_S = 1.0
WALL_S = 1_700_000_000.0


class World(Protocol):
    """What boards and relays share."""

    broker: Any
    """Takes what boards publish: a ``FakeBroker``, or a link to a real one."""
    prober: Any
    """Has ``alive``, the addresses that answer ping."""
    torn: list[str]

    @property
    def now(self) -> float:
        """Monotonic seconds."""

    def supply(self, outlet: str, *, on: bool) -> None:
        """Let boards follow their outlet."""


class Fuse:
    """Counts the steps of a master, and ends it at one of them.

    Args:
        at: The step, from 1; 0: never.
    """

    def __init__(self, at: int = 0) -> None:
        self.steps: list[str] = []
        self.blown = asyncio.Event()
        self._at = at

    def step(self, what: str) -> bool:
        """Return whether the master is dead at this step."""
        if not self.blown.is_set():
            self.steps.append(what)
            if len(self.steps) == self._at:
                self.blown.set()
        return self.blown.is_set()

    async def wait(self, what: str) -> None:
        """Go on, or never."""
        if self.step(what):
            await asyncio.get_running_loop().create_future()


class Relays:
    """Latching relays that outlive every master; see ``Outlets``."""

    def __init__(self, lab: World, names: Sequence[str]) -> None:
        self._lab = lab
        self.levels = dict.fromkeys(names, Power.ON)
        self.calls: list[tuple[str, bool]] = []
        """Every call that could have moved one."""

    async def claim(self, outlet: str, level: Power) -> None:
        """Leave it as it is."""

    async def read(self, outlet: str) -> Power:
        return self.levels[outlet]

    async def switch(self, outlet: str, *, on: bool) -> None:
        self.calls.append((outlet, on))
        self.levels[outlet] = Power.ON if on else Power.OFF
        self._lab.supply(outlet, on=on)

    async def close(self) -> None:
        """Leave all as they are."""


class FusedOutlets:
    """The relays as one master reaches them."""

    def __init__(self, relays: Outlets, fuse: Fuse) -> None:
        self._relays = relays
        self._fuse = fuse

    async def claim(self, outlet: str, level: Power) -> None:
        await self._fuse.wait(f"claim {outlet}")
        await self._relays.claim(outlet, level)

    async def read(self, outlet: str) -> Power:
        await self._fuse.wait(f"read {outlet}")
        level = await self._relays.read(outlet)
        await self._fuse.wait(f"was read {outlet}")
        return level

    async def switch(self, outlet: str, *, on: bool) -> None:
        await self._fuse.wait(f"switch {outlet}")
        await self._relays.switch(outlet, on=on)
        await self._fuse.wait(f"was switched {outlet}")

    async def close(self) -> None:
        await self._relays.close()


def fused(connect: Connect, fuse: Fuse) -> Connect:
    """Return a way to connect whose orders and answers are steps."""

    def make(listener: Listener, **options: Any) -> Link:  # noqa: ANN401  # passed on
        link = connect(listener, **options)
        publish = link.publish

        def step(topic: str, payload: bytes, **how: Any) -> None:  # noqa: ANN401  # passed on
            counts = "/order" in topic or "/reply/" in topic
            dead = fuse.step(f"publish {topic}") if counts else fuse.blown.is_set()
            if dead:
                text = "the master was killed"
                raise NotConnectedError(text)
            publish(topic, payload, **how)

        link.publish = step  # type: ignore[method-assign]  # this one link's door
        return link

    return make


class Life(enum.Enum):
    """What a board is doing."""

    RUNNING = enum.auto()
    HALTED = enum.auto()
    OFF = enum.auto()


class Pi:
    """A board that follows its orders and its supply."""

    def __init__(self, lab: World, stack: int, slot: int) -> None:
        self._lab = lab
        self.id, self.name = f"pi-{stack:02}{slot}", f"s{stack:02}n{slot}"
        self.outlet = f"stack-{stack}"
        self.address = f"127.77.{stack}.{slot}"
        self.life = Life.RUNNING
        self.boots = 1
        self.obeys = True
        self.deaf = False
        self.boot_s = BOOT_S
        self._seq = 0
        self._due: tuple[float, str] | None = None

    def say(self, leaf: NodeLeaf, payload: bytes, *, retain: bool = False) -> None:
        self._lab.broker.publish(T.node(self.id, leaf), payload, qos=1, retain=retain)

    @property
    def boot_id(self) -> str:
        return f"{self.id}-boot-{self.boots}"

    def come(self) -> None:
        self.life = Life.RUNNING
        self._lab.prober.alive.add(self.address)
        self.details()
        self.say(NodeLeaf.STATUS, b"online", retain=True)

    def details(self, reason: str = "") -> None:
        verbs = ("ping", "temperature", "reboot", "shutdown", "update")
        details = Details(
            session=self.boot_id,
            boot_id=self.boot_id,
            hostname=self.name,
            interval_s=5.0,
            agent_version="1",
            addresses=(self.address,),
            abilities=tuple(Ability(verb=verb) for verb in verbs),
            ts=self._lab.now + WALL_S,
            reason=reason,
        )
        self.say(NodeLeaf.DETAILS, encode(details), retain=True)

    def leave(self, life: Life, reason: str = "") -> None:
        """Go, with a goodbye if there is a reason; without power there is none."""
        if self.life is Life.RUNNING:
            self._lab.prober.alive.discard(self.address)
            if reason:
                self.details(reason)
            self.say(NodeLeaf.STATUS, b"offline", retain=True)
        self.life, self._due = life, None

    def ordered(self, order: Order) -> None:
        if self.deaf or self.life is not Life.RUNNING:
            return
        if not self.obeys:
            said = Result(
                id=order.id,
                verb=order.verb,
                session=self.boot_id,
                phase=Phase.REFUSED,
                error="a disk check is under way",
            )
            self.say(NodeLeaf.RESULT, encode(said))
            return
        self._due = self._lab.now + SHUTDOWN_S, order.verb

    def supply(self, *, on: bool) -> None:
        if not on:
            if self.life is Life.RUNNING:
                self._lab.torn.append(self.name)
            self.leave(Life.OFF)
        elif self.life is Life.OFF:
            self._due = self._lab.now + self.boot_s, "boot"

    def tick(self, now: float) -> None:
        if self._due is not None and now >= self._due[0]:
            what, self._due = self._due[1], None
            if what == "boot":
                self.boots += 1
                self.come()
            elif what == "reboot":
                self.leave(Life.OFF, "rebooting")
                self._due = now + self.boot_s, "boot"
            else:
                self.leave(Life.HALTED, "shutting down")
        elif self.life is Life.RUNNING:
            self._seq += 1
            beat = Heartbeat(
                session=self.boot_id,
                seq=self._seq,
                ts=now + WALL_S,
                uptime_s=1.0,
                cpu_percent=1.0,
                load=(0.0, 0.0, 0.0),
                memory_percent=1.0,
                disk_percent=1.0,
            )
            self.say(NodeLeaf.HEARTBEAT, encode(beat))
