"""The real link: keeps one connection to the broker up until it is stopped."""

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence

from broker.client.endpoint import Endpoint
from broker.client.link import (
    OFFLINE,
    ONLINE,
    BreakableConnect,
    Listener,
    ListenerErrors,
    Message,
    StatusTopic,
    Subscription,
)
from broker.client.paho_connection import (
    ClientIdentity,
    MqttVersion,
    PahoConnection,
    publish_properties,
)
from broker.common.errors import (
    LinkError,
    LinkRefusedError,
    NotConnectedError,
    SilentError,
)
from broker.common.log import RateLimited
from broker.common.tasks import spawn
from broker.contract.messages.codec import check_size

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 4.0
"""Low, so that a rack is whole again within 5 s of its broker; a thousand nodes that
try every 2 to 4 s at a port that is closed are no load."""
STEADY_S = 10.0
"""A connection that lived so long was a good one. Two clients that take each other's
place never reach it, so they do not fight at full speed."""
SILENT_LIMIT = 2
"""How many connections may end without an answer before 3.1.1 is tried."""
TAKE_OVERS = 3
SHORT_LIVES = 5
TAKE_OVERS_WITHIN_S = 60
"""So many connections lost to another client, or lost soon after they were made, within
so many seconds raise an alarm."""


class Backoff:
    """Seconds to wait before each attempt: doubling, capped, jittered.

    Args:
        random: Returns a float from 0 to 1.
        first_s: Longest wait before the second attempt.
        cap_s: Longest wait ever.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first_s: float = FIRST_WAIT_S,
        cap_s: float = LONGEST_WAIT_S,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._cap_s = cap_s
        self._next_s = first_s

    def after(self, lived_s: float) -> float:
        """Returns how long to wait after a connection that lived so long.

        Args:
            lived_s: Seconds; 0 for an attempt that failed.

        Returns:
            Seconds, between half of the present limit and all of it.
        """
        if lived_s >= STEADY_S:
            self._next_s = self._first_s
        limit_s = self._next_s
        self._next_s = min(self._cap_s, limit_s * 2)
        return limit_s * (1 + self._random()) / 2


class VersionChoice:
    """Chooses the version to speak: 5, unless the broker says it does not.

    Some brokers close the connection instead of saying so. One that is just being
    killed does that too, so 3.1.1 found in this way holds only while it works, and 5 is
    tried again afterwards.

    Args:
        mqtt5: False never speaks 5.
    """

    def __init__(self, *, mqtt5: bool = True) -> None:
        self._refused = not mqtt5
        self._silent = 0

    @property
    def current(self) -> MqttVersion:
        """The version for the next attempt."""
        old = self._refused or self._silent >= SILENT_LIMIT
        return MqttVersion.V311 if old else MqttVersion.V5

    def refused(self) -> None:
        """Remembers that the broker said it does not speak this version."""
        self._refused = True

    def silent(self) -> None:
        """Counts a connection that was closed before the broker answered."""
        self._silent += 1

    def ended(self) -> None:
        """Starts to count again, for a connection that had worked is over."""
        self._silent = 0


async def check_connection(endpoint: Endpoint, client_id: str = "") -> None:
    """Connects once and leaves; returns if there is a broker that accepts us.

    For a person who waits: a link would try for ever.

    Args:
        endpoint: Where, and who signs in.
        client_id: Name of a node or service; empty for a tool of a person.

    Raises:
        ConfigError: The certificate authority cannot be read.
        LinkError: There is no broker, or it refuses us; says which.
    """
    name = client_id or f"pirack-{secrets.token_hex(6)}"
    identity = ClientIdentity(endpoint.client_ids(name)[0], "", None, name=name)
    connection = PahoConnection(
        endpoint, identity, MqttVersion.V5, endpoint.tls(), lambda _message: None
    )
    try:
        await connection.open()
    except LinkRefusedError as error:
        if not error.version:
            raise
    except SilentError:
        return  # it is there; perhaps it speaks 3.1.1 only, which a link finds out
    finally:
        connection.abort()


def connector(endpoint: Endpoint, *, rack: str = "") -> BreakableConnect:
    """Returns what makes links to a broker.

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
        status = StatusTopic(status_topic, subscriptions)
        link = MqttLink(endpoint, listener, client_id, status, version=version, tls=tls)
        link.client_ids = endpoint.client_ids(client_id, rack)
        return link

    return connect


class MqttLink:
    """A ``Link`` to a real broker; made by a ``connector``.

    Args:
        endpoint: Where the broker is.
        listener: Is called with what happens.
        client_id: Fixed for a node or service; its name in the log.
        status: What it does about its status topic.
        version: Which MQTT to speak; shared with other links to the broker.
        tls: From ``endpoint.tls()``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        listener: Listener,
        client_id: str,
        status: StatusTopic,
        *,
        version: VersionChoice,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._errors = ListenerErrors(client_id)
        self._endpoint = endpoint
        self._listener = listener
        self._client_id = client_id
        self.client_ids: tuple[str, ...] = (client_id,)
        """Tried in turn; a refusal moves on to the next one."""
        self._taken_over_at: deque[float] = deque(maxlen=SHORT_LIVES)
        self._status = status
        self._version = version
        self._tls = tls
        self._backoff = Backoff(random.random)
        self._task: asyncio.Task[None] | None = None
        self._connection: PahoConnection | None = None
        self._up = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._last_failure = ""
        self._healed = RateLimited(log)

    @property
    def listener_errors(self) -> ListenerErrors:
        """What the listener raised."""
        return self._errors

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
        """Begins to connect, and returns at once; it never gives up."""
        if self._task is None:
            self._task = spawn(f"mqtt {self._client_id}", self._run())

    async def stop(self) -> None:
        """Publishes ``offline``, flushes and disconnects; twice is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is not None:
            if self._flowing.is_set():
                await connection.close(self._publish_status(connection, OFFLINE))
            else:
                connection.abort()

    def abort(self) -> None:
        """Cuts the connection without ``offline`` and stays down: the will is due."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is not None:
            connection.abort()

    def pause(self) -> None:
        """Sends and reads nothing, not even keepalive; the connection stays open."""
        self._flowing.clear()
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Goes on; a connection that the broker ended meanwhile is made again."""
        self._flowing.set()
        if self._connection is not None:
            self._connection.resume()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Waits at most ``timeout_s`` for the connection; returns whether it is up."""
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
        """Sends one message now; see ``Link.publish``.

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
        properties = publish_properties(
            session=connection.session if topic == self._status.topic else "",
            expiry_s=expiry_s,
            response_topic=response_topic,
            correlation=correlation,
        )
        connection.publish(
            topic, payload, qos=qos, retain=retain, properties=properties
        )

    async def _run(self) -> None:
        """Connects, lives, and connects again, for as long as the link lives."""
        while True:
            await self._flowing.wait()
            lived_s = 0.0
            try:
                connection = await self._open()
            except LinkRefusedError as error:
                self._log_failure(error)
                if error.version:
                    self._version.refused()
                    continue  # at once: the next attempt speaks another version
                self.client_ids = (*self.client_ids[1:], self.client_ids[0])
            except LinkError as error:
                self._log_failure(error)
            except Exception as error:  # noqa: BLE001  # no thread left, a bug: tried again
                self._log_failure(error, trace=True)
            else:
                lived_s = await self._lived(connection)
            await asyncio.sleep(self._backoff.after(lived_s))

    async def _lived(self, connection: PahoConnection) -> float:
        """Lives until the connection is lost; returns how many seconds that was."""
        began = time.monotonic()
        try:
            await self._live(connection)
        except Exception:  # the next connection may do better
            log.exception("%s: a connection failed", self._client_id)
            self._connection = None
            self._up.clear()
            connection.abort()
            self._call("on_disconnected", "an error of ours; see the log")
        return time.monotonic() - began

    async def _open(self) -> PahoConnection:
        identity = ClientIdentity(
            self.client_ids[0],
            secrets.token_hex(8),
            self._status.topic,
            name=self._client_id,
        )
        version = self._version.current
        connection = PahoConnection(
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
        self._last_failure = ""
        return connection

    async def _live(self, connection: PahoConnection) -> None:
        began = time.monotonic()
        self._connection = connection
        if not self._flowing.is_set():
            connection.pause()
        self._up.set()
        connection.subscribe(self._status.subscriptions)
        self._publish_status(connection, ONLINE)
        self._call("on_connected", connection.session)
        reason = await asyncio.shield(connection.lost)
        self._connection = None
        self._up.clear()
        self._version.ended()
        log.warning("%s: disconnected: %s", self._client_id, reason)
        if connection.taken_over or time.monotonic() - began < STEADY_S:
            self._taken_over(said=connection.taken_over)
        self._call("on_disconnected", reason)

    def _taken_over(self, *, said: bool) -> None:
        """Raises the alarm when other clients keep connecting with our client id.

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

    def _log_failure(self, error: Exception, *, trace: bool = False) -> None:
        """Logs why there is no connection; the same reason only once."""
        text = repr(error) if trace else str(error)
        level = logging.DEBUG if text == self._last_failure else logging.WARNING
        log.log(
            level,
            "%s: %s; trying for ever",
            self._client_id,
            text,
            exc_info=error if trace else None,
        )
        self._last_failure = text

    def _publish_status(self, connection: PahoConnection, status: bytes) -> int | None:
        """Publishes the status; returns the packet's number, None without a topic."""
        if self._status.topic is None:
            return None
        try:
            return connection.publish(
                self._status.topic,
                status,
                qos=1,
                retain=True,
                properties=publish_properties(session=connection.session),
            )
        except NotConnectedError:
            return None  # the will says offline, and the next connection says online

    def _on_message(self, message: Message) -> None:
        """Passes on one message from the connection; this is the hot path."""
        if message.topic == self._status.topic and self._is_private(message):
            return
        try:
            self._listener.on_message(message)
        except Exception as error:  # noqa: BLE001  # a listener may raise anything; the reader must live
            self._errors.add(error, "on_message")

    def _is_private(self, message: Message) -> bool:
        """Heals the own status if need be; returns whether the owner did not ask."""
        connection = self._connection
        if connection is not None and self._status.must_heal(
            message, connection.session, mqtt5=connection.mqtt5
        ):
            what = (self._client_id, message.topic)
            self._healed.say("%s: %s said offline; healed", *what)
            self._publish_status(connection, ONLINE)
        return self._status.hides(message)

    def _call(self, method: str, argument: str) -> None:
        try:
            getattr(self._listener, method)(argument)
        except Exception as error:  # noqa: BLE001  # as in _on_message
            self._errors.add(error, method)
