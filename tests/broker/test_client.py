"""The real link when what it runs on fails: it never gives up, and says why."""

import asyncio
import logging

import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import Message
from broker.client.mqtt_link import connector
from broker.client.wire.connection import Connection
from tests.virtual_time import JumpingLoop


class Silent:
    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None: ...


def attempts_of(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often a link tries in a minute of which each attempt fails so."""
    tried = 0

    async def fail(_connection: Connection) -> None:
        nonlocal tried
        tried += 1
        raise error

    async def minute() -> None:
        link = connector(Endpoint(port=1))(Silent(), client_id="x", subscriptions=())
        await link.start()
        await asyncio.sleep(60)
        await link.stop()

    # What fails is the machine (no thread left, no memory), which no fake stands for.
    monkeypatch.setattr(Connection, "open", fail)
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(minute())
    return tried


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        ValueError("a will that paho does not take"),
        MemoryError(),
        KeyError("a bug"),
    ],
    ids=repr,
)
def test_a_link_tries_again_whatever_an_attempt_raises(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert attempts_of(error, monkeypatch) > 10
    lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert 1 <= len(lines) <= 5, "said, and not once a second"
