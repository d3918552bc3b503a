"""A broker in memory and links to it, for tests: no socket, thread, sleep or clock.

Everything is delivered in order by ``call_soon`` on the running loop; ``settle`` waits
until nothing is on its way. ``tests/contract`` holds it to what Mosquitto does.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import msgspec

from broker.errors import NotConnectedError
from broker.faults import Faults
from broker.link import Listener, Message, Subscription
from broker.messages.codec import check_size
from broker.presence import OFFLINE, ONLINE, Presence
from broker.topics import matches


class FakeBroker:
    """Retained store, wildcards, wills, takeover, and outages on demand.

    Args:
        mqtt5: False behaves as a 3.1.1 broker: no session, response topic or
            correlation, stored messages always sent, ``retain`` only on those.
    """

    def __init__(self, *, mqtt5: bool = True) -> None:
        self.mqtt5 = mqtt5
        self.up = True
        self.published: list[Message] = []
        """Everything that reached the broker, wills included, oldest first."""
        self.retained: dict[str, Message] = {}
        """The retained store by topic; tests may read and fill it."""
        self._links: list[FakeLink] = []
        self._clients: dict[str, FakeLink] = {}
        self._moving = 0
        self._sessions = 0

    def connect(
        self,
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> "FakeLink":
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

    async def settle(self) -> None:
        """Wait until every delivery, and what listeners published on it, is done."""
        await asyncio.sleep(0)
        while self._moving:  # noqa: ASYNC110  # turns of the loop are waited for, not time
            await asyncio.sleep(0)

    def admit(self, link: "FakeLink") -> str:
        """Take a client in, end the older one of its id, and return its session."""
        older = self._clients.get(link.client_id)
        if older is not None:
            older.lose("session taken over", will=True)
        self._clients[link.client_id] = link
        self._sessions += 1
        return f"session-{self._sessions}"

    def dismiss(self, link: "FakeLink") -> None:
        """Forget a client that is gone."""
        if self._clients.get(link.client_id) is link:
            del self._clients[link.client_id]

    def replay(self, link: "FakeLink", asked: Subscription) -> None:
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

    def soon(self, link: "FakeLink", action: "_Action") -> None:
        """Do something with a link at the loop's next turn, in order."""
        self._moving += 1
        link.actions.append(action)
        asyncio.get_running_loop().call_soon(self._next, link)

    def _send(self, link: "FakeLink", message: Message, asked: Subscription) -> None:
        carried = msgspec.structs.replace(message, qos=min(message.qos, asked.qos))
        self.soon(link, _Delivery(carried, link.session))

    def _next(self, link: "FakeLink") -> None:
        self._moving -= 1
        link.act(link.actions.popleft())


class _Delivery(msgspec.Struct, frozen=True):
    """A message on its way to one connection of a link."""

    message: Message
    session: str


class _Attempt(msgspec.Struct, frozen=True):
    """A link is about to try to connect."""


class _Loss(msgspec.Struct, frozen=True):
    """A link is about to notice that its connection is gone."""

    reason: str


_Action = _Delivery | _Attempt | _Loss


class FakeLink:
    """A ``Link`` to a ``FakeBroker``; made by its ``connect``.

    Args:
        broker: The broker it connects to.
        listener: Who is told.
        client_id: Its id on the broker.
        presence: What it does about its status topic.
    """

    def __init__(
        self, broker: FakeBroker, listener: Listener, client_id: str, presence: Presence
    ) -> None:
        self.client_id = client_id
        self.presence = presence
        self.actions: deque[_Action] = deque()
        self.faults = Faults(client_id)
        self._broker = broker
        self._listener = listener
        self._session = ""
        self._started = False
        self._paused = False
        self._held: list[_Action] = []
        self._up = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether something published now would be sent now."""
        return self._up.is_set()

    @property
    def session(self) -> str:
        """Id of the present connection; empty when there is none."""
        return self._session

    async def start(self) -> None:
        """Begin to connect, and return at once."""
        self._started = True
        self.attempt()

    async def stop(self) -> None:
        """Say offline and disconnect; calling it twice is fine."""
        self._started = False
        if self.connected:
            self._say(OFFLINE)
            self._leave()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Let what is on its way arrive and return whether the link is up.

        No time passes, so ``timeout_s`` only says whether to wait at all.
        """
        if timeout_s > 0:
            await self._broker.settle()
        return self.connected

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        expiry_s: float | None = None,  # noqa: ARG002  # nothing waits in a fake broker, so nothing expires there
        response_topic: str = "",
        correlation: bytes = b"",
    ) -> None:
        """Send one message now; see ``Link.publish``.

        Raises:
            NotConnectedError: The link is down.
            PayloadError: The payload is too large.
        """
        check_size(payload, topic)
        if not self.connected:
            text = f"{self.client_id} is not connected; {topic} was not sent"
            raise NotConnectedError(text)
        own = self._session if topic == self.presence.topic else ""
        self._broker.route(
            Message(topic, payload, retain, qos, own, response_topic, correlation)
        )

    def abort(self) -> None:
        """Cut the connection without a goodbye and stay down: the will fires."""
        self._started = False
        if self.connected:
            self.lose("cut", will=True)

    def pause(self) -> None:
        """Take nothing until ``resume``; what arrives waits, as in a socket.

        The broker notices nothing until a test calls its ``kill``, as keepalive would.
        """
        self._paused = True

    def resume(self) -> None:
        """Take what waited; connect again if the broker ended the connection."""
        self._paused = False
        held, self._held = self._held, []
        for action in held:
            self._broker.soon(self, action)
        self.attempt()

    def attempt(self) -> None:
        """Try to connect at the loop's next turn, if it is started and down."""
        self._broker.soon(self, _Attempt())

    def lose(self, reason: str, *, will: bool) -> None:
        """End the connection from the broker's side.

        Args:
            reason: Told to the listener.
            will: Whether the broker publishes the will.
        """
        session = self._session
        self._leave()
        if will and self.presence.topic is not None:
            self._broker.route(Message(self.presence.topic, OFFLINE, True, 1, session))  # noqa: FBT003  # a field of the struct, in the order of link.py
        self._broker.soon(self, _Loss(reason))

    def act(self, action: _Action) -> None:
        """Do what was put off to this turn of the loop."""
        if self._paused:
            self._held.append(action)
            return
        match action:
            case _Delivery():
                self._deliver(action)
            case _Attempt():
                self._connect()
            case _Loss(reason):
                self._tell("on_disconnected", reason)

    def _connect(self) -> None:
        if self.connected or not self._started or not self._broker.up:
            return
        self._session = self._broker.admit(self)
        self._up.set()
        for asked in self.presence.subscriptions:
            self._broker.replay(self, asked)
        self._say(ONLINE)
        self._tell("on_connected", self._session)

    def _deliver(self, delivery: _Delivery) -> None:
        message = delivery.message
        if delivery.session != self._session:
            return
        if self.presence.must_heal(message, self._session):
            self._say(ONLINE)
        if not self.presence.hides(message):
            self._tell("on_message", message)

    def _say(self, status: bytes) -> None:
        if self.presence.topic is not None:
            self.publish(self.presence.topic, status, qos=1, retain=True)

    def _leave(self) -> None:
        self._broker.dismiss(self)
        self._session = ""
        self._up.clear()

    def _tell(self, method: str, argument: str | Message) -> None:
        try:
            getattr(self._listener, method)(argument)
        except Exception as error:  # noqa: BLE001  # a listener may raise anything; the link must live
            self.faults.add(error, method)
