"""A plug that says other things before it says what it was asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.client.fake import FakeBroker
from broker.client.link import Message, Subscription
from broker.contract.messages import Power
from master_service.power.drivers.mqtt import MqttOutlets, resolve
from master_service.power.outlets import PowerFatalError, PowerRetryableError
from master_service.rack.settings import PlugRow, Preset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATE = "zigbee2mqtt/rack"


class Plug:
    """A plug that answers with what a test gives it."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.answers: list[bytes] = []
        row = PlugRow(preset=Preset.ZIGBEE2MQTT, device="rack", timeout_s=0.5)
        self.outlets = MqttOutlets(
            {"stack-1": resolve(row)}, connect=self.broker.connect, client_id="power"
        )
        self.link = self.broker.connect(
            self,
            client_id="plug",
            subscriptions=[Subscription(f"{STATE}/set", qos=1)],
        )

    def on_connected(self, session: str) -> None:
        pass

    def on_disconnected(self, reason: str) -> None:
        pass

    def on_message(self, message: Message) -> None:  # noqa: ARG002  # see Listener
        loop = asyncio.get_running_loop()
        for number, answer in enumerate(self.answers):
            loop.call_later(0.02 * number, self.say, answer)

    def say(self, payload: bytes, *, retain: bool = False) -> None:
        self.broker.publish(STATE, payload, qos=1, retain=retain)


@pytest.fixture
async def plug() -> AsyncIterator[Plug]:
    made = Plug()
    await made.link.start()
    await made.outlets.claim("stack-1", Power.UNKNOWN)
    yield made
    await made.outlets.close()
    await made.link.stop()


@pytest.mark.parametrize(
    "first",
    [b'{"state":null}', b'{"state":""}', b'{"state":"WAIT"}', b'{"state":"OFF"}'],
)
async def test_what_comes_before_the_answer_is_waited_out(
    plug: Plug, first: bytes
) -> None:
    plug.answers = [first, b'{"state":"ON"}']
    await plug.outlets.switch("stack-1", on=True)


async def test_an_unknown_word_is_told_when_the_time_is_over(plug: Plug) -> None:
    plug.answers = [b'{"state":"1"}']
    with pytest.raises(PowerFatalError, match="says '1', not state_on"):
        await plug.outlets.switch("stack-1", on=True)


async def test_a_state_that_the_broker_kept_is_no_answer(plug: Plug) -> None:
    plug.say(b'{"state":"ON"}', retain=True)
    await plug.broker.settle()
    row = PlugRow(preset=Preset.ZIGBEE2MQTT, device="rack", timeout_s=0.2)
    later = MqttOutlets(
        {"stack-1": resolve(row)}, connect=plug.broker.connect, client_id="later"
    )
    await later.claim("stack-1", Power.UNKNOWN)
    with pytest.raises(PowerRetryableError, match="says nothing"):
        await later.read("stack-1")
    assert later.news() == set()
    await later.close()


def test_presets_that_can_be_asked_do_ask() -> None:
    row = PlugRow(preset=Preset.ZIGBEE2MQTT, device="rack")
    assert msgspec.json.decode(resolve(row).ask) == {"state": ""}
