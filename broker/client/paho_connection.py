"""One MQTT connection, from CONNECT to its end, and what rides beside its payloads.

A connection is never used twice. paho keeps messages that were not acknowledged and
sends them again after a reconnect; with a client of its own for each connection they
die with it, and no command is sent late.
"""

import asyncio
import enum
import logging
import math
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker.client.endpoint import Endpoint
from broker.client.link import OFFLINE, Message, Subscription
from broker.client.paho_loop import BufferedClient, BufferedSocket, PahoLoop
from broker.common.errors import (
    LinkError,
    LinkRefusedError,
    NotConnectedError,
    SilentError,
    TopicError,
)
from broker.common.log import RateLimited

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
FLUSH_TIMEOUT_S = 2.0
RETRY_S = 5.0
"""Until refused filters are asked for again. NATS refuses QoS 1 filters for 15 to 25 s
after it lost a server, then takes them."""
SUSPICIOUS_S = 1.0
"""A connection that ends so soon after we sent something may have ended because of it:
brokers without MQTT 5 answer a forbidden topic that way."""
INFLIGHT_MOST = 20
"""Unacknowledged QoS 1 messages on their way. Mosquitto's own limit: it ends an MQTT 5
connection that exceeds it, and paho cannot change its mind when CONNACK says so."""
QUEUED_MOST = 10_000
"""QoS 1 messages that wait for those; beyond it publishing fails instead of using
memory for a broker that does not answer."""
_UNSUPPORTED_VERSION = 132
_SESSION_TAKEN_OVER = 142
_SESSION = "session"
_SEND_RETAINED, _NO_RETAINED = 0, 2
_LONGEST_EXPIRY_S = 2**32 - 1
"""136 years: what fits; a longer time must not break the packet."""
_NO_PROPERTIES: dict[str, Any] = {}


class MqttVersion(enum.Enum):
    """A version of MQTT; the value is what people call it."""

    V5 = "5"
    V311 = "3.1.1"


_PROTOCOLS = {
    MqttVersion.V5: MQTTProtocolVersion.MQTTv5,
    MqttVersion.V311: MQTTProtocolVersion.MQTTv311,
}


class ClientIdentity(msgspec.Struct, frozen=True):
    """Who connects.

    Args:
        client_id: As the broker demands it.
        session: Random id of this connection.
        status_topic: Where the will says ``offline``; None for no will.
        name: For the log; empty for the client id, which should not be written
            anywhere when it is hard to guess.
    """

    client_id: str
    session: str
    status_topic: str | None
    name: str = ""

    def __repr__(self) -> str:
        """Returns the name, without the client id."""
        return f"ClientIdentity({self.name or self.client_id})"


class PahoConnection:
    """One connection; make it, ``open`` it once, await ``lost``.

    Args:
        endpoint: Where to, and the password.
        identity: Who connects.
        version: Which MQTT.
        tls: From ``endpoint.tls()``.
        deliver: Called with each message; must not raise.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        identity: ClientIdentity,
        version: MqttVersion,
        tls: ssl.SSLContext | None,
        deliver: Callable[[Message], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.session = identity.session
        self.taken_over = False
        """Whether it ended because another client connected with its client id."""
        self.mqtt5 = version is MqttVersion.V5
        self.lost: asyncio.Future[str] = loop.create_future()
        """Done when the connection has ended; why, in words."""
        self._name = identity.name or identity.client_id
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._endpoint = endpoint
        self._deliver = deliver
        self._client = _make_client(endpoint, identity, version, tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._driver = PahoLoop(
            self._client,
            period_s=max(1.0, endpoint.keepalive_s / 5),
            rest_s=endpoint.rest_s,
            failed=self._fail,
        )
        self._asked: dict[int, Sequence[Subscription]] = {}
        self._retry: asyncio.TimerHandle | None = None
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
        """Connects, and waits until the broker accepts.

        Raises:
            LinkRefusedError: The broker said no.
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
            raise LinkError(self._endpoint.distrust(error)) from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", "") or error
            text = f"{where} cannot be reached: {why}"
            raise LinkError(text) from error
        finally:
            if not self._accepted.done() or self._accepted.cancelled():
                self.abort()  # the caller no longer waits for this connection

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Asks for filters; those the broker refuses are asked for again, for ever."""
        if subscriptions and not self.lost.done():
            self._last_sent = (subscriptions[0].filter, time.monotonic())
            self._ask(subscriptions)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: Properties | None = None,
    ) -> int:
        """Sends now; returns the packet's number.

        Args:
            topic: Full topic.
            payload: Its size was checked already.
            qos: 0 or 1.
            retain: Whether the broker stores it.
            properties: From ``publish_properties``; ignored on 3.1.1.

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
        # Before: paho may write, and call back, within the call.
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
        """Ends with DISCONNECT, so that the will is not published.

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
        """Cuts the connection, if there still is one: the will is published."""
        self._accepted.cancel()
        sock = self._client.socket()
        self._driver.detach()
        if sock is not None:
            sock.close()
        self._end("cut")

    def pause(self) -> None:
        """Sends and reads nothing, not even keepalive; the connection stays open."""
        self._driver.pause()

    def resume(self) -> None:
        """Goes on; if the broker ended the connection meanwhile, that shows now."""
        self._driver.resume()

    def _dial(self) -> None:
        """Connects, in a thread of the executor: name look-up, TCP and TLS block."""
        endpoint = self._endpoint
        self._client.connect(endpoint.host, endpoint.port, endpoint.keepalive_s)
        sock = self._client.socket()
        if self.lost.done() and sock is not None:
            sock.close()  # the caller no longer waits for this connection

    def _ask(self, subscriptions: Sequence[Subscription]) -> None:
        """Sends one SUBSCRIBE with all of them."""
        if self.mqtt5:
            _, mid = self._client.subscribe(
                [(one.filter, _subscribe_options(one)) for one in subscriptions]
            )
        else:
            _, mid = self._client.subscribe(
                [(one.filter, one.qos) for one in subscriptions]
            )
        if mid is not None:
            self._asked[mid] = subscriptions

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
        # A user name that is not the client id's may be the reason.
        user = self._endpoint.username
        who = self._name if user in {"", self._name} else f"{self._name} as user {user}"
        text = f"the broker refused {who}: {reason}"
        version = self.mqtt5 and reason.value == _UNSUPPORTED_VERSION
        self._accepted.set_exception(LinkRefusedError(text, version=version))

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
            message = _to_message(packet)
        except UnicodeDecodeError:
            return  # the topic is not UTF-8; a broker should not have let it pass
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

    def _on_subscribe(
        self,
        _client: Client,
        _data: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = []
        for one, reason in zip(self._asked.pop(mid, ()), reasons, strict=False):
            if reason.is_failure:
                refused.append(one)
                log.warning(
                    "%s: subscription to %s refused: %s; asked again in %g s",
                    self._name,
                    one.filter,
                    reason,
                    RETRY_S,
                )
        if refused:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_S, self._ask, refused)

    def _fail(self, error: Exception) -> None:
        """Gives up a connection whose parser is out of step."""
        log.error("%s: paho failed", self._name, exc_info=error)
        self.abort()

    def _end(self, reason: str) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if not self._accepted.done():
            self._accepted.set_exception(
                SilentError(f"the broker closed the connection unasked ({reason})")
            )
        if not self.lost.done():
            topic, when = self._last_sent
            soon = time.monotonic() - when < SUSPICIOUS_S
            self.lost.set_result(f"{reason}, just after {topic}" if soon else reason)


def publish_properties(
    *,
    session: str = "",
    expiry_s: float | None = None,
    response_topic: str = "",
    correlation: bytes = b"",
) -> Properties | None:
    """Returns what MQTT 5 carries with a message; None where there is nothing."""
    if not (session or response_topic or correlation or expiry_s):
        return None
    carried = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho types no properties
    if session:
        carried.UserProperty = (_SESSION, session)
    if expiry_s:
        carried.MessageExpiryInterval = math.ceil(min(expiry_s, _LONGEST_EXPIRY_S))
    if response_topic:
        carried.ResponseTopic = response_topic
    if correlation:
        carried.CorrelationData = correlation
    return carried


def _make_client(
    endpoint: Endpoint,
    identity: ClientIdentity,
    version: MqttVersion,
    tls: ssl.SSLContext | None,
) -> BufferedClient:
    """Returns a client that has not connected yet."""
    v5 = version is MqttVersion.V5
    client = BufferedClient(
        CallbackAPIVersion.VERSION2,
        client_id=identity.client_id,
        protocol=_PROTOCOLS[version],
        clean_session=None if v5 else True,  # MQTT 5 says so when it connects
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(INFLIGHT_MOST)
    client.max_queued_messages_set(QUEUED_MOST)
    if endpoint.username:
        client.username_pw_set(endpoint.username, endpoint.password)
    if tls is not None:
        client.tls_set_context(tls)
    if identity.status_topic is not None:
        will = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # paho types no properties
        will.UserProperty = (_SESSION, identity.session)
        client.will_set(
            identity.status_topic,
            OFFLINE,
            1,
            retain=True,
            properties=will if v5 else None,
        )
    # With a hook in place paho does not write by itself, from the thread that
    # connects; the loop writes as soon as it is attached.
    client.on_socket_register_write = lambda *_: None
    return client


def _to_message(packet: MQTTMessage) -> Message:
    """Returns what arrived; this runs for every message, so it is written to be fast.

    Properties are looked up in the instance dictionary: paho's attributes are made to
    be set, and asking for one that is absent costs an exception.
    """
    properties = packet.properties
    carried = properties.__dict__ if properties is not None else _NO_PROPERTIES
    session = ""
    if "UserProperty" in carried:
        session = next((v for k, v in carried["UserProperty"] if k == _SESSION), "")
    return Message(
        packet.topic,
        packet.payload,  # type: ignore[arg-type]  # annotated wider than it is: always bytes
        packet.retain,
        packet.qos,
        session,
        carried.get("ResponseTopic", ""),
        carried.get("CorrelationData", b""),
    )


def _subscribe_options(asked: Subscription) -> SubscribeOptions:
    """Returns how MQTT 5 is asked for a filter.

    Retain-as-published tells a message that was published to be stored from one that
    was not, which is how a retained command is recognised.
    """
    return SubscribeOptions(
        qos=asked.qos,
        retainAsPublished=True,
        retainHandling=_SEND_RETAINED if asked.retained else _NO_RETAINED,
    )
