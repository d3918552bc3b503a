"""The simulator's own link: outlets to follow, and faults that are asked for."""

import itertools
import logging
from collections.abc import Callable, Iterator

import msgspec

from broker.client.link import Connect, Message, Subscription
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
    decode,
    encode,
)
from broker.contract.topics import CommandTopic, Scope, ScopeKind, StackTopic, Topics
from node_agent.simulator.faults import parse_words
from node_agent.simulator.layout import SIMULATOR
from node_agent.simulator.rack import SimulatedRack

log = logging.getLogger(__name__)

SIM = Scope(ScopeKind.SIM)
ROWS_PER_PART = 48
"""Rows of a receipt that surely fit into one message."""

_RETAINED = "a retained command is never obeyed; publish it without -r"
_EXPIRED = "it had expired when it came"


class Control:
    """Answers ``P/sim/cmd/<fault>`` and follows ``P/stack/+/state``.

    Args:
        rack: The boards.
        topics: Of the rack.
        connect: Makes its link.
        wall: The right time, Unix seconds.
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
        commands = f"{topics.prefix}/{SIM}/cmd/+"
        self._link = connect(
            self,
            client_id=SIMULATOR,
            subscriptions=(
                Subscription(topics.stack("+"), qos=1),
                Subscription(commands, qos=1),
            ),
        )

    async def start(self) -> None:
        """Begin to connect."""
        await self._link.start()

    async def stop(self) -> None:
        """Disconnect; twice is fine."""
        await self._link.stop()

    def on_connected(self, session: str) -> None:
        """Tell that outlets are being heard of; ``session`` is of no use here."""
        del session
        self._connected()

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the boards have links of their own."""

    def on_message(self, message: Message) -> None:
        """Take an outlet's state, or a fault that is asked for."""
        try:
            address = self._topics.parse(message.topic)
        except TopicError as error:
            self.rejections.add("topic", str(error))
            return
        match address:
            case StackTopic(stack=stack):
                self._follow_outlet(stack, message)
            case CommandTopic(verb=verb):
                self._command(verb, message)

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

    def _command(self, verb: str, message: Message) -> None:
        if not message.payload and (message.retain or message.topic in self._clearing):
            self._clearing.discard(message.topic)
            return
        try:
            command = _read(message.payload)
        except PayloadError as error:
            self._refuse(verb, message, Command(), str(error))
            return
        if not command.id:
            command = msgspec.structs.replace(command, id=f"sim-{next(self._ids)}")
        if message.retain:
            self._clear(message.topic)
            self._refuse(verb, message, command, _RETAINED)
        elif command.expires is not None and command.expires < self._wall():
            self._refuse(verb, message, command, _EXPIRED, Phase.EXPIRED)
        else:
            self._obey(verb, message, command)

    def _obey(self, verb: str, message: Message, command: Command) -> None:
        try:
            rows = self._rack.inflict(parse_words(verb, list(command.args)))
        except (ConfigError, TopicError) as error:
            self._refuse(verb, message, command, str(error))
            return
        log.info("%s %s: %s", verb, " ".join(command.args), command.by or "asked")
        ok = all(row.phase is Phase.DONE for row in rows)
        self._answer(
            message,
            Reply(
                id=command.id,
                verb=verb,
                scope=str(SIM),
                phase=Phase.DONE if ok else Phase.FAILED,
                ok=ok,
                targets=rows,
                by=command.by,
                verified=all(row.verified for row in rows),
            ),
        )

    def _refuse(
        self,
        verb: str,
        message: Message,
        command: Command,
        error: str,
        phase: Phase = Phase.REFUSED,
    ) -> None:
        self.rejections.add("command", error)
        self._answer(
            message,
            Reply(
                id=command.id,
                verb=verb,
                scope=str(SIM),
                phase=phase,
                ok=False,
                error=error,
                by=command.by,
            ),
        )

    def _answer(self, message: Message, reply: Reply) -> None:
        """Publish a receipt on its topic, and to an inbox if one was named."""
        topics = [self._topics.reply(SIM, reply.verb)]
        if message.response_topic.startswith(f"{self._topics.prefix}/inbox/"):
            topics.append(message.response_topic)
        for part in _parts(reply):
            for topic in topics:
                self._publish(
                    topic, encode(part), qos=1, correlation=message.correlation
                )

    def _clear(self, topic: str) -> None:
        self._clearing.add(topic)
        self._publish(topic, b"", qos=1, retain=True)

    def _publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        correlation: bytes = b"",
    ) -> None:
        try:
            self._link.publish(
                topic, payload, qos=qos, retain=retain, correlation=correlation
            )
        except NotConnectedError:
            log.warning("simulator: %s was not answered: not connected", topic)


def _read(payload: bytes) -> Command:
    """Read a command in any of its forms: empty, plain words, or JSON.

    Raises:
        PayloadError: It is neither.
    """
    if payload.lstrip()[:1] == b"{":
        return decode(payload, Command)
    try:
        return Command(args=tuple(payload.decode().split()))
    except UnicodeDecodeError as error:
        text = f"payload is no UTF-8 text: {error.reason} at byte {error.start}"
        raise PayloadError(text) from error


def _parts(reply: Reply) -> Iterator[Reply]:
    """Cut a long receipt into numbered parts, each with its share of the rows."""
    rows = reply.targets
    parts = max(1, -(-len(rows) // ROWS_PER_PART))
    for index in range(parts):
        share = rows[index * ROWS_PER_PART : (index + 1) * ROWS_PER_PART]
        yield msgspec.structs.replace(reply, targets=share, part=index + 1, parts=parts)
