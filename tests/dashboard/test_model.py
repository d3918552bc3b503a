import pytest

from broker.client.link import Message
from broker.contract.messages import Event, EventKind, Phase, Reply, StackState, Status
from broker.contract.topics import NodeLeaf, Scope, matches
from dashboard.live.model import subscriptions
from tests.dashboard.conftest import Harness


def stack_state(number: int) -> StackState:
    return StackState(stack=number, name=f"Stack {number}", x=0, y=0, slots=4)


def test_a_node_is_known_by_what_is_said_about_it(harness: Harness) -> None:
    record = harness.node()

    assert record.name == "s01n1"
    assert record.beat is not None
    assert record.heard_at == harness.now


@pytest.mark.parametrize(
    "payload",
    [b"{", b"\xff\xfe", b"NaN", b'{"session":1}', b"[]", b"x" * 20_000],
)
@pytest.mark.parametrize("leaf", [NodeLeaf.HEARTBEAT, NodeLeaf.DETAILS, NodeLeaf.STATE])
def test_rubbish_is_counted_and_changes_nothing(
    harness: Harness, payload: bytes, leaf: NodeLeaf
) -> None:
    record = harness.node()
    before = (record.beat, record.state, record.details)

    harness.say(harness.topics.node("pi-1", leaf), payload, retain=False)

    assert (record.beat, record.state, record.details) == before
    assert harness.model.rejections.total == 1


def test_rubbish_about_a_new_node_does_not_make_one(harness: Harness) -> None:
    harness.say(harness.topics.node("pi-9", NodeLeaf.DETAILS), b"rubbish")

    assert harness.model.nodes == {}
    assert harness.model.moved == set()


def test_a_topic_outside_the_contract_is_counted(harness: Harness) -> None:
    harness.say("pirack/v1/lab/node/pi-1/nonsense/x", b"1")

    assert harness.model.rejections.counts == {"message": 1}


def test_a_retained_heartbeat_is_refused_for_it_is_old(harness: Harness) -> None:
    record = harness.node()
    harness.now += 60

    topic = harness.topics.node("pi-1", NodeLeaf.HEARTBEAT)
    harness.model.apply(Message(topic, b"{}", retain=True), harness.now)

    assert record.heard_at == harness.now - 60
    assert harness.model.rejections.counts == {"heartbeat": 1}


def test_a_heartbeat_after_a_late_will_is_a_sign_of_life(harness: Harness) -> None:
    harness.node()
    harness.say(harness.topics.node("pi-1", NodeLeaf.STATUS), "offline")

    harness.beat(1, seq=2)

    assert harness.model.nodes["pi-1"].status is Status.ONLINE


def test_a_node_is_gone_when_all_its_retained_topics_are_cleared(
    harness: Harness,
) -> None:
    record = harness.node()

    for leaf in (NodeLeaf.STATE, NodeLeaf.STATUS, NodeLeaf.DETAILS):
        harness.say(harness.topics.node("pi-1", leaf), b"")

    assert harness.model.nodes == {}
    assert harness.model.gone == {record.index}


def test_what_the_broker_no_longer_knows_is_dropped_after_an_outage(
    harness: Harness,
) -> None:
    harness.node(1)
    harness.node(2)

    harness.model.connection_made()
    harness.beat(1)
    harness.model.drop_unconfirmed()

    assert list(harness.model.nodes) == ["pi-1"]


def test_a_stack_the_rack_lost_while_we_were_away_is_dropped(harness: Harness) -> None:
    for stack in (1, 2):
        harness.say(harness.topics.stack(stack), stack_state(stack))
    harness.model.connection_made()
    harness.say(harness.topics.stack(1), stack_state(1))

    harness.model.drop_unconfirmed()

    assert harness.model.stacks.keys() == {1}
    assert 2 in harness.model.stacks_changed


def test_a_reply_is_handed_on(harness: Harness) -> None:
    reply = Reply(id="1", verb="ping", scope="rack", phase=Phase.DONE)
    topic = harness.topics.reply(Scope.parse("rack"), "ping")

    message = Message(topic, b'{"id":"1","verb":"ping","scope":"rack","phase":"done"}')

    assert harness.model.apply(message, 0) == reply


def test_a_retained_event_or_reply_is_history_and_not_shown(harness: Harness) -> None:
    harness.say(harness.topics.event, b'{"seq":1,"ts":1,"kind":"fault","text":"x"}')

    assert not harness.model.events


def line(seq: int) -> Event:
    return Event(seq=seq, ts=float(seq), kind=EventKind.COMMAND, text=f"line {seq}")


def test_recalled_lines_stand_before_those_heard_live(harness: Harness) -> None:
    harness.event(10)

    harness.model.recall([line(8), line(9), line(10)])

    assert [event.seq for event in harness.model.events] == [8, 9, 10]
    assert harness.model.events[-1].text == "something"


def test_only_lines_that_were_missed_are_told_to_the_tabs(harness: Harness) -> None:
    harness.event(10)
    harness.model.new_events.clear()

    harness.model.recall([line(9), line(10)])
    harness.model.recall([line(9), line(10)])

    assert [event.seq for event in harness.model.new_events] == [9]


def test_recalling_more_than_is_kept_keeps_the_newest(harness: Harness) -> None:
    harness.model.recall([line(seq) for seq in range(1, 401)])

    kept = [event.seq for event in harness.model.events]

    assert kept == list(range(101, 401))


def test_presence_of_the_master_is_plain_text(harness: Harness) -> None:
    harness.say(harness.topics.master_status, "online")
    assert harness.model.master is Status.ONLINE
    harness.say(harness.topics.master_status, "maybe")
    assert harness.model.master is Status.ONLINE
    assert harness.model.rejections.total == 1


def test_the_filters_do_not_overlap(harness: Harness) -> None:
    topics = [
        harness.topics.node("pi-1", NodeLeaf.HEARTBEAT),
        harness.topics.node("pi-1", NodeLeaf.STATE),
        harness.topics.stack(3),
        harness.topics.rack_state,
        harness.topics.master_status,
        harness.topics.event,
        harness.topics.reply(Scope.parse("node/pi-1"), "ping"),
        harness.topics.reply(Scope.parse("rack"), "ping"),
    ]
    filters = [each.filter for each in subscriptions(harness.topics)]

    for topic in topics:
        assert sum(matches(each, topic) for each in filters) == 1, topic
