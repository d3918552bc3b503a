"""Ready means ready: what the broker kept from the last run counts for nothing."""

from broker.client.link import Message
from broker.contract.messages import MasterDetails, RackState, Verdict, encode
from broker.contract.topics import NodeLeaf, Topics
from pirack.up.ready import Counter, Readiness

TOPICS = Topics("lab")
START = 1000.0


def rack(online: int) -> Message:
    state = RackState(rack="lab", totals={Verdict.ONLINE: online})
    return Message(TOPICS.rack_state, encode(state))


def master(started: float) -> Message:
    details = MasterDetails(session="s", hostname="h", version="1", started=started)
    return Message(TOPICS.master_details, encode(details))


def beat(node: str) -> Message:
    return Message(TOPICS.node(node, NodeLeaf.HEARTBEAT), b"{}")


def count(*messages: Message) -> int:
    counter = Counter(TOPICS, since=START)
    for message in messages:
        counter.on_message(message)
    return counter.online


def test_a_node_counts_when_it_is_heard_and_the_new_master_judged_it() -> None:
    assert count(master(START + 1), rack(2), beat("a"), beat("b")) == 2


def test_what_the_last_master_said_does_not_count() -> None:
    assert count(master(START - 60), rack(2), beat("a"), beat("b")) == 0
    assert count(rack(2), beat("a"), beat("b"), master(START + 1)) == 0


def test_a_node_that_is_not_heard_does_not_count() -> None:
    assert count(master(START + 1), rack(2), beat("a"), beat("a")) == 1


def test_nonsense_changes_nothing() -> None:
    bad = Message(TOPICS.rack_state, b"\xff")
    assert count(master(START + 1), rack(1), beat("a"), bad) == 1


def test_a_node_that_is_off_on_purpose_is_not_waited_for() -> None:
    counter = Counter(TOPICS, since=START)
    state = RackState(rack="lab", totals={Verdict.ONLINE: 1, Verdict.OFF: 4})
    off = Message(TOPICS.rack_state, encode(state))
    counter.on_message(off)
    assert counter.off == 0  # said by the master of the last run
    for message in (master(START + 1), off, beat("a")):
        counter.on_message(message)
    assert (counter.online, counter.off) == (1, 4)
    ready = Readiness(online=1, off=4, nodes=5, page=True, took_s=2)
    assert ready.complete
    said = "Ready. 1 of 5 online, 4 off on purpose, the page answers: 2.0 s."
    assert str(ready) == said


def test_the_last_line_says_what_is_missing() -> None:
    whole = Readiness(online=5, nodes=5, page=True, took_s=3.21)
    assert str(whole) == "Ready. 5 of 5 online, the page answers: 3.2 s."
    part = Readiness(online=4, nodes=5, page=True, took_s=60)
    assert str(part).startswith("Not all is up. 4 of 5 online")
