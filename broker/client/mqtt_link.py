"""The real link: keeps one connection to the broker up until it is stopped."""

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
import time
from collections import deque
from collections.abc import Sequence

from broker.client.endpoint import Endpoint
from broker.client.faults import Faults
from broker.client.link import BreakableConnect, Listener, Message, Subscription
from broker.client.presence import OFFLINE, ONLINE, Presence
from broker.client.reconnect import STEADY_S, Backoff, VersionChoice
from broker.client.wire import packets
from broker.client.wire.client import Identity
from broker.client.wire.connection import Connection
from broker.common.errors import LinkError, NotConnectedError, RefusedError, SilentError
from broker.common.log import RateLimited
from broker.common.tasks import spawn
from broker.contract.messages.codec import check_size

log = logging.getLogger(__name__)

TAKE_OVERS = 3
SHORT_LIVES = 5
TAKE_OVERS_WITHIN_S = 60
"""So many connections lost to another client, or lost soon after they were made, within
so many seconds raise an alarm."""


def connector(endpoint: Endpoint, *, rack: str = "") -> BreakableConnect:
    """Return what makes links to a broker.

    Its links share what one of them learns about the broker's version of MQTT.

    Args:
        endpoint: The broker, and who signs in there.
        rack: Name of the rack, for a service; see ``Endpoint.client_ids``.

    Raises:
        ConfigError: The certificate authority cannot be read.
    """
    tls = endpoint.tls()
    version = VersionChoice(mqtt5=endpoint.mqtt5)

    def connect(
        listener: Listener,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription],
        status_topic: str | None = None,
    ) -> MqttLink:
        presence = Presence(status_topic, subscriptions)
        link = MqttLink(
            endpoint, listener, client_id, presence, version=version, tls=tls
        )
        link.client_ids = endpoint.client_ids(client_id, rack)
        return link

    return connect


class MqttLink:
    """A ``Link`` to a real broker; made by a ``connector``.

    Args:
        endpoint: Where the broker is.
        listener: Who is told.
        client_id: Fixed for a node or service; what it is called in the log.
        presence: What it does about its status topic.
        version: Which MQTT to speak; shared with other links to the broker.
        tls: From ``endpoint.tls()``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        listener: Listener,
        client_id: str,
        presence: Presence,
        *,
        version: VersionChoice,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._faults = Faults(client_id)
        self._endpoint = endpoint
        self._listener = listener
        self._client_id = client_id
        self.client_ids: tuple[str, ...] = (client_id,)
        """Tried in turn; a refusal moves on to the next one."""
        self._taken_over_at: deque[float] = deque(maxlen=SHORT_LIVES)
        self._presence = presence
        self._version = version
        self._tls = tls
        self._backoff = Backoff(random.random)
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._complaint = ""
        self._healed = RateLimited(log)

    @property
    def faults(self) -> Faults:
        """What the listener raised."""
        return self._faults

    @property
    def connected(self) -> bool:
        """Whether something published now would be sent now."""
        return self._connection is not None and not self._connection.lost.done()

    @property
    def session(self) -> str:
        """Id of the present connection; empty when there is none."""
        return self._connection.session if self._connection is not None else ""

    @property
    def local_address(self) -> str:
        """Address of this machine that reaches the broker; empty when none does now."""
        return "" if self._connection is None else self._connection.local_address

    async def start(self) -> None:
        """Begin to connect, and return at once; it never gives up."""
        if self._task is None:
            self._task = spawn(f"mqtt {self._client_id}", self._run())

    async def stop(self) -> None:
        """Say offline, flush and disconnect; calling it twice is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is not None:
            if self._flowing.is_set():
                await connection.close(self._say(connection, OFFLINE))
            else:
                connection.abort()

    def abort(self) -> None:
        """Cut the connection without a goodbye and stay down: the will is due."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is not None:
            connection.abort()

    def pause(self) -> None:
        """Send and take nothing, not even keepalive; the connection stays open."""
        self._flowing.clear()
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Go on; a connection that the broker ended meanwhile is made again."""
        self._flowing.set()
        if self._connection is not None:
            self._connection.resume()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection, at most ``timeout_s``; return whether it is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        return self.connected

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
        """Send one message now; see ``Link.publish``.

        Raises:
            NotConnectedError: The link is down.
            PayloadError: The payload is too large.
            TopicError: No broker would take such a topic.
        """
        check_size(payload, topic)
        connection = self._connection
        if connection is None:
            text = f"{self._client_id} is not connected; {topic} was not sent"
            raise NotConnectedError(text)
        properties = packets.for_publish(
            session=connection.session if topic == self._presence.topic else "",
            expiry_s=expiry_s,
            response_topic=response_topic,
            correlation=correlation,
        )
        connection.publish(
            topic, payload, qos=qos, retain=retain, properties=properties
        )

    async def _run(self) -> None:
        """Connect, live, and connect again, for as long as the link lives."""
        while True:
            await self._flowing.wait()
            lived_s = 0.0
            try:
                connection = await self._open()
            except RefusedError as error:
                self._complain(error)
                if error.version:
                    self._version.refused()
                    continue  # at once: the next attempt speaks another version
                self.client_ids = (*self.client_ids[1:], self.client_ids[0])
            except LinkError as error:
                self._complain(error)
            except Exception as error:  # noqa: BLE001  # no thread left, a bug: tried again
                self._complain(error, trace=True)
            else:
                lived_s = await self._lived(connection)
            await asyncio.sleep(self._backoff.after(lived_s))

    async def _lived(self, connection: Connection) -> float:
        """Live until the connection is lost; return how many seconds that was."""
        began = time.monotonic()
        try:
            await self._live(connection)
        except Exception:  # the next connection may do better
            log.exception("%s: a connection failed", self._client_id)
            self._connection = None
            self._up.clear()
            connection.abort()
            self._tell("on_disconnected", "an error of ours; see the log")
        return time.monotonic() - began

    async def _open(self) -> Connection:
        identity = Identity(
            self.client_ids[0],
            secrets.token_hex(8),
            self._presence.topic,
            name=self._client_id,
        )
        version = self._version.current
        connection = Connection(
            self._endpoint, identity, version, self._tls, self._on_message
        )
        try:
            await connection.open()
        except SilentError:
            self._version.silent()
            raise
        log.info(
            "%s: connected to %r, MQTT %s",
            self._client_id,
            self._endpoint,
            version.value,
        )
        self._complaint = ""
        return connection

    async def _live(self, connection: Connection) -> None:
        began = time.monotonic()
        self._connection = connection
        if not self._flowing.is_set():
            connection.pause()
        self._up.set()
        connection.subscribe(self._presence.subscriptions)
        self._say(connection, ONLINE)
        self._tell("on_connected", connection.session)
        reason = await asyncio.shield(connection.lost)
        self._connection = None
        self._up.clear()
        self._version.ended()
        log.warning("%s: disconnected: %s", self._client_id, reason)
        if connection.taken_over or time.monotonic() - began < STEADY_S:
            self._taken_over(said=connection.taken_over)
        self._tell("on_disconnected", reason)

    def _taken_over(self, *, said: bool) -> None:
        """Raise the alarm when other clients keep connecting with our client id.

        Args:
            said: Whether the broker gave that as the reason. Mosquitto 2.0.11 only
                closes the connection, each time soon after it was made.
        """
        now = time.monotonic()
        self._taken_over_at.append(now)
        count = TAKE_OVERS if said else SHORT_LIVES
        latest = tuple(self._taken_over_at)[-count:]
        if len(latest) == count and now - latest[0] <= TAKE_OVERS_WITHIN_S:
            self._taken_over_at.clear()
            log.error(
                "%s: another client %s this connection %d times within %d s by using "
                "the same client id; a second %s runs somewhere, or somebody attacks",
                self._client_id,
                "took" if said else "seems to have taken",
                count,
                TAKE_OVERS_WITHIN_S,
                self._client_id,
            )

    def _complain(self, error: Exception, *, trace: bool = False) -> None:
        """Log why there is no connection; the same reason only once."""
        text = repr(error) if trace else str(error)
        level = logging.DEBUG if text == self._complaint else logging.WARNING
        log.log(
            level,
            "%s: %s; trying for ever",
            self._client_id,
            text,
            exc_info=error if trace else None,
        )
        self._complaint = text

    def _say(self, connection: Connection, status: bytes) -> int | None:
        """Publish the status; return the packet's number, None without presence."""
        if self._presence.topic is None:
            return None
        try:
            return connection.publish(
                self._presence.topic,
                status,
                qos=1,
                retain=True,
                properties=packets.for_publish(session=connection.session),
            )
        except NotConnectedError:
            return None  # the will says offline, and the next connection says online

    def _on_message(self, message: Message) -> None:
        """Take one message from the connection; this is the hot path."""
        if message.topic == self._presence.topic and self._is_private(message):
            return
        try:
            self._listener.on_message(message)
        except Exception as error:  # noqa: BLE001  # a listener may raise anything; the reader must live
            self._faults.add(error, "on_message")

    def _is_private(self, message: Message) -> bool:
        """Heal the own status if need be; return whether the owner did not ask."""
        connection = self._connection
        if connection is not None and self._presence.must_heal(
            message, connection.session, mqtt5=connection.mqtt5
        ):
            what = (self._client_id, message.topic)
            self._healed.say("%s: %s said offline; healed", *what)
            self._say(connection, ONLINE)
        return self._presence.hides(message)

    def _tell(self, method: str, argument: str) -> None:
        try:
            getattr(self._listener, method)(argument)
        except Exception as error:  # noqa: BLE001  # as in _on_message
            self._faults.add(error, method)
