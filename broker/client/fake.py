"""A broker in memory and links to it, for tests: no socket, thread, sleep or clock.

Everything is delivered in order by ``call_soon`` on the running loop; ``settle`` waits
until nothing is on its way. ``tests/contract`` holds it to what Mosquitto does.
"""

import asyncio
import contextlib
import enum
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from broker.client.link import (
    OFFLINE,
    ONLINE,
    Listener,
    ListenerErrors,
    Message,
    StatusTopic,
    Subscription,
)
from broker.common.errors import NotConnectedError
from broker.contract.messages.codec import check_size
from broker.contract.topics import matches

Action = Callable[[], None]
"""Something that happens to a link at a later turn of the loop."""

QUEUED_MOST = 10_000
"""How many messages a paused link holds, as the real one."""


class PublishFailure(enum.Enum):
    """How a publish fails; see ``FakeBroker.fail``."""

    FULL = "full"
    """The link's queue is full: ``publish`` raises, the connection stays."""
    REFUSED = "refused"
    """The broker allows no such topic: it drops the message without a word."""
    LOST = "lost"
    """The connection breaks before the broker has the message; nothing is raised."""
    CUT = "cut"
    """The broker has the message, and then the connection breaks."""


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
        """The address of this machine that its links report; tests may set it."""
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
    ) -> "FakeLink":
        """Returns a link that is not started yet; this method is a ``Connect``."""
        status = StatusTopic(status_topic, subscriptions)
        link = FakeLink(self, listener, client_id, status)
        self._links.append(link)
        return link

    def publish(
        self, topic: str, payload: bytes = b"", *, qos: int = 0, retain: bool = False
    ) -> None:
        """Publishes as an outsider would with ``mosquitto_pub``."""
        self.route(Message(topic, payload, retain, qos))

    def sent(self, topic_filter: str) -> list[Message]:
        """Returns what was published on topics that a filter covers, oldest first."""
        return [one for one in self.published if matches(topic_filter, one.topic)]

    def clients(self) -> list[str]:
        """Returns the ids of the connected clients."""
        return list(self._clients)

    def kill(self, client_id: str) -> None:
        """Breaks a client's connection; its will is published.

        It stays away until ``reconnect``, or until the broker stops and starts.

        Raises:
            KeyError: No such client is connected.
        """
        self._clients[client_id].lose("connection lost", will=True)

    def reconnect(self, client_id: str) -> None:
        """Connects the started links of a client id that are down again."""
        for link in self._links:
            if link.client_id == client_id:
                link.attempt()

    def stop(self) -> None:
        """Stops as by ``kill -9``: no will is published."""
        self.up = False
        for link in list(self._clients.values()):
            link.lose("broker is down", will=False)

    def start(self, *, keep_retained: bool = True) -> None:
        """Starts again; every started link connects.

        Args:
            keep_retained: False for a broker that lost its store.
        """
        if not keep_retained:
            self.retained.clear()
        self.up = True
        for link in self._links:
            link.attempt()

    def hang(self) -> None:
        """Reads and delivers nothing, as a stopped process; connections stay open."""
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
        """Makes publishing by links fail; what outsiders publish gets through.

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
        """Returns how a publish fails now, and counts it; None: it does not."""
        for one in self._failures:
            if one.client_id in {"", client_id} and matches(one.topic_filter, topic):
                if one.after:
                    one.after -= 1
                elif one.times:
                    one.times -= 1
                    return one.failure
        return None

    async def settle(self) -> None:
        """Waits until every delivery, and what listeners published on it, is done."""
        await asyncio.sleep(0)
        while self._moving:  # noqa: ASYNC110  # turns of the loop are waited for, not time
            await asyncio.sleep(0)

    def admit(self, link: "FakeLink") -> str:
        """Accepts a client, ends the older one of its id, and returns its session."""
        older = self._clients.get(link.client_id)
        if older is not None:
            older.lose("session taken over", will=True)
        self._clients[link.client_id] = link
        self._sessions += 1
        return f"session-{self._sessions}"

    def dismiss(self, link: "FakeLink") -> None:
        """Forgets a client that is gone."""
        if self._clients.get(link.client_id) is link:
            del self._clients[link.client_id]

    def replay(self, link: "FakeLink", asked: Subscription) -> None:
        """Sends the stored messages that a new subscription covers."""
        if self.mqtt5 and not asked.retained:
            return
        for topic, message in self.retained.items():
            if matches(asked.filter, topic):
                self._send(link, message, asked)

    def route(self, message: Message) -> None:
        """Stores and delivers one published message."""
        if not self.mqtt5:
            carried = (message.topic, message.payload, message.retain, message.qos)
            message = Message(*carried)
        self.published.append(message)
        if message.retain and message.payload:
            self.retained[message.topic] = message
        elif message.retain:
            self.retained.pop(message.topic, None)
        live = msgspec.structs.replace(message, retain=message.retain and self.mqtt5)
        for link in list(self._clients.values()):
            for asked in link.status.subscriptions:
                if matches(asked.filter, message.topic):
                    self._send(link, live, asked)

    def soon(self, link: "FakeLink", action: Action) -> None:
        """Does something with a link at the loop's next turn, in order."""
        self._moving += 1
        link.actions.append(action)
        asyncio.get_running_loop().call_soon(self._next, link)

    def _send(self, link: "FakeLink", message: Message, asked: Subscription) -> None:
        carried = msgspec.structs.replace(message, qos=min(message.qos, asked.qos))
        self.soon(link, partial(link.deliver, carried, link.session))

    def _next(self, link: "FakeLink") -> None:
        self._moving -= 1
        link.act(link.actions.popleft())


class FakeLink:
    """A ``Link`` to a ``FakeBroker``; made by its ``connect``."""

    def __init__(
        self,
        broker: FakeBroker,
        listener: Listener,
        client_id: str,
        status: StatusTopic,
    ) -> None:
        self.client_id = client_id
        self.status = status
        self.actions: deque[Action] = deque()
        self._errors = ListenerErrors(client_id)
        self._broker = broker
        self._listener = listener
        self._session = ""
        self._started = False
        self._paused = False
        self._held: list[Action] = []
        self._unsent: list[Message] = []
        self._up = asyncio.Event()

    @property
    def listener_errors(self) -> ListenerErrors:
        """What the listener raised."""
        return self._errors

    @property
    def connected(self) -> bool:
        """Whether something published now would be sent now."""
        return self._up.is_set()

    @property
    def session(self) -> str:
        """Id of the present connection; empty when there is none."""
        return self._session

    @property
    def local_address(self) -> str:
        """Address of this machine that reaches the broker; empty when none does now."""
        return self._broker.local_address if self.connected else ""

    async def start(self) -> None:
        """Begins to connect, and returns at once."""
        self._started = True
        self.attempt()

    async def stop(self) -> None:
        """Publishes ``offline`` and disconnects; twice is fine."""
        self._started = False
        if self.connected and not self._paused:
            self._publish_status(OFFLINE)
            self._leave()
        elif self.connected:
            self._drop(will=True)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Waits until all is delivered; returns whether the link is up.

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
        """Sends one message now; see ``Link.publish``.

        Raises:
            NotConnectedError: The link is down.
            PayloadError: The payload is too large.
        """
        check_size(payload, topic)
        if not self.connected:
            text = f"{self.client_id} is not connected; {topic} was not sent"
            raise NotConnectedError(text)
        own = self._session if topic == self.status.topic else ""
        message = Message(topic, payload, retain, qos, own, response_topic, correlation)
        failure = self._broker.failure(self.client_id, topic)
        if failure is PublishFailure.FULL or len(self._unsent) >= QUEUED_MOST:
            text = f"{topic} was not sent: the queue is full"
            raise NotConnectedError(text)
        if failure is PublishFailure.REFUSED:
            return
        if self._paused:
            self._unsent.append(message)
        elif failure is not PublishFailure.LOST:
            self._broker.route(message)
        if failure is not None:
            self.lose("the connection broke", will=True)

    def abort(self) -> None:
        """Cuts the connection without ``offline`` and stays down: the will is due."""
        self._started = False
        if self.connected:
            self._drop(will=True)

    def pause(self) -> None:
        """Sends and reads nothing until ``resume``; it waits, as in a socket.

        The broker notices nothing until a test calls its ``kill``, as keepalive would.
        """
        self._paused = True

    def resume(self) -> None:
        """Sends and reads what waited; connects again if the broker cut it off."""
        self._paused = False
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._broker.route(message)
        held, self._held = self._held, []
        for action in held:
            self._broker.soon(self, action)
        self.attempt()

    def attempt(self) -> None:
        """Connects at the loop's next turn, if it is started and down."""
        self._broker.soon(self, self._connect)

    def lose(self, reason: str, *, will: bool) -> None:
        """Ends the connection from the broker's side.

        Args:
            reason: For the listener.
            will: Whether the broker publishes the will.
        """
        self._drop(will=will)
        self._broker.soon(self, partial(self._call, "on_disconnected", reason))

    def act(self, action: Action) -> None:
        """Does what was put off to this turn of the loop; a paused link keeps it."""
        if self._paused:
            self._held.append(action)
        else:
            action()

    def deliver(self, message: Message, session: str) -> None:
        """Passes on a message that was sent to one connection of this link."""
        if session != self._session:
            return
        if self.status.must_heal(message, session, mqtt5=self._broker.mqtt5):
            self._publish_status(ONLINE)
        if not self.status.hides(message):
            self._call("on_message", message)

    def _connect(self) -> None:
        if self.connected or not self._started or not self._broker.up:
            return
        session = self._session = self._broker.admit(self)
        self._up.set()
        for asked in self.status.subscriptions:
            self._broker.replay(self, asked)
        self._publish_status(ONLINE)
        self._call("on_connected", session)

    def _publish_status(self, status: bytes) -> None:
        if self.status.topic is None:
            return
        with contextlib.suppress(NotConnectedError):  # the will says it then
            self.publish(self.status.topic, status, qos=1, retain=True)

    def _drop(self, *, will: bool) -> None:
        session = self._session
        self._leave()
        if will and self.status.topic is not None:
            last = Message(
                self.status.topic, OFFLINE, retain=True, qos=1, session=session
            )
            self._broker.route(last)

    def _leave(self) -> None:
        self._unsent.clear()
        self._broker.dismiss(self)
        self._session = ""
        self._up.clear()

    def _call(self, method: str, argument: str | Message) -> None:
        try:
            getattr(self._listener, method)(argument)
        except Exception as error:  # noqa: BLE001  # a listener may raise anything; the link must live
            self._errors.add(error, method)
