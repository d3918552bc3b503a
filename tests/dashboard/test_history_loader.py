"""A fresh page asks for what happened before; again when it may have missed some."""

from itertools import count

import pytest

from broker.client.fake import FakeBroker
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
from broker.contract.topics import Topics
from dashboard.live.model import RackModel
from dashboard.live.service import LINES, PATIENCE_S, HistoryLoader
from tests.dashboard.conftest import Deaf

LINE = Event(seq=7, ts=1.0, kind=EventKind.SERVICE, text="master started")


class Question:
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
async def desk() -> Question:
    desk = Question()
    await desk.open()
    return desk


async def test_it_asks_the_rack_for_its_latest_lines_once(desk: Question) -> None:
    for _ in range(3):
        desk.past.tick()
    desk.answer(1)
    desk.now += 10 * PATIENCE_S
    desk.past.tick()

    (command,) = desk.asked
    assert command.args == (f"limit={LINES}",)
    assert desk.broker.published[0].topic == "pirack/v1/lab/rack/cmd/events"
    assert list(desk.model.events) == [LINE]


async def test_an_unanswered_question_is_put_again_after_a_while(
    desk: Question,
) -> None:
    desk.past.tick()
    desk.now += PATIENCE_S - 0.1
    desk.past.tick()
    assert len(desk.asked) == 1

    desk.now += 0.1
    desk.past.tick()

    assert [command.id for command in desk.asked] == ["id-1", "id-2"]


@pytest.mark.parametrize("master", [None, Status.OFFLINE])
async def test_nobody_is_asked_while_no_master_is_there(
    desk: Question, master: Status | None
) -> None:
    desk.model.master = master

    desk.past.tick()

    assert desk.asked == []


async def test_nothing_is_asked_while_the_broker_is_away() -> None:
    desk = Question()

    desk.past.tick()

    assert desk.asked == []


async def test_a_master_that_came_back_is_asked_again(desk: Question) -> None:
    desk.past.tick()
    desk.answer(1)

    desk.model.master = Status.OFFLINE
    desk.past.tick()
    desk.model.master = Status.ONLINE
    desk.past.tick()

    assert len(desk.asked) == 2


async def test_a_broker_that_came_back_means_to_ask_again(desk: Question) -> None:
    desk.past.tick()
    desk.answer(1)

    desk.past.forget()
    desk.past.tick()

    assert len(desk.asked) == 2


async def test_an_answer_that_was_only_accepted_is_none_yet(desk: Question) -> None:
    desk.past.tick()
    desk.answer(1, Phase.ACCEPTED)
    desk.now += PATIENCE_S
    desk.past.tick()

    assert len(desk.asked) == 2


async def test_answers_to_other_people_are_not_taken(desk: Question) -> None:
    desk.answer(1)
    desk.past.tick()
    desk.answer(99)

    assert not desk.model.events
