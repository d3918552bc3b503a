"""One MQTT connection, from CONNECT to its end.

A connection is never used twice. paho keeps messages that were not acknowledged and
sends them again after a reconnect; with a client of its own for each connection they
die with it, and no command is fired late.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable, Sequence

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.client.endpoint import Endpoint
from broker.client.link import Message, Subscription
from broker.client.reconnect import Version
from broker.client.wire import packets
from broker.client.wire.buffered import BufferedSocket
from broker.client.wire.client import (
    CONNECT_TIMEOUT_S,
    QUEUED_MOST,
    Identity,
    make_client,
)
from broker.client.wire.filters import Filters
from broker.client.wire.loop import PahoLoop
from broker.client.wire.trust import distrust
from broker.common.errors import (
    LinkError,
    NotConnectedError,
    RefusedError,
    SilentError,
    TopicError,
)
from broker.common.log import RateLimited

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 2.0
SUSPICIOUS_S = 1.0
"""A connection that ends so soon after we sent something may have ended because of it:
brokers without MQTT 5 answer a forbidden topic that way."""
_UNSUPPORTED_VERSION = 132
_SESSION_TAKEN_OVER = 142


class Connection:
    """One connection; make it, ``open`` it once, await ``lost``.

    Args:
        endpoint: Where to.
        identity: Who.
        version: Which MQTT.
        tls: From ``endpoint.tls()``.
        deliver: Called with each message; must not raise.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        identity: Identity,
        version: Version,
        tls: ssl.SSLContext | None,
        deliver: Callable[[Message], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.session = identity.session
        self.taken_over = False
        """Whether it ended because another client connected with its client id."""
        self._name = identity.name or identity.client_id
        self.mqtt5 = version is Version.V5
        self.lost: asyncio.Future[str] = loop.create_future()
        """Done when the connection has ended; why, in words."""
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._endpoint = endpoint
        self._deliver = deliver
        self._client = make_client(endpoint, identity, version, tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._filters = Filters(self._client, self._name, version)
        self._driver = PahoLoop(
            self._client,
            period_s=max(1.0, endpoint.keepalive_s / 5),
            rest_s=endpoint.rest_s,
            failed=self._fail,
        )
        self._unacknowledged: dict[int, str] = {}
        self._unwritten = 0
        """Messages of QoS 0 that wait for the socket."""
        self._refused = RateLimited(log)
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._last_sent = ("", -math.inf)

    @property
    def local_address(self) -> str:
        """Address of this machine on the connection; empty when it is gone."""
        sock = self._client.socket()
        return sock.local_address() if isinstance(sock, BufferedSocket) else ""

    async def open(self) -> None:
        """Connect and wait until the broker accepts.

        Raises:
            RefusedError: The broker said no.
            SilentError: The broker closed the connection instead of an answer.
            LinkError: It cannot be reached, or does not answer in time.
        """
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._dial)
            self._driver.attach()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._accepted
        except TimeoutError as error:
            text = f"{where} does not answer within {CONNECT_TIMEOUT_S:g} s"
            raise LinkError(text) from error
        except ssl.SSLCertVerificationError as error:
            raise LinkError(distrust(where, self._endpoint, error)) from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", "") or error
            text = f"{where} cannot be reached: {why}"
            raise LinkError(text) from error
        finally:
            if not self._accepted.done() or self._accepted.cancelled():
                self.abort()  # a connection nobody waits for any more

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for filters; those the broker refuses are asked for again, for ever."""
        if subscriptions and not self.lost.done():
            self._last_sent = (subscriptions[0].filter, time.monotonic())
            self._filters.ask(subscriptions)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: Properties | None = None,
    ) -> int:
        """Send now; return the packet's number.

        Args:
            topic: Full topic.
            payload: Checked already.
            qos: 0 or 1.
            retain: Store it.
            properties: From ``packets.for_publish``; ignored on 3.1.1.

        Raises:
            NotConnectedError: The connection is gone.
            TopicError: No broker would take such a topic.
        """
        if self.lost.done():
            text = f"{topic} was not sent: the connection is gone"
            raise NotConnectedError(text)
        if not qos and self._unwritten >= QUEUED_MOST:
            text = f"{topic} was not sent: {QUEUED_MOST} messages wait already"
            raise NotConnectedError(text)
        carried = properties if self.mqtt5 else None
        # Before: paho may write, and tell so, within the call.
        self._unwritten += not qos
        try:
            sent = self._client.publish(topic, payload, qos, retain, carried)
        except ValueError as error:
            self._unwritten -= not qos
            text = f"topic {topic[:128]!r} cannot be published to: {error}"
            raise TopicError(text) from error
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._unwritten -= not qos
            text = f"{topic} was not sent: {sent.rc.name}"
            raise NotConnectedError(text)
        self._last_sent = (topic, time.monotonic())
        if qos:
            self._unacknowledged[sent.mid] = topic
        return sent.mid

    async def close(self, last: int | None) -> None:
        """End in peace: the will does not fire.

        Args:
            last: Number of a QoS 1 packet that must be acknowledged before. If that
                takes too long the connection is cut instead: the will then says what
                the packet would have said.
        """
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                if last in self._unacknowledged:
                    self._awaited[last] = asyncio.get_running_loop().create_future()
                    await self._awaited[last]
                self._client.disconnect()
                await asyncio.shield(self.lost)
        except TimeoutError:
            log.warning("%s: the broker did not answer", self._name)
        finally:
            self.abort()

    def abort(self) -> None:
        """Cut the connection, if there still is one: the will fires."""
        self._accepted.cancel()
        sock = self._client.socket()
        self._driver.detach()
        if sock is not None:
            sock.close()
        self._end("cut")

    def pause(self) -> None:
        """Send and take nothing, not even keepalive; the connection stays open."""
        self._driver.pause()

    def resume(self) -> None:
        """Go on; if the broker ended the connection meanwhile, that shows now."""
        self._driver.resume()

    def _dial(self) -> None:
        """Connect, in a thread of the executor: name look-up, TCP and TLS block."""
        endpoint = self._endpoint
        self._client.connect(endpoint.host, endpoint.port, endpoint.keepalive_s)
        sock = self._client.socket()
        if self.lost.done() and sock is not None:
            sock.close()  # whoever waited for this connection has left

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._accepted.done():
            return
        if not reason.is_failure:
            self._accepted.set_result(None)
            return
        self._accepted.set_exception(
            RefusedError(
                f"the broker refused {self._whom()}: {reason}",
                version=self.mqtt5 and reason.value == _UNSUPPORTED_VERSION,
            )
        )

    def _whom(self) -> str:
        """Say who asked; a user name that is not the client id's may be the reason."""
        client, user = self._name, self._endpoint.username
        return client if user in {"", client} else f"{client} as user {user}"

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self.taken_over = reason.value == _SESSION_TAKEN_OVER
            self._end(f"the broker said {str(reason).lower()!r}")
        elif reason.getName() == "Unspecified error":
            self._end("the connection broke")
        else:
            self._end(str(reason).lower())

    def _on_message(self, _client: Client, _data: object, packet: MQTTMessage) -> None:
        try:
            message = packets.to_message(packet)
        except UnicodeDecodeError:
            return  # the topic is no UTF-8; a broker should not have let it pass
        self._deliver(message)

    def _on_publish(
        self,
        _client: Client,
        _data: object,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        topic = self._unacknowledged.pop(mid, "")
        if topic and topic == self._last_sent[0]:
            self._last_sent = ("", 0.0)  # it was taken: no reason to hang up on us
        self._unwritten -= not topic and self._unwritten > 0
        if reason.is_failure:
            self._refused.say("%s: %s refused: %s", self._name, topic, reason)
        awaited = self._awaited.pop(mid, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)

    def _fail(self, error: Exception) -> None:
        """Give up a connection whose parser is out of step."""
        log.error("%s: paho failed", self._name, exc_info=error)
        self.abort()

    def _end(self, reason: str) -> None:
        self._filters.stop()
        if not self._accepted.done():
            self._accepted.set_exception(
                SilentError(f"the broker closed the connection unasked ({reason})")
            )
        if not self.lost.done():
            topic, when = self._last_sent
            soon = time.monotonic() - when < SUSPICIOUS_S
            self.lost.set_result(f"{reason}, just after {topic}" if soon else reason)
