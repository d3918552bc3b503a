"""Asks a broker for filters, and again for those it refuses."""

import asyncio
import logging
from collections.abc import Sequence

from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.client.link import Subscription
from broker.client.reconnect import Version
from broker.client.wire import packets

log = logging.getLogger(__name__)

RETRY_S = 5.0
"""NATS refuses QoS 1 filters for 15 to 25 s after it lost a server, then takes them."""


class Filters:
    """The subscriptions of one connection.

    Args:
        client: The connection.
        who: Its client id, for the log.
        version: Which MQTT it speaks.
    """

    def __init__(self, client: Client, who: str, version: Version) -> None:
        self._client = client
        self._who = who
        self._v5 = version is Version.V5
        self._asked: dict[int, tuple[Subscription, ...]] = {}
        self._retry: asyncio.TimerHandle | None = None
        client.on_subscribe = self._on_subscribe

    def ask(self, subscriptions: Sequence[Subscription]) -> None:
        """Send one SUBSCRIBE with all of them."""
        if self._v5:
            _, mid = self._client.subscribe(
                [(one.filter, packets.options(one)) for one in subscriptions]
            )
        else:
            _, mid = self._client.subscribe(
                [(one.filter, one.qos) for one in subscriptions]
            )
        if mid is not None:
            self._asked[mid] = tuple(subscriptions)

    def stop(self) -> None:
        """Ask no more."""
        if self._retry is not None:
            self._retry.cancel()

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
                    self._who,
                    one.filter,
                    reason,
                    RETRY_S,
                )
        if refused:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_S, self.ask, refused)
