"""A broker, an agent that may be started, and an observer."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.mosquitto import OpenMosquitto
from tests.system.agent.process import Agent, Observer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OpenMosquitto]:
    broker = OpenMosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def agent(tmp_path: Path, broker: OpenMosquitto) -> Iterator[Agent]:
    agent = Agent(tmp_path, broker.port)
    yield agent
    agent.stop()


@pytest.fixture
async def observer(broker: OpenMosquitto) -> AsyncIterator[Observer]:
    observer = Observer(broker.port)
    await observer.link.start()
    assert await observer.link.wait_connected(30)
    yield observer
    await observer.link.stop()
