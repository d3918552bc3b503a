"""Makes the paho client of one connection."""

import ssl

import msgspec
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from broker.client.endpoint import Endpoint
from broker.client.presence import OFFLINE
from broker.client.reconnect import Version
from broker.client.wire import packets
from broker.client.wire.buffered import BufferedClient

CONNECT_TIMEOUT_S = 5.0
INFLIGHT_MOST = 20
"""Unacknowledged QoS 1 messages on their way. Mosquitto's own limit: it ends an MQTT 5
connection that exceeds it, and paho cannot change its mind when CONNACK says so."""
QUEUED_MOST = 10_000
"""QoS 1 messages that wait for those; beyond it publishing fails instead of eating
memory for a broker that does not answer."""
_PROTOCOLS = {
    Version.V5: MQTTProtocolVersion.MQTTv5,
    Version.V311: MQTTProtocolVersion.MQTTv311,
}


class Identity(msgspec.Struct, frozen=True):
    """Who connects.

    Args:
        client_id: As the broker demands it.
        session: Random id of this connection.
        status_topic: Where the will says ``offline``; None for no will.
        name: What it is called in the log; empty for its client id, which should not
            be written anywhere when it is hard to guess.
    """

    client_id: str
    session: str
    status_topic: str | None
    name: str = ""

    def __repr__(self) -> str:
        """Return the name, without the client id."""
        return f"Identity({self.name or self.client_id})"


def make_client(
    endpoint: Endpoint, identity: Identity, version: Version, tls: ssl.SSLContext | None
) -> BufferedClient:
    """Return a client that has not connected yet.

    Args:
        endpoint: Where to, and the password.
        identity: Who.
        version: Which MQTT.
        tls: From ``endpoint.tls()``.
    """
    v5 = version is Version.V5
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
        properties = packets.for_will(identity.session) if v5 else None
        client.will_set(
            identity.status_topic, OFFLINE, 1, retain=True, properties=properties
        )
    # With a hook in place paho does not write by itself, from the thread that
    # connects; the loop writes as soon as it is attached.
    client.on_socket_register_write = lambda *_: None
    return client
