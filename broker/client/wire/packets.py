"""What rides beside a payload: paho's properties and flags, to and from our words."""

import math
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker.client.link import Message, Subscription

_SESSION = "session"
_SEND_RETAINED = 0
_NO_RETAINED = 2
_LONGEST_EXPIRY_S = 2**32 - 1
"""136 years: what fits; who asks for more shall not break the packet."""
_BARE: dict[str, Any] = {}


def to_message(packet: MQTTMessage) -> Message:
    """Return what arrived; this runs for every message, so it is written to be fast.

    Properties are looked up in the instance dictionary: paho's attributes are made to
    be set, and asking for one that is absent costs an exception.
    """
    properties = packet.properties
    carried = properties.__dict__ if properties is not None else _BARE
    return Message(
        packet.topic,
        packet.payload,  # type: ignore[arg-type]  # annotated wider than it is: always bytes
        packet.retain,
        packet.qos,
        _session(carried["UserProperty"]) if "UserProperty" in carried else "",
        carried.get("ResponseTopic", ""),
        carried.get("CorrelationData", b""),
    )


def for_publish(
    *,
    session: str = "",
    expiry_s: float | None = None,
    response_topic: str = "",
    correlation: bytes = b"",
) -> Properties | None:
    """Return what MQTT 5 carries with a message; None where there is nothing."""
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


def for_will(session: str) -> Properties:
    """Return what MQTT 5 carries with a will."""
    carried = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # as above
    carried.UserProperty = (_SESSION, session)
    return carried


def options(asked: Subscription) -> SubscribeOptions:
    """Return how MQTT 5 is asked for a filter.

    Retain-as-published tells a message that was published to be stored from one that
    was not, which is how a retained command is found out.
    """
    return SubscribeOptions(
        qos=asked.qos,
        retainAsPublished=True,
        retainHandling=_SEND_RETAINED if asked.retained else _NO_RETAINED,
    )


def _session(pairs: list[tuple[str, str]]) -> str:
    for name, value in pairs:
        if name == _SESSION:
            return value
    return ""
