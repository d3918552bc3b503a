"""Asking the rack: the answer, and every way there can be none."""

import asyncio
import math

import pytest

from broker.client.fake import FakeBroker
from broker.common.errors import LinkError
from broker.contract.messages import Phase, Reply, TargetRow, encode
from broker.contract.topics import Scope
from pirack.rack_client import NoAnswerError, Patience, RackClient, question
from pirack.receipt import Receipt
from tests.pirack.scripted_master import TOPICS, ScriptedMaster, reply

STACK = Scope.parse("stack/3")
SHORT = Patience(connect_s=0.01, status_s=0.01, first_s=0.01, whole_s=0.02)


def row(name: str, phase: Phase = Phase.DONE) -> TargetRow:
    return TargetRow(node=name, name=name, phase=phase)


async def ask(
    broker: FakeBroker,
    scope: Scope = STACK,
    patience: Patience = SHORT,
    seen: list[str] | None = None,
) -> Receipt:
    replies = [TOPICS.reply(scope, "ping")]
    client = RackClient(broker.connect, TOPICS, name="test", replies=replies)
    names = [] if seen is None else seen
    async with client:
        return await client.ask(
            question(scope, "ping"),
            patience=patience,
            progress=lambda _, rows: names.extend(one.name for one in rows),
        )


async def answering(broker: FakeBroker, *replies: Reply) -> ScriptedMaster:
    master = ScriptedMaster(broker.connect, lambda _: replies)
    await master.start()
    return master


async def test_the_receipt_is_complete_after_the_final_reply() -> None:
    broker, seen = FakeBroker(), list[str]()
    rows = (row("s03n1"), row("s03n2"))
    master = await answering(
        broker, reply(Phase.ACCEPTED), reply(Phase.DONE, targets=rows, ok=True)
    )
    assert (await ask(broker, patience=Patience(), seen=seen)).ok
    assert seen == ["s03n1", "s03n2"]
    assert "@" in master.asked[0][1].by
    assert broker.clients() == ["master"]


async def test_nothing_is_sent_while_the_master_is_offline() -> None:
    broker = FakeBroker()
    broker.publish(TOPICS.master_status, b"offline", retain=True)
    with pytest.raises(NoAnswerError, match="the master is offline: nothing was sent"):
        await ask(broker)
    assert not broker.sent(f"{TOPICS.prefix}/stack/3/cmd/ping")


async def test_a_rack_that_never_had_a_master_is_named_as_such() -> None:
    with pytest.raises(NoAnswerError, match="no master has ever been"):
        await ask(FakeBroker())


async def test_a_master_that_says_nothing_is_not_waited_for_longer_than_told() -> None:
    broker = FakeBroker()
    await answering(broker)
    with pytest.raises(NoAnswerError, match=r"nothing answered within 0\.01 s"):
        await ask(broker)


async def test_a_receipt_that_stays_unfinished_is_returned_as_it_is() -> None:
    broker = FakeBroker()
    await answering(broker, reply(Phase.ACCEPTED))
    receipt = await ask(broker)
    assert receipt.answered
    assert not receipt.complete


async def test_a_broker_that_is_down_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    with pytest.raises(LinkError):
        await ask(broker)


async def test_a_client_outlives_the_broker_and_asks_again() -> None:
    broker = FakeBroker()
    await answering(broker, reply(ok=True))
    replies = [TOPICS.reply(STACK, "ping")]
    client = RackClient(broker.connect, TOPICS, name="test", replies=replies)
    async with client:
        assert (await client.ask(question(STACK, "ping"))).ok
        broker.stop()
        await broker.settle()
        assert client.trouble
        with pytest.raises(LinkError):
            await client.ask(question(STACK, "ping"), patience=SHORT)
        broker.start()
        assert (await client.ask(question(STACK, "ping"))).ok
        assert (client.connections, client.trouble) == (2, "")


async def test_the_simulator_is_asked_without_a_master() -> None:
    broker = FakeBroker()
    simulator = ScriptedMaster(broker.connect, lambda _: [reply(ok=True)], None)
    await simulator.start()
    assert (await ask(broker, Scope.parse("sim"))).ok


async def test_an_answer_that_goes_on_is_waited_for_beyond_the_quiet_time() -> None:
    broker = FakeBroker()
    master = await answering(broker, reply(Phase.ACCEPTED))

    async def work() -> None:
        for phase in [Phase.RUNNING] * 5 + [Phase.DONE]:
            await asyncio.sleep(0.1)
            asked = master.asked[0][1].id
            one = reply(phase, ok=phase is Phase.DONE or None, targets=[row("s1")])
            said = encode(one).replace(b'"id":""', f'"id":"{asked}"'.encode())
            broker.publish(TOPICS.reply(STACK, "ping"), said, qos=1)

    working = asyncio.create_task(work())
    receipt = await ask(broker, patience=Patience(whole_s=math.inf, quiet_s=0.3))
    await working
    assert receipt.complete


async def test_what_is_retained_has_come_when_the_client_is_settled() -> None:
    broker = FakeBroker()
    broker.publish(TOPICS.master_status, b"online", retain=True)
    async with RackClient(broker.connect, TOPICS, name="test") as client:
        async with asyncio.timeout(5):
            await client.settle(60)
        assert client.picture.master == "online"


async def test_news_that_come_before_the_waiting_begins_are_not_lost() -> None:
    broker = FakeBroker()
    async with RackClient(broker.connect, TOPICS, name="test") as client:
        seen = client.changes
        broker.publish(TOPICS.master_status, b"online", retain=True)
        await broker.settle()
        assert await client.wait_for(lambda: client.changes > seen, 0)
