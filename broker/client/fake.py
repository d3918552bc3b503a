"""A broker in memory and links to it, for tests: no socket, thread, sleep or clock.

Everything is delivered in order by ``call_soon`` on the running loop; ``settle`` waits
until nothing is on its way. ``tests/contract`` holds it to what Mosquitto does.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from broker.client.fake_link import Action, Delivery, FakeLink, PublishFailure
from broker.client.link import Listener, Message, Subscription
from broker.client.presence import Presence
from broker.contract.topics import matches


class _Failing(msgspec.Struct):
    """What ``fail`` asked for, and how much of it is left."""

    failure: PublishFailure
    topic_filter: str
    client_id: str
    after: int
    times: int


class FakeBroker:
    """Retained store, wildcards, wills, takeover, and outages on demand.

    Args:
        mqtt5: False behaves as a 3.1.1 broker: no session, response topic or
            correlation, stored messages always sent, ``retain`` only on those.
    """

    def __init__(self, *, mqtt5: bool = True) -> None:
        self.mqtt5 = mqtt5
        self.up = True
        self.local_address = "127.0.0.1"
        """What its links say is the address that reaches it; tests may set it."""
        self.published: list[Message] = []
        """Everything that reached the broker, wills included, oldest first."""
        self.retained: dict[str, Message] = {}
        """The retained store by topic; tests may read and fill it."""
        self._links: list[FakeLink] = []
        self._clients: dict[str, FakeLink] = {}
        self._failures: list[_Failing] = []
        self._moving = 0
        self._sessions = 0

    def connect(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> FakeLink:
        """Make a link that is not started yet; this method is a ``Connect``."""
        link = FakeLink(
            self, listener, client_id, Presence(status_topic, subscriptions)
        )
        self._links.append(link)
        return link

    def publish(
        self, topic: str, payload: bytes = b"", *, qos: int = 0, retain: bool = False
    ) -> None:
        """Publish as an outsider would with ``mosquitto_pub``."""
        self.route(Message(topic, payload, retain, qos))

    def sent(self, topic_filter: str) -> list[Message]:
        """Return what was published on topics that a filter covers, oldest first."""
        return [one for one in self.published if matches(topic_filter, one.topic)]

    def clients(self) -> list[str]:
        """Return the ids of the connected clients."""
        return list(self._clients)

    def kill(self, client_id: str) -> None:
        """Lose a client's connection; its will fires.

        It stays away until ``reconnect``, or until the broker stops and starts.

        Raises:
            KeyError: No such client is connected.
        """
        self._clients[client_id].lose("connection lost", will=True)

    def reconnect(self, client_id: str) -> None:
        """Let the started links of a client id that are down connect again."""
        for link in self._links:
            if link.client_id == client_id:
                link.attempt()

    def stop(self) -> None:
        """Take the broker down as ``kill -9`` does: no will fires."""
        self.up = False
        for link in list(self._clients.values()):
            link.lose("broker is down", will=False)

    def start(self, *, keep_retained: bool = True) -> None:
        """Bring it up again; every started link connects.

        Args:
            keep_retained: False for a broker that lost its store.
        """
        if not keep_retained:
            self.retained.clear()
        self.up = True
        for link in self._links:
            link.attempt()

    def hang(self) -> None:
        """Takes and delivers nothing, as a stopped process: connections stay open."""
        for link in self._clients.values():
            link.pause()

    def go_on(self) -> None:
        """Ends ``hang``: what was sent meanwhile is delivered now."""
        for link in list(self._clients.values()):
            link.resume()

    def fail(
        self,
        failure: PublishFailure,
        topic_filter: str = "#",
        *,
        client_id: str = "",
        after: int = 0,
        times: int = 1,
    ) -> None:
        """Lets what links publish fail; what outsiders publish gets through.

        A link whose connection broke so stays away until ``reconnect``.

        Args:
            failure: How.
            topic_filter: On these topics.
            client_id: Of this client only; empty: of any.
            after: So many publishes succeed before.
            times: So many fail then.
        """
        self._failures.append(_Failing(failure, topic_filter, client_id, after, times))

    def failure(self, client_id: str, topic: str) -> PublishFailure | None:
        """Return how a publish fails now, and count it; None: it does not."""
        for one in self._failures:
            if one.client_id in {"", client_id} and matches(one.topic_filter, topic):
                if one.after:
                    one.after -= 1
                elif one.times:
                    one.times -= 1
                    return one.failure
        return None

    async def settle(self) -> None:
        """Wait until every delivery, and what listeners published on it, is done."""
        await asyncio.sleep(0)
        while self._moving:  # noqa: ASYNC110  # turns of the loop are waited for, not time
            await asyncio.sleep(0)

    def admit(self, link: FakeLink) -> str:
        """Take a client in, end the older one of its id, and return its session."""
        older = self._clients.get(link.client_id)
        if older is not None:
            older.lose("session taken over", will=True)
        self._clients[link.client_id] = link
        self._sessions += 1
        return f"session-{self._sessions}"

    def dismiss(self, link: FakeLink) -> None:
        """Forget a client that is gone."""
        if self._clients.get(link.client_id) is link:
            del self._clients[link.client_id]

    def replay(self, link: FakeLink, asked: Subscription) -> None:
        """Send the stored messages that a new subscription covers."""
        if self.mqtt5 and not asked.retained:
            return
        for topic, message in self.retained.items():
            if matches(asked.filter, topic):
                self._send(link, message, asked)

    def route(self, message: Message) -> None:
        """Store and deliver one published message."""
        if not self.mqtt5:
            message = Message(
                message.topic, message.payload, message.retain, message.qos
            )
        self.published.append(message)
        if message.retain and message.payload:
            self.retained[message.topic] = message
        elif message.retain:
            self.retained.pop(message.topic, None)
        live = msgspec.structs.replace(message, retain=message.retain and self.mqtt5)
        for link in list(self._clients.values()):
            for asked in link.presence.subscriptions:
                if matches(asked.filter, message.topic):
                    self._send(link, live, asked)

    def soon(self, link: FakeLink, action: Action) -> None:
        """Do something with a link at the loop's next turn, in order."""
        self._moving += 1
        link.actions.append(action)
        asyncio.get_running_loop().call_soon(self._next, link)

    def _send(self, link: FakeLink, message: Message, asked: Subscription) -> None:
        carried = msgspec.structs.replace(message, qos=min(message.qos, asked.qos))
        self.soon(link, Delivery(carried, link.session))

    def _next(self, link: FakeLink) -> None:
        self._moving -= 1
        link.act(link.actions.popleft())
