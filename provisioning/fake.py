"""A rack in memory: outlets, boards that boot and ask, a DHCP server, other devices.

For tests, and for the install page of a simulated rack. Time is the event loop's.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address

from broker.contract.messages import InstallState, Power
from provisioning.backends.backend import Lease
from provisioning.backends.checks import address_problems
from provisioning.common.errors import BackendError, Problem
from provisioning.common.network import (
    ArpAnswer,
    BoardHeard,
    ForeignServer,
    HeardKind,
    SightingHandler,
)
from provisioning.common.subnet import Change, Reservation, Subnet, difference, validate
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun

RENEW_S = 30.0
"""Seconds after which a board with a short lease asks again."""


class RackBoard:
    """A board, or another device that is on no outlet.

    Args:
        stack: The stack whose outlet feeds it; None: it is always on.
        boot_s: Seconds from power on to its first word.
        silent: It never asks.
        static: An address it has without asking; empty: it asks.
        client_id: DHCP client identifier of its card, hex.
        agent: Its agent can be asked to shut it down.
        other_mac: Hardware address of its other interface in the same network: both
            answer for both addresses; empty: it has none.
    """

    def __init__(
        self,
        mac: str,
        stack: int | None = None,
        *,
        boot_s: float = 0.5,
        silent: bool = False,
        static: str = "",
        client_id: str = "",
        agent: bool = True,
        other_mac: str = "",
    ) -> None:
        self.other_mac = other_mac
        self.agent = agent
        self.mac = mac
        self.stack = stack
        self.boot_s = boot_s
        self.silent = silent
        self.static = static
        self.client_id = client_id
        self.address = static


class FakeRack:
    """Boards on outlets, with everything an installer needs.

    Args:
        boards: Those that are there; more can be added and removed at any time.
    """

    def __init__(self, subnet: Subnet, boards: Iterable[RackBoard] = ()) -> None:
        self.subnet = subnet
        self.boards = list(boards)
        self.levels: dict[int, Power] = {}
        self.stuck: set[int] = set()
        self.switches: list[tuple[int, bool]] = []
        self.rivals: tuple[ForeignServer, ...] = ()
        self.alive = True
        self.power = FakePower(self)
        self.network = FakeNetwork(self)
        self.backend = FakeBackend(self)
        self.source = FakeSource()
        self._boots: dict[RackBoard, asyncio.TimerHandle] = {}

    def switch(self, stack: int, *, on: bool) -> None:
        """Switches an outlet and everything on it."""
        self.switches.append((stack, on))
        if stack in self.stuck:
            return
        level = Power.ON if on else Power.OFF
        if self.levels.get(stack) is level:
            return
        self.levels[stack] = level
        for board in self.boards:
            if board.stack == stack:
                self._power(board, on=on)

    def set_alive(self, *, yes: bool) -> None:
        """Makes the DHCP server die or come back."""
        self.alive = yes

    def speak(self, board: RackBoard, *, after_s: float) -> None:
        """Makes a board ask for an address after a while."""
        loop = asyncio.get_running_loop()
        self._boots[board] = loop.call_later(after_s, self._ask, board)

    def hush(self, board: RackBoard) -> None:
        """Makes a board keep its address and ask for nothing any more."""
        timer = self._boots.pop(board, None)
        if timer is not None:
            timer.cancel()

    def _power(self, board: RackBoard, *, on: bool) -> None:
        board.address = board.static
        self.hush(board)
        if on and not board.silent and not board.static:
            self.speak(board, after_s=board.boot_s)

    def _ask(self, board: RackBoard) -> None:
        self.source.hear(
            BoardHeard(
                mac=board.mac, kind=HeardKind.DISCOVER, client_id=board.client_id
            )
        )
        if not self.alive:
            self.speak(board, after_s=1.0)
            return
        board.address = self.backend.lend(board.mac)
        if board.address:
            self._request(board)
        if self.backend.soon(board.mac):
            self.speak_again(board)

    def _request(self, board: RackBoard) -> None:
        ask = BoardHeard(mac=board.mac, kind=HeardKind.REQUEST, address=board.address)
        self.source.hear(ask)

    def _renew(self, board: RackBoard) -> None:
        """Asks again for the address; starts over if the board now gets another one."""
        self._request(board)
        if self.alive and self.backend.lend(board.mac) == board.address:
            if self.backend.soon(board.mac):
                self.speak_again(board)
            return
        self._ask(board)

    def speak_again(self, board: RackBoard) -> None:
        """Makes a board renew its lease after a while."""
        loop = asyncio.get_running_loop()
        self._boots[board] = loop.call_later(RENEW_S, self._renew, board)


class FakePower:
    """The outlets of a fake rack."""

    def __init__(self, rack: FakeRack) -> None:
        self._rack = rack

    async def switch(self, stack: int, *, on: bool, consent: bool = False) -> None:
        """Switches at once; a stuck outlet keeps its level."""
        mute = sorted(
            board.mac
            for board in self._rack.boards
            if board.stack == stack and not board.agent
        )
        lit = self._rack.levels.get(stack) is Power.ON
        if not on and not consent and mute and lit:
            text = f"cannot be asked to shut down: {', '.join(mute)}"
            raise BackendError(text)
        self._rack.switch(stack, on=on)

    async def read(self, stack: int) -> Power:
        """Returns the level; off until it was switched."""
        return self._rack.levels.get(stack, Power.OFF)


class FakeNetwork:
    """The network of a fake rack."""

    def __init__(self, rack: FakeRack) -> None:
        self._rack = rack

    async def probe(
        self, addresses: Collection[str], *, within_s: float
    ) -> tuple[ArpAnswer, ...]:
        """Returns who has the addresses; boards of one hardware address add up."""
        await asyncio.sleep(within_s)
        counts: dict[tuple[str, str], int] = {}
        for board in self._rack.boards:
            if board.address in addresses and board.address:
                for mac in filter(None, (board.mac, board.other_mac)):
                    key = (board.address, mac)
                    counts[key] = counts.get(key, 0) + 1
        return tuple(
            ArpAnswer(address=address, mac=mac, replies=replies)
            for (address, mac), replies in counts.items()
        )

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Returns the rack's rivals."""
        await asyncio.sleep(within_s)
        return self._rack.rivals


class FakeSource:
    """Hears every board of a fake rack."""

    def __init__(self) -> None:
        self._handler: SightingHandler | None = None

    async def start(self, handler: SightingHandler) -> None:
        """Begins to listen."""
        self._handler = handler

    async def stop(self) -> None:
        """Stops listening."""
        self._handler = None

    def hear(self, ask: BoardHeard) -> None:
        """Passes on what a board said, if the source was started."""
        if self._handler is not None:
            self._handler.heard(ask)

    def rival(self, server: ForeignServer) -> None:
        """Passes on the sign of another DHCP server, if the source was started."""
        if self._handler is not None:
            self._handler.server(server)


class FakeBackend:
    """A DHCP server in memory that lends reserved addresses and those of the pool."""

    name = "fake"
    reserves = True

    def __init__(self, rack: FakeRack, served: tuple[Reservation, ...] = ()) -> None:
        self._rack = rack
        self._lent: dict[str, str] = {}
        self._served = served
        self.brief = False
        self.refusals = 0

    async def start(self) -> None:
        """Does nothing: it always serves."""

    async def stop(self) -> None:
        """Does nothing: it outlives its installer, as a real server does."""

    async def check(self, want: Collection[Reservation]) -> tuple[Problem, ...]:
        """Returns why a set would be refused."""
        return address_problems(want, self._rack.subnet)

    async def alive(self) -> bool:
        """Whether the rack's server is alive."""
        return self._rack.alive

    async def leases(self) -> tuple[Lease, ...]:
        """Returns what is lent."""
        return tuple(Lease(m, a, float("inf")) for m, a in self._lent.items())

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Serves this set; refuses as many times as ``refusals`` says."""
        if self.refusals:
            self.refusals -= 1
            text = "the fake server was told to refuse"
            raise BackendError(text)
        rows = validate(want, self._rack.subnet)
        change = difference(self.applied(), rows)
        if change:
            self._served = rows
        self.brief = brief
        return change

    def soon(self, mac: str) -> bool:
        """Whether a board's lease is short."""
        return self.brief or all(row.mac != mac for row in self._served)

    def applied(self) -> tuple[Reservation, ...]:
        """Returns the set that is served."""
        return self._served

    def lend(self, mac: str) -> str:
        """Returns the address a board gets; empty when the pool is exhausted."""
        for row in self.applied():
            if row.mac == mac:
                self._lent.pop(mac, None)
                return row.address
        if mac not in self._lent:
            first = IPv4Address(self._rack.subnet.pool_first)
            pool = (str(first + n) for n in range(self._rack.subnet.pool_size))
            free = (a for a in pool if a not in self._lent.values())
            self._lent[mac] = next(free, "")
        return self._lent[mac]


class SimulatedNetwork:
    """The network of a simulated rack: answers for the boards that talk over MQTT.

    Those boards really lose power and boot; only the network is invented. A board that
    talks answers at the address that the server in memory would have lent it.

    Args:
        talking: Returns the hardware addresses of the boards that talk.
    """

    def __init__(
        self, backend: FakeBackend, talking: Callable[[], Collection[str]]
    ) -> None:
        self._backend = backend
        self._talking = talking

    async def probe(
        self, addresses: Collection[str], *, within_s: float
    ) -> tuple[ArpAnswer, ...]:
        """Returns the boards with a fixed address that have one of these.

        Others do not answer: when such a board lost power a moment ago, its agent's
        silence does not show that yet.
        """
        await asyncio.sleep(within_s)
        talking = set(self._talking())
        return tuple(
            ArpAnswer(address=row.address, mac=row.mac)
            for row in self._backend.applied()
            if row.address in addresses and row.mac in talking
        )

    async def servers(self, *, within_s: float) -> tuple[ForeignServer, ...]:
        """Returns none: there is no network another server could be on."""
        del within_s
        return ()


class FakeJournal:
    """A journal in memory."""

    def __init__(self) -> None:
        self.runs: list[InstallRun] = []
        self._places: tuple[Place, ...] = ()

    def last(self) -> InstallRun | None:
        """Returns the latest run."""
        return self.runs[-1].with_(places=self._places) if self.runs else None

    def places(self) -> tuple[Place, ...]:
        """Returns every place."""
        return self._places

    async def save(self, run: InstallRun) -> None:
        """Keeps a run and its places."""
        self.runs.append(run)
        await self.keep(run.places)

    async def keep(self, places: tuple[Place, ...]) -> None:
        """Keeps places."""
        self._places = places


class FakeAnnouncer:
    """Collects what is published."""

    def __init__(self) -> None:
        self.states: list[InstallState] = []
        self.events: list[str] = []

    def state(self, state: InstallState) -> None:
        """Collects a state."""
        self.states.append(state)

    def run(self, run: InstallRun) -> None:
        """Does nothing: tests ask the installer."""

    def event(self, text: str, *, stack: int | None = None, mac: str = "") -> None:
        """Collects a line."""
        del stack, mac
        self.events.append(text)
