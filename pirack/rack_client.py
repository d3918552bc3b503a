"""One connection to a rack: what it says, and how it is asked something."""

import asyncio
import getpass
import math
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Self

import msgspec

from broker.client.link import Connect, Message, Subscription
from broker.common.errors import LinkError, PayloadError, PiRackError
from broker.contract.messages import (
    Command,
    Payload,
    Reply,
    Status,
    TargetRow,
    decode,
    encode,
)
from broker.contract.topics import Scope, ScopeKind, Topics
from pirack.rack_picture import RackPicture
from pirack.receipt import Receipt

CONNECT_S = 5.0
QUIET_S = 0.3
"""What is retained has come when nothing new was heard for so long."""
RACK = Scope(ScopeKind.RACK)

Progress = Callable[[Receipt, tuple[TargetRow, ...]], None]
"""Gets the receipt so far, and the rows that just changed."""


class NoAnswerError(PiRackError):
    """The broker is there, but who should answer is not."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what, in seconds.

    Args:
        connect_s: For the broker.
        status_s: For the master's retained status.
        first_s: For the first sign of an answer.
        whole_s: For the whole answer, from the moment of asking.
        quiet_s: For the next part of the answer, from the one before.
    """

    connect_s: float = CONNECT_S
    status_s: float = 1.0
    first_s: float = 5.0
    whole_s: float = 30.0
    quiet_s: float = math.inf


PATIENCE = Patience()
SHORT_PATIENCE = Patience(first_s=3.0, whole_s=15.0)
"""For questions that the master answers without waiting for a board's program."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A command for a target; replies are matched by the command's id."""

    scope: Scope
    verb: str
    command: Command


def question(scope: Scope, verb: str, *args: str, confirm: str = "") -> Question:
    """Returns a question with a new id, in the name of who sits here."""
    command = Command(id=uuid.uuid4().hex, args=args, confirm=confirm, by=person())
    return Question(scope=scope, verb=verb, command=command)


def person() -> str:
    """Returns ``user@host``, for the rack's history; the number of an unnamed user."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user in a bare container
        user = f"uid-{os.getuid()}"
    return f"{user}@{platform.node()}"


class _Asked(msgspec.Struct):
    """A question under way."""

    receipt: Receipt
    progress: Progress
    heard_at: float
    """Monotonic second of the last reply, or of the question."""


class RackClient:
    """Listens to a rack and asks it; connected inside ``async with``.

    The status of the master is always heard. The connection comes back by itself.

    Args:
        connect: Makes links.
        topics: Of the rack.
        name: What for, as part of the MQTT client id.
        hears: What is listened to; the filters must not overlap.
        replies: Topics or filters on which answers to ``ask`` come.
        on_message: Gets every message after the picture took it, and its decoded value
            if it has one; must not raise.
        connect_s: How long the broker may take at first, seconds.
    """

    def __init__(
        self,
        connect: Connect,
        topics: Topics,
        *,
        name: str,
        hears: Iterable[Subscription] = (),
        replies: Iterable[str] = (),
        on_message: Callable[[Message, Payload | None], None] = lambda *_: None,
        connect_s: float = CONNECT_S,
    ) -> None:
        self.topics = topics
        self.picture = RackPicture(topics)
        self.trouble = ""
        """Why nothing is heard now; empty while the broker is there."""
        self.connections = 0
        """How often the connection was made."""
        self.changes = 0
        """Grows with each message, each connection and each loss of it."""
        self._connect_s = connect_s
        self._taken = on_message
        self._asked: dict[str, _Asked] = {}
        self._news = asyncio.Event()
        self._heard = 0
        self._link = connect(
            self,
            client_id=f"pirack-{name}-{uuid.uuid4().hex[:8]}",
            subscriptions=[
                Subscription(topics.master_status, qos=1),
                *hears,
                *(Subscription(one, qos=1, retained=False) for one in replies),
            ],
        )

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            LinkError: The broker cannot be reached.
        """
        await self._link.start()
        if not await self._link.wait_connected(self._connect_s):
            await self._link.stop()
            text = self.trouble or f"no connection within {self._connect_s:g} s"
            raise LinkError(text)
        return self

    async def __aexit__(self, *reason: object) -> None:
        """Disconnects."""
        await self._link.stop()

    def on_connected(self, session: str) -> None:
        """Counts the connection; what is retained comes by itself."""
        del session
        self.trouble = ""
        self.connections += 1
        self._wake()

    def on_disconnected(self, reason: str) -> None:
        """Keeps the reason; the link comes back by itself."""
        self.trouble = reason
        self._wake()

    def on_message(self, message: Message) -> None:
        """Takes a message into the picture, or into the receipt it belongs to."""
        value = self.picture.take(message)
        if "/reply/" in message.topic:
            self._take_reply(message.payload)
        if not message.topic.endswith("/heartbeat"):
            self._heard += 1
        self._taken(message, value)
        self._wake()

    def _wake(self) -> None:
        self.changes += 1
        waiting, self._news = self._news, asyncio.Event()
        waiting.set()  # everybody looks, and waits for the next one

    def _take_reply(self, payload: bytes) -> None:
        try:
            reply = decode(payload, Reply)
        except PayloadError:
            return
        if asked := self._asked.get(reply.id):
            rows = asked.receipt.add(reply)
            asked.heard_at = time.monotonic()
            asked.progress(asked.receipt, rows)

    async def wait_for(
        self, true: Callable[[], bool], timeout_s: float = math.inf
    ) -> bool:
        """Waits until something holds and returns whether it does.

        Args:
            true: Looked at now, and after each message, connection and loss of it.
            timeout_s: Seconds; infinite where another wait has the deadline.
        """
        deadline = time.monotonic() + timeout_s
        while not true():
            left_s = deadline - time.monotonic()
            try:
                async with asyncio.timeout(None if left_s == math.inf else left_s):
                    await self._news.wait()
            except TimeoutError:
                return true()
        return True

    async def settle(self, timeout_s: float) -> None:
        """Waits until what is retained has come.

        That is all nodes, where the master says how many there are; else it is until
        there was no news for a moment.
        """
        deadline = time.monotonic() + timeout_s
        while not self.picture.whole and (left_s := deadline - time.monotonic()) > 0:
            before = self._heard
            if before and self.picture.rack is None:
                left_s = min(left_s, QUIET_S)
            if not await self.wait_for(lambda: self._heard > before, left_s):  # noqa: B023  # called before the next turn
                return

    async def ask(
        self,
        question: Question,
        *,
        patience: Patience = PATIENCE,
        progress: Progress = lambda *_: None,
    ) -> Receipt:
        """Asks, and returns the receipt; incomplete when the patience ran out.

        Raises:
            LinkError: The broker cannot be reached.
            NoAnswerError: The master is offline, or nothing answers.
        """
        if not await self.wait_for(lambda: self._link.connected, patience.connect_s):
            text = self.trouble or f"no connection within {patience.connect_s:g} s"
            raise LinkError(text)
        if question.scope.kind is not ScopeKind.SIM:
            await self._require_master(patience)
        receipt = Receipt(question.command.id)
        asked = _Asked(receipt, progress, time.monotonic())
        self._asked[question.command.id] = asked
        try:
            await self._send(question, patience, asked)
        finally:
            del self._asked[question.command.id]
        return receipt

    async def _require_master(self, patience: Patience) -> None:
        """Sends nothing when the one who would answer is known to be away."""
        picture = self.picture
        await self.wait_for(lambda: bool(picture.master), patience.status_s)
        if picture.master == Status.ONLINE:
            return
        text = (
            "the master is offline: nothing was sent. Start it (`pirack master`, or "
            "`pirack up` for the whole rack)"
            if picture.master
            else "no master has ever been on this broker under this rack's name: "
            "nothing was sent. Is --rack right? Is `pirack master` running?"
        )
        raise NoAnswerError(text)

    async def _send(
        self, question: Question, patience: Patience, asked: _Asked
    ) -> None:
        """Publishes the command and waits for its answer."""
        command, receipt = question.command, asked.receipt
        begun = asked.heard_at
        topic = self.topics.command(question.scope, question.verb)
        self._link.publish(topic, encode(command), qos=1, expiry_s=command.ttl_s)
        first_s = min(patience.first_s, patience.whole_s)
        if not await self.wait_for(lambda: receipt.answered, first_s):
            who = "simulator" if question.scope.kind is ScopeKind.SIM else "master"
            text = (
                f"nothing answered within {first_s:g} s on {topic}: is the {who} "
                "running, and may this user publish there? `pirack doctor` checks both"
            )
            raise NoAnswerError(text)
        while not receipt.complete:
            give_up_at = min(
                begun + patience.whole_s, asked.heard_at + patience.quiet_s
            )
            left_s = give_up_at - time.monotonic()
            if left_s <= 0:
                return
            await self.wait_for(lambda: receipt.complete, left_s)
