"""A link to a ``FakeBroker``, and what can be on its way to it."""

import asyncio
import contextlib
import enum
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from broker.client.faults import Faults
from broker.client.link import Listener, Message
from broker.client.presence import OFFLINE, ONLINE, Presence
from broker.common.errors import NotConnectedError
from broker.contract.messages.codec import check_size

if TYPE_CHECKING:
    from broker.client.fake import FakeBroker  # which imports this file


class Delivery(msgspec.Struct, frozen=True):
    """A message on its way to one connection of a link."""

    message: Message
    session: str


class Attempt(msgspec.Struct, frozen=True):
    """A link is about to try to connect."""


class Loss(msgspec.Struct, frozen=True):
    """A link is about to notice that its connection is gone."""

    reason: str


Action = Delivery | Attempt | Loss


QUEUED_MOST = 10_000
"""What a frozen link holds, as the real one."""


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


class FakeLink:
    """A ``Link`` to a ``FakeBroker``; made by its ``connect``.

    Args:
        broker: The broker it connects to.
        listener: Who is told.
        client_id: Its id on the broker.
        presence: What it does about its status topic.
    """

    def __init__(
        self,
        broker: "FakeBroker",
        listener: Listener,
        client_id: str,
        presence: Presence,
    ) -> None:
        self.client_id = client_id
        self.presence = presence
        self.actions: deque[Action] = deque()
        self._faults = Faults(client_id)
        self._broker = broker
        self._listener = listener
        self._session = ""
        self._started = False
        self._paused = False
        self._held: list[Action] = []
        self._unsent: list[Message] = []
        self._up = asyncio.Event()

    @property
    def faults(self) -> Faults:
        """What the listener raised."""
        return self._faults

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
        """Begin to connect, and return at once."""
        self._started = True
        self.attempt()

    async def stop(self) -> None:
        """Say offline and disconnect; calling it twice is fine."""
        self._started = False
        if self.connected and not self._paused:
            self._say(OFFLINE)
            self._leave()
        elif self.connected:
            self._drop(will=True)

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
        """Cut the connection without a goodbye and stay down: the will fires."""
        self._started = False
        if self.connected:
            self._drop(will=True)

    def pause(self) -> None:
        """Send and take nothing until ``resume``; it waits, as in a socket.

        The broker notices nothing until a test calls its ``kill``, as keepalive would.
        """
        self._paused = True

    def resume(self) -> None:
        """Go on with what waited; connect again if the broker ended the connection."""
        self._paused = False
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._broker.route(message)
        held, self._held = self._held, []
        for action in held:
            self._broker.soon(self, action)
        self.attempt()

    def attempt(self) -> None:
        """Try to connect at the loop's next turn, if it is started and down."""
        self._broker.soon(self, Attempt())

    def lose(self, reason: str, *, will: bool) -> None:
        """End the connection from the broker's side.

        Args:
            reason: Told to the listener.
            will: Whether the broker publishes the will.
        """
        self._drop(will=will)
        self._broker.soon(self, Loss(reason))

    def act(self, action: Action) -> None:
        """Do what was put off to this turn of the loop."""
        if self._paused:
            self._held.append(action)
            return
        match action:
            case Delivery():
                self._deliver(action)
            case Attempt():
                self._connect()
            case Loss(reason):
                self._tell("on_disconnected", reason)

    def _connect(self) -> None:
        if self.connected or not self._started or not self._broker.up:
            return
        session = self._session = self._broker.admit(self)
        self._up.set()
        for asked in self.presence.subscriptions:
            self._broker.replay(self, asked)
        self._say(ONLINE)
        self._tell("on_connected", session)

    def _deliver(self, delivery: Delivery) -> None:
        message = delivery.message
        if delivery.session != self._session:
            return
        mqtt5 = self._broker.mqtt5
        if self.presence.must_heal(message, self._session, mqtt5=mqtt5):
            self._say(ONLINE)
        if not self.presence.hides(message):
            self._tell("on_message", message)

    def _say(self, status: bytes) -> None:
        if self.presence.topic is None:
            return
        with contextlib.suppress(NotConnectedError):  # the will says it then
            self.publish(self.presence.topic, status, qos=1, retain=True)

    def _drop(self, *, will: bool) -> None:
        session = self._session
        self._leave()
        if will and self.presence.topic is not None:
            last = Message(
                self.presence.topic, OFFLINE, retain=True, qos=1, session=session
            )
            self._broker.route(last)

    def _leave(self) -> None:
        self._unsent.clear()
        self._broker.dismiss(self)
        self._session = ""
        self._up.clear()

    def _tell(self, method: str, argument: str | Message) -> None:
        try:
            getattr(self._listener, method)(argument)
        except Exception as error:  # noqa: BLE001  # a listener may raise anything; the link must live
            self._faults.add(error, method)
