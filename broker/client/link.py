"""The connection every service holds: its interface, and the rules both kinds follow.

``mqtt_link.MqttLink`` speaks to Mosquitto, ``fake.FakeLink`` to a ``FakeBroker`` in
memory; ``tests/contract`` runs one suite on both.

A link belongs to one asyncio loop. Its listener is called on that loop, must return
quickly and must not block.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from broker.common.log import RateLimited
from broker.contract.messages.node import Status
from broker.contract.topics import matches

log = logging.getLogger(__name__)

ONLINE = Status.ONLINE.encode()
OFFLINE = Status.OFFLINE.encode()
SAME_ERROR_EVERY_S = 60.0
"""Seconds between two log lines about the same error of a listener."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as it arrived.

    Args:
        topic: Full topic.
        payload: Raw bytes, not yet trusted.
        retain: It came out of the broker's store, or was published to be stored
            (MQTT 5 tells both, 3.1.1 only the first).
        qos: 0 or 1.
        session: MQTT 5 user property ``session``; empty otherwise.
        response_topic: MQTT 5 response topic; empty otherwise.
        correlation: MQTT 5 correlation data; empty otherwise.
    """

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 0
    session: str = ""
    response_topic: str = ""
    correlation: bytes = b""


class Subscription(msgspec.Struct, frozen=True):
    """A filter to hold for as long as the link lives.

    Args:
        filter: Topic filter; the filters of one link must not overlap, for some
            brokers deliver a copy for each that matches.
        qos: 0 or 1.
        retained: False asks for no stored messages (MQTT 5 retain handling 2); a 3.1.1
            broker sends them all the same, flagged.
    """

    filter: str
    qos: int = 0
    retained: bool = True


class Listener(Protocol):
    """Is called with what happens on a link.

    An exception in one of its methods is logged and counted, and ends nothing.
    """

    def on_connected(self, session: str) -> None:
        """The link is up: subscriptions are asked for, publishing works.

        Args:
            session: Random id of this connection.
        """

    def on_disconnected(self, reason: str) -> None:
        """The link went down, and is being made again."""

    def on_message(self, message: Message) -> None:
        """A message arrived."""


class ListenerErrors:
    """Counts by kind the exceptions that a listener raised, and logs them now and then.

    They are caught because an exception in a callback of paho would end the
    connection's reader for good.

    Args:
        name: The client whose listener it is, for the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds: dict[str, RateLimited] = {}

    def add(self, error: Exception, method: str) -> None:
        """Counts one exception; logs its traceback, once a minute for its kind.

        Args:
            error: What was raised.
            method: The listener's method that raised it.
        """
        kind = f"{type(error).__name__} in {method}"
        line = self._kinds.get(kind)
        if line is None:
            line = RateLimited(log, logging.ERROR, every_s=SAME_ERROR_EVERY_S)
            self._kinds[kind] = line
        line.say("%s: %s", self._name, kind, exc_info=error)

    @property
    def counts(self) -> dict[str, int]:
        """Exceptions by kind, since start."""
        return {kind: line.count for kind, line in self._kinds.items()}

    @property
    def total(self) -> int:
        """Exceptions since start."""
        return sum(self.counts.values())


class StatusTopic:
    """The rules of the status topic that a link owns; pure.

    Args:
        topic: None for a link that says nothing about its presence.
        subscriptions: What the link's owner asked for.
    """

    def __init__(
        self, topic: str | None, subscriptions: Sequence[Subscription]
    ) -> None:
        self.topic = topic
        self._asked = tuple(subscriptions)
        self._covered = topic is not None and any(
            matches(one.filter, topic) for one in self._asked
        )

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What to subscribe: as asked, and the status topic unless that covers it."""
        if self.topic is None or self._covered:
            return self._asked
        return (*self._asked, Subscription(self.topic, qos=1, retained=False))

    def hides(self, message: Message) -> bool:
        """Whether only the link needs this message: its owner did not ask for it."""
        return message.topic == self.topic and not self._covered

    def must_heal(self, message: Message, session: str, *, mqtt5: bool) -> bool:
        """Whether the status says offline although this connection lives.

        What a 3.1.1 broker sends out of its store is older than the ``online`` of this
        connection, so it needs no answer. MQTT 5 was asked not to send it.

        Args:
            message: One that arrived.
            session: Of the present connection; empty when there is none.
            mqtt5: Whether the connection speaks MQTT 5.
        """
        stored = message.retain and not mqtt5 and not self._covered
        return (
            message.topic == self.topic
            and message.payload == OFFLINE
            and bool(session)
            and message.session != session
            and not stored
        )


class Link(Protocol):
    """A connection to the broker that is kept up until it is stopped.

    With a ``status_topic`` the link owns that topic: ``online``, retained, at every
    connect; ``offline`` as its will and before a clean stop, all tagged with the
    session; and ``online`` again when somebody else's ``offline`` lands there while it
    is connected.
    """

    @property
    def listener_errors(self) -> ListenerErrors:
        """What the listener raised."""

    @property
    def connected(self) -> bool:
        """Whether something published now would be sent now."""

    @property
    def session(self) -> str:
        """Id of the present connection; empty when there is none."""

    @property
    def local_address(self) -> str:
        """Address of this machine that reaches the broker; empty when none does now."""

    async def start(self) -> None:
        """Begins to connect, and returns at once; it never gives up."""

    async def stop(self) -> None:
        """Publishes ``offline``, flushes and disconnects; twice is fine."""

    async def wait_connected(self, timeout_s: float) -> bool:
        """Waits at most ``timeout_s`` for the connection; returns whether it is up."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        expiry_s: float | None = None,
        response_topic: str = "",
        correlation: bytes = b"",
    ) -> None:
        """Sends one message now.

        Args:
            topic: Full topic.
            payload: At most 16 KiB; empty with ``retain`` clears the topic.
            qos: 0 or 1.
            retain: Store it on the broker.
            expiry_s: MQTT 5 message expiry in seconds; ignored on 3.1.1.
            response_topic: MQTT 5 response topic; ignored on 3.1.1.
            correlation: MQTT 5 correlation data; ignored on 3.1.1.

        Raises:
            NotConnectedError: The link is down. Nothing is queued: a command fired
                after a reconnect is worse than one refused.
            PayloadError: The payload is too large.
        """


class Connect(Protocol):
    """Makes links; a service is given this instead of a host and a password."""

    def __call__(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> Link:
        """Returns a link that is not started yet.

        Args:
            listener: Is called with what happens.
            client_id: Fixed for a node or service, so that the broker ends the old
                connection of the same one first.
            subscriptions: Held over every reconnect.
            status_topic: The presence topic the link owns; None for no presence.
        """


class BreakableLink(Link, Protocol):
    """A link whose connection can be broken in the ways a rack breaks them.

    The simulator breaks links so; nothing else does.
    """

    def abort(self) -> None:
        """Cuts the connection without ``offline`` and stays down: the will is due."""

    def pause(self) -> None:
        """Sends and reads nothing, not even keepalive; the connection stays open."""

    def resume(self) -> None:
        """Goes on; a connection that the broker ended meanwhile is made again."""


class BreakableConnect(Protocol):
    """A ``Connect`` that makes such links."""

    def __call__(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> BreakableLink:
        """Returns a link that is not started yet; see ``Connect``."""
