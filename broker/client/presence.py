"""The rules of the status topic, pure: what a link says there, and when it heals it.

Both links use these, so that the fake one cannot be kinder than the real one.
"""

from collections.abc import Sequence

from broker.client.link import Message, Subscription
from broker.contract.messages.node import Status
from broker.contract.topics import matches

ONLINE = Status.ONLINE.encode()
OFFLINE = Status.OFFLINE.encode()


class Presence:
    """What one link does about its status topic.

    Args:
        status_topic: The topic it owns; None for a link without presence.
        subscriptions: What its owner asked for.
    """

    def __init__(
        self, status_topic: str | None, subscriptions: Sequence[Subscription]
    ) -> None:
        self.topic = status_topic
        self._asked = tuple(subscriptions)
        self._covered = status_topic is not None and any(
            matches(one.filter, status_topic) for one in self._asked
        )

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What to subscribe: as asked, and the status topic unless that covers it."""
        if self.topic is None or self._covered:
            return self._asked
        return (*self._asked, Subscription(self.topic, qos=1, retained=False))

    def hides(self, message: Message) -> bool:
        """Whether the owner did not ask for this message: only the link needs it."""
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
