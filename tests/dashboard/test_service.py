"""What the dashboard forgets after the broker was away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.client.fake import FakeBroker, PublishFailure
from broker.contract.topics import NodeLeaf, Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from dashboard.live.service import Dashboard
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import Users
from tests.virtual_time import Virtually

TOPICS = Topics("lab")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
async def dashboard(broker: FakeBroker, tmp_path: Path) -> AsyncIterator[Dashboard]:
    dashboard = Dashboard(
        DashboardSettings(),
        "lab",
        broker.connect,
        Users(tmp_path / "users.json"),
        publish_hint="mosquitto_pub",
        sweep_after_s=0,
    )
    await dashboard.start()
    yield dashboard
    await dashboard.stop()


async def swept(broker: FakeBroker) -> None:
    """Wait until a sweep that was due is over: it is asked for at once."""
    await broker.settle()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_ghost_goes_when_the_master_comes_after_the_broker(
    broker: FakeBroker, dashboard: Dashboard
) -> None:
    status = TOPICS.node("pi-1", NodeLeaf.STATUS)
    broker.publish(status, b"online", retain=True)
    broker.publish(TOPICS.master_status, b"offline", retain=True)
    await swept(broker)
    broker.stop()
    del broker.retained[status]
    broker.start()
    await swept(broker)
    assert list(dashboard.model.nodes) == ["pi-1"]  # nobody can tell yet

    broker.publish(TOPICS.master_status, b"online", retain=True)
    await swept(broker)

    assert dashboard.model.nodes == {}


async def _history_refused(tmp_path: Path) -> None:
    broker = FakeBroker()
    users = Users(tmp_path / "users.json")
    dashboard = Dashboard(
        DashboardSettings(), "lab", broker.connect, users, publish_hint=""
    )
    asked = TOPICS.command(Scope(ScopeKind.RACK), Verb.EVENTS)
    await dashboard.start()
    for failure in PublishFailure:
        broker.reconnect("dashboard")
        broker.publish(TOPICS.master_status, b"offline", qos=1, retain=True)
        await asyncio.sleep(3)
        broker.fail(failure, asked)
        broker.publish(TOPICS.master_status, b"online", qos=1, retain=True)
        await asyncio.sleep(3)
    broker.reconnect("dashboard")
    await broker.settle()
    before = len(broker.sent(asked))
    await asyncio.sleep(3)
    assert len(broker.sent(asked)) == before + 1
    await dashboard.stop()


def test_history_is_asked_for_again_however_the_question_was_lost(
    tmp_path: Path, virtually: Virtually
) -> None:
    virtually(_history_refused(tmp_path))
