"""Ask the rack one thing, follow the answer, and give up in time."""

import asyncio
import math
import time
from collections.abc import Callable

import msgspec

from broker.client.link import Connect, Link, Message, Subscription
from broker.common.errors import LinkError, PayloadError, PiRackError
from broker.contract.messages import Command, Reply, Status, TargetRow, decode, encode
from broker.contract.topics import Scope, ScopeKind, Topics
from pirack.receipt import Receipt

Progress = Callable[[Receipt, tuple[TargetRow, ...]], None]
"""Told the receipt so far and the rows that just changed."""


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

    connect_s: float = 5.0
    status_s: float = 1.0
    first_s: float = 5.0
    whole_s: float = 30.0
    quiet_s: float = math.inf


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of whom.

    Args:
        scope: The target.
        verb: What is to be done.
        command: The envelope; its id is what replies are matched by.
    """

    scope: Scope
    verb: str
    command: Command


class Asker:
    """Listens for the replies to one question.

    Args:
        topics: Of the rack.
        question: What will be asked.
        progress: Told at each reply.
    """

    def __init__(self, topics: Topics, question: Question, progress: Progress) -> None:
        self._topics = topics
        self._question = question
        self._progress = progress
        self.receipt = Receipt(question.command.id)
        self.master: str | None = None
        self.trouble = ""
        self.heard_at = time.monotonic()
        """Monotonic second of the last reply to the question."""
        self.changed = asyncio.Event()

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What must be heard: the replies, and whether the master is there."""
        asked = self._question
        reply = self._topics.reply(asked.scope, asked.verb)
        return (
            Subscription(reply, qos=1, retained=False),
            Subscription(self._topics.master_status, qos=1),
        )

    def on_connected(self, session: str) -> None:
        """Take note of nothing: the link's own state says it."""
        del session

    def on_disconnected(self, reason: str) -> None:
        """Remember why, for the sentence at the end."""
        self.trouble = reason

    def on_message(self, message: Message) -> None:
        """Take a reply or the master's status."""
        if message.topic == self._topics.master_status:
            self.master = message.payload.decode("ascii", "replace")
        else:
            self._on_reply(message.payload)
        self.changed.set()

    def _on_reply(self, payload: bytes) -> None:
        try:
            rows = self.receipt.add(reply := decode(payload, Reply))
        except PayloadError as error:
            self.trouble = str(error)
            return
        if reply.id == self._question.command.id:
            self.heard_at = time.monotonic()
            self._progress(self.receipt, rows)

    async def until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds, at most ``timeout_s``; return whether it does."""
        deadline = time.monotonic() + timeout_s
        while not done():
            left = deadline - time.monotonic()
            self.changed.clear()
            try:
                async with asyncio.timeout(None if left == math.inf else left):
                    await self.changed.wait()
            except TimeoutError:
                return done()
        return True


async def ask(
    connect: Connect,
    topics: Topics,
    question: Question,
    *,
    patience: Patience,
    progress: Progress,
) -> Receipt:
    """Ask, and return the receipt; it may be incomplete when patience ran out.

    Raises:
        LinkError: The broker cannot be reached.
        NoAnswerError: The master is offline, or nothing answers.
    """
    asker = Asker(topics, question, progress)
    link = connect(
        asker,
        client_id=f"pirack-send-{question.command.id[:12]}",
        subscriptions=asker.subscriptions,
    )
    try:
        await link.start()
        if not await link.wait_connected(patience.connect_s):
            text = asker.trouble or f"no connection within {patience.connect_s:g} s"
            raise LinkError(text)
        await _require_master(asker, question.scope, patience)
        await _put(asker, link, topics, question, patience)
    finally:
        await link.stop()
    return asker.receipt


async def _require_master(asker: Asker, scope: Scope, patience: Patience) -> None:
    """Do not even ask when the one who would answer is known to be away."""
    if scope.kind is ScopeKind.SIM:
        return
    await asker.until(lambda: asker.master is not None, patience.status_s)
    if asker.master == Status.ONLINE:
        return
    text = (
        "the master is offline: nothing was sent. Start it (`pirack master`, or "
        "`pirack up` for the whole rack)"
        if asker.master
        else "no master has ever been on this broker under this rack's name: nothing "
        "was sent. Is --rack right? Is `pirack master` running?"
    )
    raise NoAnswerError(text)


async def _put(
    asker: Asker, link: Link, topics: Topics, question: Question, patience: Patience
) -> None:
    """Publish the command and wait for its answer."""
    asked = time.monotonic()
    command = question.command
    topic = topics.command(question.scope, question.verb)
    link.publish(topic, encode(command), qos=1, expiry_s=command.ttl_s)
    first_s = min(patience.first_s, patience.whole_s)
    if not await asker.until(lambda: asker.receipt.answered, first_s):
        who = "simulator" if question.scope.kind is ScopeKind.SIM else "master"
        text = (
            f"nothing answered within {first_s:g} s on {topic}: is the {who} running, "
            "and may this user publish there? `pirack doctor` checks both"
        )
        raise NoAnswerError(text)
    while not asker.receipt.complete:
        give_up_at = min(asked + patience.whole_s, asker.heard_at + patience.quiet_s)
        left_s = give_up_at - time.monotonic()
        if left_s <= 0:
            return
        await asker.until(lambda: asker.receipt.complete, left_s)
