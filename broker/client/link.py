"""The connection every service holds: one interface, a real one and a fake one.

``mqtt_link.MqttLink`` speaks to Mosquitto, ``fake.FakeLink`` to a ``FakeBroker`` in
memory; ``tests/contract`` runs one suite on both.

A link belongs to one asyncio loop. Its listener is called on that loop, must return
quickly and must not block.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from broker.client.faults import Faults


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
    """Who is told what happens on a link."""

    def on_connected(self, session: str) -> None:
        """Say that the link is up: subscriptions are asked for, publishing works.

        Args:
            session: Random id of this connection.
        """

    def on_disconnected(self, reason: str) -> None:
        """Say that the link went down and is being re-made; ``reason`` in words."""

    def on_message(self, message: Message) -> None:
        """Take one message; an exception here is logged and counted, never fatal."""


class Link(Protocol):
    """A connection to the broker that is kept up until it is stopped.

    With a ``status_topic`` the link owns that topic: ``online``, retained, at every
    connect; ``offline`` as its will and before a clean stop, all tagged with the
    session; and ``online`` again when somebody else's ``offline`` lands there while it
    is connected.
    """

    @property
    def faults(self) -> Faults:
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
        """Begin to connect, and return at once; it never gives up."""

    async def stop(self) -> None:
        """Say offline, flush and disconnect; calling it twice is fine."""

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection, at most ``timeout_s``; return whether it is up."""

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
        """Send one message now.

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
    """Makes links; what a service is given instead of a host and a password."""

    def __call__(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> Link:
        """Make a link that is not started yet.

        Args:
            listener: Who is told.
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
        """Cut the connection without a goodbye and stay down: the will is due."""

    def pause(self) -> None:
        """Send and take nothing, not even keepalive; the connection stays open."""

    def resume(self) -> None:
        """Go on; a connection that the broker ended meanwhile is made again."""


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
        """Make a link that is not started yet; see ``Connect``."""
