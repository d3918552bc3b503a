"""Plugs of four makes on a broker in memory and on a real Mosquitto."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from broker.client.endpoint import Endpoint
from broker.client.fake import FakeBroker
from broker.client.mqtt_link import connector
from broker.contract.messages import Power
from master_service.power.drivers.mqtt import CONNECT_S, MqttOutlets, resolve
from master_service.power.outlets import PowerFatalError, PowerRetryableError
from tests.ports import free_port
from tests.system.power.plugs import HASTE_S, MAKES, EspHome, Make, SimulatedPlug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from broker.client.link import BreakableConnect
    from master_service.rack.settings import PlugRow

pytestmark = pytest.mark.system

OUTLET = "stack-1"
DEADLINE_S = 20.0
"""Less than a driver waits for a plug: what ends within it did not wait for one."""


class Bench:
    """One plug, and the driver that is to switch it."""

    def __init__(self, connect: BreakableConnect, make: Make) -> None:
        self.plug = SimulatedPlug(make, connect, "the-plug")
        self._connect = connect
        self.outlets = self._driver(make.row())

    def _driver(self, row: PlugRow) -> MqttOutlets:
        plugs = {OUTLET: resolve(row)}
        return MqttOutlets(plugs, connect=self._connect, client_id="power")

    async def hurry(self) -> None:
        """Go on with a driver that soon gives a plug up."""
        await self.outlets.close()
        row = msgspec.structs.replace(self.plug.make.row(), timeout_s=HASTE_S)
        self.outlets = self._driver(row)
        await self.outlets.claim(OUTLET, Power.ON)

    async def begin(self) -> None:
        await self.plug.link.start()
        assert await self.plug.link.wait_connected(30)
        await self.outlets.claim(OUTLET, Power.UNKNOWN)
        assert await self.outlets.read(OUTLET) is Power.ON

    async def gone(self) -> None:
        """The plug loses its power: the broker says so by its will."""
        await self.cut()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await self.outlets.claim(OUTLET, Power.ON)
                except PowerRetryableError:
                    return
                await asyncio.sleep(0.01)

    async def cut(self) -> None:
        self.plug.announce(there=False)
        await asyncio.sleep(0.1)  # let it leave before the cut
        self.plug.link.abort()

    async def end(self) -> None:
        await self.outlets.close()
        await self.plug.link.stop()


@pytest.fixture(
    params=["fake broker", pytest.param("Mosquitto", marks=pytest.mark.mosquitto)]
)
def connect(request: pytest.FixtureRequest) -> BreakableConnect:
    if request.param == "fake broker":
        return FakeBroker().connect
    return connector(Endpoint(port=request.getfixturevalue("mosquitto_port")))


@pytest.fixture(params=MAKES, ids=lambda make: make.__name__)
async def bench(
    request: pytest.FixtureRequest, connect: BreakableConnect
) -> AsyncIterator[Bench]:
    make: Callable[[str], Make] = request.param
    # A device of its own for each test: some makes leave retained messages behind.
    made = Bench(connect, make(f"plug-{time.monotonic_ns()}"))
    await made.begin()
    yield made
    await made.end()


async def test_a_plug_is_switched_and_read_back(bench: Bench) -> None:
    for on in (False, True, False):
        await bench.outlets.switch(OUTLET, on=on)
        assert bench.plug.on is on
        expected = Power.ON if on else Power.OFF
        assert await bench.outlets.read(OUTLET) is expected
    assert bench.plug.moves == 3


async def test_a_press_on_its_button_is_read(bench: Bench) -> None:
    bench.plug.press()
    async with asyncio.timeout(DEADLINE_S):
        while await bench.outlets.read(OUTLET) is Power.ON:  # noqa: ASYNC110  # a message is on its way
            await asyncio.sleep(0.01)
    assert bench.plug.moves == 0


async def test_only_what_nobody_asked_for_is_news(bench: Bench) -> None:
    await bench.outlets.switch(OUTLET, on=False)
    bench.outlets.news()
    assert not bench.outlets.news()
    bench.plug.press()
    async with asyncio.timeout(DEADLINE_S):
        while not (told := bench.outlets.news()):  # noqa: ASYNC110  # a message is on its way
            await asyncio.sleep(0.01)
    assert told == {OUTLET}
    assert await bench.outlets.read(OUTLET) is Power.ON
    assert not bench.outlets.news()


async def test_a_plug_that_is_gone_is_told_at_once_and_worth_another_attempt(
    bench: Bench,
) -> None:
    await bench.gone()
    async with asyncio.timeout(DEADLINE_S):
        for attempt in (
            bench.outlets.switch(OUTLET, on=False),
            bench.outlets.read(OUTLET),
        ):
            with pytest.raises(PowerRetryableError, match="the plug is not there"):
                await attempt
    assert bench.plug.on


async def test_a_plug_that_comes_back_works_again(bench: Bench) -> None:
    await bench.gone()
    bench.plug.link.resume()
    await bench.plug.link.stop()
    await bench.plug.link.start()
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await bench.outlets.switch(OUTLET, on=False)
            except PowerRetryableError:
                await asyncio.sleep(0.02)
            else:
                break
    assert bench.plug.on is False


async def test_a_plug_that_goes_while_it_is_told_is_no_success(bench: Bench) -> None:
    bench.plug.stuck = bench.plug.mute = True
    switching = asyncio.ensure_future(bench.outlets.switch(OUTLET, on=False))
    await asyncio.sleep(0.05)
    await bench.cut()
    with pytest.raises(PowerRetryableError, match="the plug is not there"):
        await switching


async def test_a_relay_that_sticks_is_not_taken_for_switched(bench: Bench) -> None:
    await bench.hurry()
    bench.plug.stuck = True
    with pytest.raises(PowerRetryableError, match="after 1 s"):
        await bench.outlets.switch(OUTLET, on=False)


async def test_words_that_mean_nothing_need_a_person(bench: Bench) -> None:
    await bench.hurry()
    _, said = bench.plug.make.state(on=True)
    for word in ("ON", "true"):
        said = said.replace(word, "BANANA" if word == "ON" else '"BANANA"')
    bench.plug.says = said
    with pytest.raises(PowerFatalError, match=r"BANANA.*state_on.*state_off"):
        await bench.outlets.switch(OUTLET, on=False)


async def test_a_plug_that_is_mute_is_not_believed(bench: Bench) -> None:
    await bench.hurry()
    bench.plug.mute = True
    if isinstance(bench.plug.make, EspHome):  # it cannot be asked: its last word stands
        assert await bench.outlets.read(OUTLET) is Power.ON
        return
    with pytest.raises(PowerRetryableError, match="says nothing on"):
        await bench.outlets.read(OUTLET)


async def test_what_was_said_before_an_outage_is_not_believed_after_it() -> None:
    """Nobody saw whether somebody pressed its button; this make cannot be asked."""
    broker = FakeBroker()
    bench = Bench(broker.connect, EspHome("plug"))
    await bench.begin()
    await bench.hurry()
    bench.plug.mute = True
    broker.stop()
    broker.start(keep_retained=False)
    await broker.settle()
    with pytest.raises(PowerRetryableError, match="says nothing on"):
        await bench.outlets.read(OUTLET)
    await bench.end()


@pytest.mark.mosquitto
async def test_without_their_broker_many_plugs_cost_one_wait() -> None:
    plug = resolve(MAKES[0]("plug").row())
    names = [f"stack-{number}" for number in range(1, 13)]
    outlets = MqttOutlets(
        dict.fromkeys(names, plug),
        connect=connector(Endpoint(port=free_port())),
        client_id="power",
    )
    started = time.monotonic()
    for name in names:
        with pytest.raises(PowerRetryableError, match="cannot be reached"):
            await outlets.claim(name, Power.ON)
    assert time.monotonic() - started < 4 * CONNECT_S
    await outlets.close()
