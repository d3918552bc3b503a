"""Runs each test of the contract on every broker."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.common.errors import BrokerError
from tests.contract.brokers import (
    AnyBroker,
    InMemoryBroker,
    MosquittoBehindProxy,
)

BROKERS = [
    pytest.param("fake-5", id="fake broker, MQTT 5"),
    pytest.param("fake-3", id="fake broker, MQTT 3.1.1"),
    pytest.param("real-5", id="Mosquitto, MQTT 5", marks=pytest.mark.mosquitto),
    pytest.param("real-3", id="Mosquitto, MQTT 3.1.1", marks=pytest.mark.mosquitto),
]


@pytest.fixture(params=BROKERS)
async def broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[AnyBroker]:
    kind, version = request.param.split("-")
    made: AnyBroker
    if kind == "fake":
        made = InMemoryBroker(v5=version == "5")
    else:
        try:
            made = MosquittoBehindProxy(tmp_path, v5=version == "5")
        except BrokerError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        await made.begin()
    yield made
    await made.close()
