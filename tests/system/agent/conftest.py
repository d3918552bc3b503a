"""A broker, an agent that may be started, and an observer."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.system.agent.process import Agent, Broker, Observer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def agent(tmp_path: Path, broker: Broker) -> Iterator[Agent]:
    agent = Agent(tmp_path, broker.port)
    yield agent
    agent.stop()


@pytest.fixture
async def observer(broker: Broker) -> AsyncIterator[Observer]:
    observer = Observer(broker.port)
    await observer.link.start()
    assert await observer.link.wait_connected(30)
    yield observer
    await observer.link.stop()
