"""Ready means ready: what the broker kept from the last run counts for nothing."""

import asyncio
import time

from broker.client.fake import FakeBroker
from broker.contract.messages import (
    Heartbeat,
    MasterDetails,
    Payload,
    RackState,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from pirack.up.startup import OnlineCount, Readiness, wait

TOPICS = Topics("lab")
START = 1000.0


def rack(**totals: int) -> RackState:
    return RackState(rack="lab", totals={Verdict(one): n for one, n in totals.items()})


def master(started: float) -> MasterDetails:
    return MasterDetails(session="s", hostname="h", version="1", started=started)


def count(*said: Payload) -> OnlineCount:
    made = OnlineCount(since=START)
    for one in said:
        made.take(one)
    return made


def test_a_node_counts_when_the_new_master_judged_it() -> None:
    assert count(master(START + 1), rack(online=2)).online == 2


def test_what_the_last_master_said_does_not_count() -> None:
    assert count(master(START - 60), rack(online=2)).online == 0
    assert count(rack(online=2), master(START + 1)).online == 0


async def test_a_node_that_is_not_heard_does_not_count() -> None:
    broker = FakeBroker()
    broker.publish(TOPICS.master_details, encode(master(time.time() + 60)), retain=True)
    page = await asyncio.start_server(lambda _, out: out.close(), "127.0.0.1", 0)
    port = page.sockets[0].getsockname()[1]
    began = time.monotonic()
    waiting = asyncio.create_task(
        wait(broker.connect, TOPICS, ("127.0.0.1", port), nodes=1, began=began)
    )
    await broker.settle()
    broker.publish(TOPICS.rack_state, encode(rack(online=1)), retain=True)
    await asyncio.sleep(0.3)
    assert not waiting.done()
    beat = Heartbeat(session="s", seq=1, ts=0, uptime_s=1)
    broker.publish(TOPICS.node("a", NodeLeaf.HEARTBEAT), encode(beat))
    assert (await waiting).complete
    page.close()
    await page.wait_closed()


def test_a_node_that_is_off_on_purpose_is_not_waited_for() -> None:
    off = rack(online=1, off=4)
    assert count(off, master(START + 1)).off == 0  # said by the master of the last run
    seen = count(off, master(START + 1), off)
    assert (seen.online, seen.off) == (1, 4)
    ready = Readiness(online=1, off=4, nodes=5, page=True, took_s=2)
    assert ready.complete
    said = "Ready. 1 of 5 online, 4 off on purpose, the page answers: 2.0 s."
    assert str(ready) == said


def test_the_last_line_says_what_is_missing() -> None:
    whole = Readiness(online=5, nodes=5, page=True, took_s=3.21)
    assert str(whole) == "Ready. 5 of 5 online, the page answers: 3.2 s."
    part = Readiness(online=4, nodes=5, page=True, took_s=60)
    assert str(part).startswith("Not all is up. 4 of 5 online")
