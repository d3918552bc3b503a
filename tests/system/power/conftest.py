"""Benches for the drivers, and a Mosquitto for those that need one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint
from broker.client.fake import FakeBroker
from broker.client.mqtt_link import connector
from tests.mosquitto import OpenMosquitto
from tests.system.power.benches import (
    CommandBench,
    FakeBench,
    HolderBench,
    PinBench,
    PlugBench,
    PowerBench,
)

BENCHES = [
    "fake",
    "rpi-gpio",
    "rpi-lgpio",
    "gpiod",
    "gpiod held by pirack-powerd",
    "command",
    "mqtt, fake broker",
    pytest.param("mqtt, Mosquitto", marks=pytest.mark.mosquitto),
]


@pytest.fixture(scope="session")
def mosquitto_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Mosquitto."""
    broker = OpenMosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker.port
    broker.stop()


@pytest.fixture(params=BENCHES)
async def power_bench(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[PowerBench]:
    made: PowerBench
    match request.param:
        case "fake":
            made = FakeBench(tmp_path)
        case "command":
            made = CommandBench(tmp_path)
        case "gpiod held by pirack-powerd":
            made = HolderBench(tmp_path)
        case "mqtt, fake broker":
            made = PlugBench(FakeBroker().connect)
        case "mqtt, Mosquitto":
            port = request.getfixturevalue("mosquitto_port")
            made = PlugBench(connector(Endpoint(port=port)))
        case kind:
            made = PinBench(tmp_path, kind)
    async with asyncio.timeout(30):
        await made.begin()
        yield made
        await made.end()
