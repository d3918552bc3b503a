"""What the dashboard forgets after an outage, and when it asks for history."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from broker.client.fake import FakeBroker, PublishFailure
from broker.common.log import Rejections
from broker.contract.messages import (
    Command,
    Event,
    EventKind,
    Phase,
    Reply,
    Status,
    decode,
)
from broker.contract.topics import NodeLeaf, Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from dashboard.live.model import RackModel
from dashboard.live.service import LINES, PATIENCE_S, Dashboard, HistoryLoader
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import Users
from tests.dashboard.conftest import Deaf
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


LINE = Event(seq=7, ts=1.0, kind=EventKind.SERVICE, text="master started")


class Loader:
    """The question and answer of one dashboard, on a broker in memory."""

    def __init__(self) -> None:
        numbers = count(1)
        self.now = 0.0
        self.broker = FakeBroker()
        self.model = RackModel(Topics("lab"), Rejections("test"))
        self.model.master = Status.ONLINE
        self.past = HistoryLoader(
            Topics("lab"),
            self.model,
            clock=lambda: self.now,
            new_id=lambda: f"id-{next(numbers)}",
        )
        self.past.link = self.broker.connect(Deaf(), client_id="d", subscriptions=())

    async def open(self) -> None:
        assert self.past.link is not None
        await self.past.link.start()
        assert await self.past.link.wait_connected(1)

    @property
    def asked(self) -> list[Command]:
        return [decode(each.payload, Command) for each in self.broker.published]

    def answer(self, number: int, phase: Phase = Phase.DONE) -> None:
        reply = Reply(
            id=f"id-{number}", verb="events", scope="rack", phase=phase, events=(LINE,)
        )
        self.past.answer(reply)


@pytest.fixture
async def loader() -> Loader:
    loader = Loader()
    await loader.open()
    return loader


async def test_it_asks_the_rack_for_its_latest_lines_once(loader: Loader) -> None:
    for _ in range(3):
        loader.past.tick()
    loader.answer(1)
    loader.now += 10 * PATIENCE_S
    loader.past.tick()

    (command,) = loader.asked
    assert command.args == (f"limit={LINES}",)
    assert loader.broker.published[0].topic == "pirack/v1/lab/rack/cmd/events"
    assert list(loader.model.events) == [LINE]


async def test_an_unanswered_question_is_put_again_after_a_while(
    loader: Loader,
) -> None:
    loader.past.tick()
    loader.now += PATIENCE_S - 0.1
    loader.past.tick()
    assert len(loader.asked) == 1

    loader.now += 0.1
    loader.past.tick()

    assert [command.id for command in loader.asked] == ["id-1", "id-2"]


@pytest.mark.parametrize("master", [None, Status.OFFLINE])
async def test_nobody_is_asked_while_no_master_is_there(
    loader: Loader, master: Status | None
) -> None:
    loader.model.master = master

    loader.past.tick()

    assert loader.asked == []


async def test_nothing_is_asked_while_the_broker_is_away() -> None:
    loader = Loader()

    loader.past.tick()

    assert loader.asked == []


async def test_a_master_that_came_back_is_asked_again(loader: Loader) -> None:
    loader.past.tick()
    loader.answer(1)

    loader.model.master = Status.OFFLINE
    loader.past.tick()
    loader.model.master = Status.ONLINE
    loader.past.tick()

    assert len(loader.asked) == 2


async def test_a_broker_that_came_back_means_to_ask_again(loader: Loader) -> None:
    loader.past.tick()
    loader.answer(1)

    loader.past.forget()
    loader.past.tick()

    assert len(loader.asked) == 2


async def test_an_answer_that_was_only_accepted_is_none_yet(loader: Loader) -> None:
    loader.past.tick()
    loader.answer(1, Phase.ACCEPTED)
    loader.now += PATIENCE_S
    loader.past.tick()

    assert len(loader.asked) == 2


async def test_answers_to_other_people_are_not_taken(loader: Loader) -> None:
    loader.answer(1)
    loader.past.tick()
    loader.answer(99)

    assert not loader.model.events
