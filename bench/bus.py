"""A plain paho client for the bench's own questions, on its own thread.

Not ``broker.client.mqtt_link``: what measures us must not be made of what is measured.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.sandbox import BenchError

Arrival = tuple[float, str, bytes]
"""Monotonic time of receipt in seconds, topic, payload."""


class Bus:
    """A connection that notes everything it hears.

    Args:
        port: Of the broker on loopback.
        filters: What to subscribe to.
        username: For a broker that asks for it.
        password: Likewise.
    """

    def __init__(
        self, port: int, *filters: str, username: str = "", password: str = ""
    ) -> None:
        self._port = port
        self._filters = filters
        self._heard: list[Arrival] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5
        )
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        """Connects and subscribe."""
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._ready.wait(10):
            text = f"the broker on port {self._port} did not answer within 10 s"
            raise BenchError(text)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(
        self,
        topic: str,
        payload: bytes | str = b"",
        *,
        qos: int = 0,
        retain: bool = False,
    ) -> None:
        """Sends one message."""
        self._client.publish(topic, payload, qos=qos, retain=retain)

    def heard(self) -> list[Arrival]:
        """Returns everything heard so far, in order."""
        with self._changed:
            return list(self._heard)

    def forget(self) -> None:
        """Drops what was heard so far."""
        with self._changed:
            self._heard.clear()

    def wait(
        self, wanted: Callable[[str, bytes], object], timeout_s: float, what: str
    ) -> Arrival:
        """Returns the first message that is wanted, heard already or to come.

        Raises:
            BenchError: None came within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for arrival in self._heard[seen:]:
                    if wanted(arrival[1], arrival[2]):
                        return arrival
                seen = len(self._heard)
                if not self._changed.wait(deadline - time.monotonic()):
                    text = f"{what}: nothing heard within {timeout_s:g} s"
                    raise BenchError(text)

    def _on_connect(self, *_: Any) -> None:  # noqa: ANN401  # paho's arguments, unused
        if not self._filters:
            self._ready.set()
            return
        self._client.subscribe([(text, 1) for text in self._filters])

    def _on_subscribe(self, *_: Any) -> None:  # noqa: ANN401  # likewise
        self._ready.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        arrival = (time.monotonic(), message.topic, bytes(message.payload))
        with self._changed:
            self._heard.append(arrival)
            self._changed.notify_all()
