"""Asking the rack: the answer, and every way there can be none."""

import asyncio
import math

import pytest

from broker.client.fake import FakeBroker
from broker.client.link import Message, Subscription
from broker.common.errors import LinkError
from broker.contract.messages import Command, Phase, Reply, TargetRow, decode, encode
from broker.contract.topics import Scope, Topics
from pirack.ask import NoAnswerError, Patience, Question, ask
from pirack.receipt import Receipt

TOPICS = Topics("lab")
STACK = Scope.parse("stack/3")
SHORT = Patience(connect_s=0.01, status_s=0.01, first_s=0.01, whole_s=0.02)
LONG = Patience()


class Answerer:
    """A master that answers every command with the replies it was given.

    Args:
        broker: Where.
        replies: What it says; the id is put in.
    """

    def __init__(self, broker: FakeBroker, *replies: Reply) -> None:
        self.broker = broker
        self.replies = replies
        self.asked: list[Command] = []

    async def start(self, status_topic: str | None = TOPICS.master_status) -> None:
        link = self.broker.connect(
            self,
            client_id="master",
            subscriptions=[
                Subscription(f"{TOPICS.prefix}/+/+/cmd/+"),
                Subscription(f"{TOPICS.prefix}/sim/cmd/+"),
            ],
            status_topic=status_topic,
        )
        await link.start()
        await self.broker.settle()

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        command = decode(message.payload, Command)
        self.asked.append(command)
        topic = message.topic.replace("/cmd/", "/reply/")
        for one in self.replies:
            said = encode(one).replace(b'"?"', f'"{command.id}"'.encode())
            self.broker.publish(topic, said, qos=1)


def reply(phase: Phase, *names: str, ok: bool | None = None) -> Reply:
    rows = tuple(TargetRow(node=name, name=name, phase=phase) for name in names)
    return Reply(id="?", verb="ping", scope="stack/3", phase=phase, ok=ok, targets=rows)


def question(scope: Scope = STACK) -> Question:
    return Question(scope=scope, verb="ping", command=Command(id="abc", by="me"))


def nothing(receipt: Receipt, rows: tuple[TargetRow, ...]) -> None:
    del receipt, rows


async def test_the_receipt_is_complete_after_the_final_reply() -> None:
    broker = FakeBroker()
    master = Answerer(
        broker, reply(Phase.ACCEPTED), reply(Phase.DONE, "s03n1", "s03n2", ok=True)
    )
    await master.start()
    seen: list[str] = []
    receipt = await ask(
        broker.connect,
        TOPICS,
        question(),
        patience=LONG,
        progress=lambda _, rows: seen.extend(row.name for row in rows),
    )
    assert receipt.ok
    assert seen == ["s03n1", "s03n2"]
    assert master.asked[0].by == "me"


async def test_nothing_is_sent_while_the_master_is_offline() -> None:
    broker = FakeBroker()
    broker.publish(TOPICS.master_status, b"offline", retain=True)
    with pytest.raises(NoAnswerError, match="the master is offline: nothing was sent"):
        await ask(broker.connect, TOPICS, question(), patience=SHORT, progress=nothing)
    assert not broker.sent(f"{TOPICS.prefix}/stack/3/cmd/ping")


async def test_a_rack_that_never_had_a_master_is_named_as_such() -> None:
    with pytest.raises(NoAnswerError, match="no master has ever been"):
        await ask(
            FakeBroker().connect, TOPICS, question(), patience=SHORT, progress=nothing
        )


async def test_a_master_that_says_nothing_is_not_waited_for_longer_than_told() -> None:
    broker = FakeBroker()
    await Answerer(broker).start()
    with pytest.raises(NoAnswerError, match=r"nothing answered within 0\.01 s"):
        await ask(broker.connect, TOPICS, question(), patience=SHORT, progress=nothing)


async def test_a_receipt_that_stays_unfinished_is_returned_as_it_is() -> None:
    broker = FakeBroker()
    await Answerer(broker, reply(Phase.ACCEPTED, "s03n1")).start()
    receipt = await ask(
        broker.connect, TOPICS, question(), patience=SHORT, progress=nothing
    )
    assert receipt.answered
    assert not receipt.complete


async def test_a_broker_that_is_down_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    with pytest.raises(LinkError):
        await ask(broker.connect, TOPICS, question(), patience=SHORT, progress=nothing)


async def test_the_simulator_is_asked_without_a_master() -> None:
    broker = FakeBroker()
    simulator = Answerer(broker, reply(Phase.DONE, ok=True))
    await simulator.start(status_topic=None)
    receipt = await ask(
        broker.connect,
        TOPICS,
        question(Scope.parse("sim")),
        patience=LONG,
        progress=nothing,
    )
    assert receipt.ok


async def test_an_answer_that_goes_on_is_waited_for_beyond_the_quiet_time() -> None:
    broker = FakeBroker()
    master = Answerer(broker, reply(Phase.ACCEPTED))
    await master.start()

    async def work() -> None:
        said = [Phase.RUNNING] * 5 + [Phase.DONE]
        for phase in said:
            await asyncio.sleep(0.1)
            one = reply(phase, "s03n1", ok=phase is Phase.DONE or None)
            payload = encode(one).replace(b'"?"', f'"{master.asked[0].id}"'.encode())
            broker.publish(TOPICS.reply(STACK, "ping"), payload, qos=1)

    working = asyncio.ensure_future(work())
    patience = Patience(whole_s=math.inf, quiet_s=0.3)
    question = Question(scope=STACK, verb="ping", command=Command(id="q1"))
    receipt = await ask(
        broker.connect, TOPICS, question, patience=patience, progress=lambda *_: None
    )
    await working
    assert receipt.complete
