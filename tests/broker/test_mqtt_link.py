"""The real link never gives up: when it tries again, and in which version."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.client.endpoint import Endpoint
from broker.client.link import Message
from broker.client.mqtt_link import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    STEADY_S,
    Backoff,
    VersionChoice,
    connector,
)
from broker.client.paho_connection import MqttVersion, PahoConnection
from tests.virtual_time import JumpingLoop


class Silent:
    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None: ...


def attempts_of(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often a link tries in a minute of which each attempt fails so."""
    tried = 0

    async def fail(_connection: PahoConnection) -> None:
        nonlocal tried
        tried += 1
        raise error

    async def minute() -> None:
        link = connector(Endpoint(port=1))(Silent(), client_id="x", subscriptions=())
        await link.start()
        await asyncio.sleep(60)
        await link.stop()

    # What fails is the machine (no thread left, no memory), which no fake stands for.
    monkeypatch.setattr(PahoConnection, "open", fail)
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


def longest(_: object = None) -> float:
    return 1.0


def test_waits_double_up_to_the_cap() -> None:
    backoff = Backoff(longest, first_s=0.5, cap_s=4.0)
    assert [backoff.after(0) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_the_shortest_wait_is_half_of_the_longest() -> None:
    backoff = Backoff(lambda: 0.0, first_s=0.5, cap_s=4.0)
    assert [backoff.after(0) for _ in range(5)] == [0.25, 0.5, 1.0, 2.0, 2.0]


def test_a_connection_that_lived_a_while_starts_over() -> None:
    backoff = Backoff(longest)
    for _ in range(10):
        backoff.after(0)
    assert backoff.after(STEADY_S) == FIRST_WAIT_S


def test_two_clients_that_throw_each_other_out_slow_down() -> None:
    backoff = Backoff(longest)
    waits = [backoff.after(STEADY_S / 2) for _ in range(10)]
    assert waits[-1] == LONGEST_WAIT_S


@given(st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_after_an_outage_everyone_is_back_within_5_s(dice: list[float]) -> None:
    """However the dice fall, no wait that begins in an outage is longer than this."""
    backoff = Backoff(iter(dice).__next__)
    assert max(backoff.after(0) for _ in dice) <= LONGEST_WAIT_S < 5.0


def test_version_5_is_spoken_until_the_broker_refuses_it() -> None:
    choice = VersionChoice()
    assert choice.current.value == "5"
    choice.refused()
    assert choice.current.value == "3.1.1"
    choice.ended()
    assert choice.current.value == "3.1.1", "it said so itself"


def test_a_broker_that_dies_while_we_connect_is_no_reason_to_step_down() -> None:
    choice = VersionChoice()
    choice.silent()
    assert choice.current.value == "5"


@pytest.mark.parametrize("times", [2, 5])
def test_silence_steps_down_only_for_as_long_as_that_works(times: int) -> None:
    choice = VersionChoice()
    for _ in range(times):
        choice.silent()
    assert choice.current.value == "3.1.1"
    choice.ended()
    assert choice.current.value == "5"


def test_a_link_may_be_told_to_speak_the_older_version_only() -> None:
    choice = VersionChoice(mqtt5=False)
    choice.ended()
    assert choice.current is MqttVersion.V311
