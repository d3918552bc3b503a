import pytest

from broker.client.link import Message
from broker.contract.messages import Event, EventKind, Phase, Reply, StackState, Status
from broker.contract.topics import NodeLeaf, Scope, matches
from dashboard.live.model import subscriptions
from tests.dashboard.conftest import Bench


def stack_state(number: int) -> StackState:
    return StackState(stack=number, name=f"Stack {number}", x=0, y=0, slots=4)


def test_a_node_is_known_by_what_is_said_about_it(bench: Bench) -> None:
    record = bench.node()

    assert record.name == "s01n1"
    assert record.beat is not None
    assert record.heard_at == bench.now


@pytest.mark.parametrize(
    "payload",
    [b"{", b"\xff\xfe", b"NaN", b'{"session":1}', b"[]", b"x" * 20_000],
)
@pytest.mark.parametrize("leaf", [NodeLeaf.HEARTBEAT, NodeLeaf.DETAILS, NodeLeaf.STATE])
def test_rubbish_is_counted_and_changes_nothing(
    bench: Bench, payload: bytes, leaf: NodeLeaf
) -> None:
    record = bench.node()
    before = (record.beat, record.state, record.details)

    bench.say(bench.topics.node("pi-1", leaf), payload, retain=False)

    assert (record.beat, record.state, record.details) == before
    assert bench.model.rejections.total == 1


def test_rubbish_about_a_new_node_does_not_make_one(bench: Bench) -> None:
    bench.say(bench.topics.node("pi-9", NodeLeaf.DETAILS), b"rubbish")

    assert bench.model.nodes == {}
    assert bench.model.moved == set()


def test_a_topic_outside_the_contract_is_counted(bench: Bench) -> None:
    bench.say("pirack/v1/lab/node/pi-1/nonsense/x", b"1")

    assert bench.model.rejections.counts == {"message": 1}


def test_a_retained_heartbeat_is_refused_for_it_is_old(bench: Bench) -> None:
    record = bench.node()
    bench.now += 60

    topic = bench.topics.node("pi-1", NodeLeaf.HEARTBEAT)
    bench.model.apply(Message(topic, b"{}", retain=True), bench.now)

    assert record.heard_at == bench.now - 60
    assert bench.model.rejections.counts == {"heartbeat": 1}


def test_a_heartbeat_after_a_late_will_is_a_sign_of_life(bench: Bench) -> None:
    bench.node()
    bench.say(bench.topics.node("pi-1", NodeLeaf.STATUS), "offline")

    bench.beat(1, seq=2)

    assert bench.model.nodes["pi-1"].status is Status.ONLINE


def test_a_node_is_gone_when_all_its_retained_topics_are_cleared(bench: Bench) -> None:
    record = bench.node()

    for leaf in (NodeLeaf.STATE, NodeLeaf.STATUS, NodeLeaf.DETAILS):
        bench.say(bench.topics.node("pi-1", leaf), b"")

    assert bench.model.nodes == {}
    assert bench.model.gone == {record.index}


def test_what_the_broker_no_longer_knows_is_dropped_after_an_outage(
    bench: Bench,
) -> None:
    bench.node(1)
    bench.node(2)

    bench.model.connection_made()
    bench.beat(1)
    bench.model.drop_unconfirmed()

    assert list(bench.model.nodes) == ["pi-1"]


def test_a_stack_the_rack_lost_while_we_were_away_is_dropped(bench: Bench) -> None:
    for stack in (1, 2):
        bench.say(bench.topics.stack(stack), stack_state(stack))
    bench.model.connection_made()
    bench.say(bench.topics.stack(1), stack_state(1))

    bench.model.drop_unconfirmed()

    assert bench.model.stacks.keys() == {1}
    assert 2 in bench.model.stacks_changed


def test_a_reply_is_handed_on(bench: Bench) -> None:
    reply = Reply(id="1", verb="ping", scope="rack", phase=Phase.DONE)
    topic = bench.topics.reply(Scope.parse("rack"), "ping")

    message = Message(topic, b'{"id":"1","verb":"ping","scope":"rack","phase":"done"}')

    assert bench.model.apply(message, 0) == reply


def test_a_retained_event_or_reply_is_history_and_not_shown(bench: Bench) -> None:
    bench.say(bench.topics.event, b'{"seq":1,"ts":1,"kind":"fault","text":"x"}')

    assert not bench.model.events


def line(seq: int) -> Event:
    return Event(seq=seq, ts=float(seq), kind=EventKind.COMMAND, text=f"line {seq}")


def test_recalled_lines_stand_before_those_heard_live(bench: Bench) -> None:
    bench.event(10)

    bench.model.recall([line(8), line(9), line(10)])

    assert [event.seq for event in bench.model.events] == [8, 9, 10]
    assert bench.model.events[-1].text == "something"


def test_only_lines_that_were_missed_are_told_to_the_tabs(bench: Bench) -> None:
    bench.event(10)
    bench.model.new_events.clear()

    bench.model.recall([line(9), line(10)])
    bench.model.recall([line(9), line(10)])

    assert [event.seq for event in bench.model.new_events] == [9]


def test_recalling_more_than_is_kept_keeps_the_newest(bench: Bench) -> None:
    bench.model.recall([line(seq) for seq in range(1, 401)])

    kept = [event.seq for event in bench.model.events]

    assert kept == list(range(101, 401))


def test_presence_of_the_master_is_plain_text(bench: Bench) -> None:
    bench.say(bench.topics.master_status, "online")
    assert bench.model.master is Status.ONLINE
    bench.say(bench.topics.master_status, "maybe")
    assert bench.model.master is Status.ONLINE
    assert bench.model.rejections.total == 1


def test_the_filters_do_not_overlap(bench: Bench) -> None:
    topics = [
        bench.topics.node("pi-1", NodeLeaf.HEARTBEAT),
        bench.topics.node("pi-1", NodeLeaf.STATE),
        bench.topics.stack(3),
        bench.topics.rack_state,
        bench.topics.master_status,
        bench.topics.event,
        bench.topics.reply(Scope.parse("node/pi-1"), "ping"),
        bench.topics.reply(Scope.parse("rack"), "ping"),
    ]
    filters = [each.filter for each in subscriptions(bench.topics)]

    for topic in topics:
        assert sum(matches(each, topic) for each in filters) == 1, topic
