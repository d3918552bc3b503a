"""The simulated rack as a service: nodes, pings, and the commands that bring faults."""

import itertools
import logging
import resource
import time
from collections.abc import Callable, Iterator

import msgspec

from broker.client.link import BreakableConnect, Connect, Message, Subscription
from broker.common.errors import (
    ConfigError,
    NotConnectedError,
    PayloadError,
    TopicError,
)
from broker.common.log import Rejections
from broker.contract.messages import (
    Command,
    Phase,
    Power,
    Reply,
    StackState,
    TargetRow,
    decode,
    encode,
)
from broker.contract.topics import CommandTopic, Scope, ScopeKind, StackTopic, Topics
from node_agent import actions
from node_agent.simulator.board_state import parse_words
from node_agent.simulator.ping_responder import PingResponder
from node_agent.simulator.rack import SimulatedRack
from node_agent.simulator.settings import SIMULATOR, SimulatorSettings
from node_agent.simulator.simulated_node import RackContext, Scheduler

log = logging.getLogger(__name__)

SETTLE_S = 0.15
"""After its link is up, before boards appear: outlets that are off say so first."""
PATIENCE_S = 5.0
"""Boards appear without a broker too, after so long; they wait for it themselves."""
SPARE_FILES = 128
"""Open files beside the connections: the loop's own, logs, the resolver's."""
ROWS_PER_PART = 48
"""Rows of a receipt that surely fit into one message."""

SIM = Scope(ScopeKind.SIM)
_RETAINED = "a retained command is never obeyed; publish it without -r"
_EXPIRED = "it had expired when it came"


class SimulatorService:
    """Many nodes in one process.

    Args:
        connect_as: Returns how the node of an id connects.
        clock: Monotonic clock, seconds.
        wall: The right time, Unix seconds.

    Raises:
        ConfigError: A fault to begin with is not understood, or its target is not here.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        topics: Topics,
        connect: Connect,
        connect_as: Callable[[str], BreakableConnect],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        """What it was made with."""
        self._clock = clock
        self._began_s = clock()
        self._faults = settings.requests()
        self._begun = False
        self.scheduler = Scheduler(self._now)
        """What is still to happen; a test runs it by its own clock."""
        context = RackContext(
            settings=settings,
            topics=topics,
            actions=actions.load(),
            scheduler=self.scheduler,
            now=self._now,
            wall=wall,
            connect_as=connect_as,
        )
        self.rack = SimulatedRack(context)
        self._control = SimulatorControl(
            self.rack, topics, connect, wall=wall, connected=self._on_connected
        )
        self._pings = PingResponder(settings.echo_port, self.rack.answers_ping)
        self._check_targets()

    async def start(self) -> None:
        """Opens the echo port and begins to connect; boards appear soon after.

        Raises:
            ConfigError: The echo port is in use.
        """
        _raise_file_limit(2 * len(self.rack.nodes))
        if self.settings.echo_port:
            self._pings.start()
        self.scheduler.start()
        self.scheduler.after(PATIENCE_S, self._begin)
        await self._control.link.start()

    async def stop(self) -> None:
        """Ends every agent with a goodbye; twice is fine."""
        self._pings.stop()
        await self._control.link.stop()
        await self.rack.stop()
        self.scheduler.stop()

    def _check_targets(self) -> None:
        try:
            for request in self._faults:
                self.rack.targets(request.target)
        except TopicError as error:
            text = f"[simulator] faults: {error}"
            raise ConfigError(text) from error

    def _on_connected(self) -> None:
        if not self._begun:
            self.scheduler.after(SETTLE_S, self._begin)

    def _begin(self) -> None:
        """Makes the boards appear, and then begins the faults of the configuration."""
        if self._begun:
            return
        self._begun = True
        log.info("simulator: %d boards appear", len(self.rack.nodes))
        lasts_s = self.rack.begin()
        self.scheduler.after(lasts_s, self._begin_faults)

    def _begin_faults(self) -> None:
        for request in self._faults:
            for row in self.rack.inflict(request):
                log.info("%s: %s", row.name, row.error or row.stdout)

    def _now(self) -> float:
        return self._clock() - self._began_s


class SimulatorControl:
    """Answers ``P/sim/cmd/<fault>`` and follows ``P/stack/+/state``.

    Args:
        connected: Called whenever the link is up.
    """

    def __init__(
        self,
        rack: SimulatedRack,
        topics: Topics,
        connect: Connect,
        *,
        wall: Callable[[], float],
        connected: Callable[[], None],
    ) -> None:
        self.rejections = Rejections("simulator")
        self._rack = rack
        self._topics = topics
        self._wall = wall
        self._connected = connected
        self._ids = itertools.count(1)
        self._clearing: set[str] = set()
        self.link = connect(
            self,
            client_id=SIMULATOR,
            subscriptions=(
                Subscription(topics.stack("+"), qos=1),
                Subscription(f"{topics.prefix}/{SIM}/cmd/+", qos=1),
            ),
        )

    def on_connected(self, session: str) -> None:
        """Reports that outlets are followed; ``session`` is of no use here."""
        del session
        self._connected()

    def on_disconnected(self, reason: str) -> None:
        """Does nothing: the boards have links of their own."""

    def on_message(self, message: Message) -> None:
        """Handles an outlet's state, or a fault that is asked for."""
        try:
            address = self._topics.parse(message.topic)
        except TopicError as error:
            self.rejections.add("topic", str(error))
            return
        match address:
            case StackTopic(stack=stack):
                self._follow_outlet(stack, message)
            case CommandTopic(verb=verb):
                self._handle_command(verb, message)

    def _follow_outlet(self, stack: int, message: Message) -> None:
        if not message.payload:
            return
        try:
            power = decode(message.payload, StackState).power
        except PayloadError as error:
            self.rejections.add("stack state", str(error))
            return
        if power in {Power.ON, Power.OFF}:
            self._rack.set_outlet(stack, on=power is Power.ON)

    def _handle_command(self, verb: str, message: Message) -> None:
        if not message.payload and (message.retain or message.topic in self._clearing):
            self._clearing.discard(message.topic)
            return
        command = Command()
        rows: tuple[TargetRow, ...] = ()
        try:
            command = _read(message.payload)
            if not command.id:
                command = msgspec.structs.replace(command, id=f"sim-{next(self._ids)}")
            phase, error, rows = self._obey(verb, message, command)
        except (PayloadError, ConfigError, TopicError) as wrong:
            phase, error = Phase.REFUSED, str(wrong)
        if error:
            self.rejections.add("command", error)
        reply = Reply(
            id=command.id,
            verb=verb,
            scope=str(SIM),
            phase=phase,
            ok=phase is Phase.DONE,
            error=error,
            targets=rows,
            by=command.by,
            verified=bool(rows) and all(row.verified for row in rows),
        )
        self._answer(reply, message)

    def _obey(
        self, verb: str, message: Message, command: Command
    ) -> tuple[Phase, str, tuple[TargetRow, ...]]:
        """Returns phase, error and a row for each board.

        Raises:
            ConfigError: The fault is not understood.
            TopicError: Its target is not here.
        """
        if message.retain:
            self._clearing.add(message.topic)
            self._publish(message.topic, b"", retain=True)
            return Phase.REFUSED, _RETAINED, ()
        if command.expires is not None and command.expires < self._wall():
            return Phase.EXPIRED, _EXPIRED, ()
        rows = self._rack.inflict(parse_words(verb, list(command.args)))
        log.info("%s %s: %s", verb, " ".join(command.args), command.by or "asked")
        ok = all(row.phase is Phase.DONE for row in rows)
        return Phase.DONE if ok else Phase.FAILED, "", rows

    def _answer(self, reply: Reply, message: Message) -> None:
        """Publishes a receipt on its topic, and to an inbox if one was named."""
        topics = [self._topics.reply(SIM, reply.verb)]
        if message.response_topic.startswith(f"{self._topics.prefix}/inbox/"):
            topics.append(message.response_topic)
        for part in _parts(reply):
            for topic in topics:
                self._publish(topic, encode(part), correlation=message.correlation)

    def _publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        correlation: bytes = b"",
    ) -> None:
        try:
            self.link.publish(
                topic, payload, qos=1, retain=retain, correlation=correlation
            )
        except NotConnectedError:
            log.warning("simulator: %s was not answered: not connected", topic)


def _read(payload: bytes) -> Command:
    """Reads a command in any of its forms: empty, plain words, or JSON.

    Raises:
        PayloadError: It is none of them.
    """
    if payload.lstrip()[:1] == b"{":
        return decode(payload, Command)
    try:
        return Command(args=tuple(payload.decode().split()))
    except UnicodeDecodeError as error:
        text = f"payload is not UTF-8: {error.reason} at byte {error.start}"
        raise PayloadError(text) from error


def _parts(reply: Reply) -> Iterator[Reply]:
    """Yields a long receipt as numbered parts, each with its share of the rows."""
    rows = reply.targets
    parts = max(1, -(-len(rows) // ROWS_PER_PART))
    for index in range(parts):
        share = rows[index * ROWS_PER_PART : (index + 1) * ROWS_PER_PART]
        yield msgspec.structs.replace(reply, targets=share, part=index + 1, parts=parts)


def _raise_file_limit(connections: int) -> None:
    """Raises the soft limit of open files as far as needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < needed:
        log.warning(
            "simulator: %d connections need %d open files, the hard limit is %d; "
            "raise it with ulimit -Hn or LimitNOFILE=",
            connections,
            needed,
            hard,
        )
