"""What every link and every broker must do, whichever they are."""

import pytest

from broker.client.link import BreakableLink, Subscription
from broker.common.errors import NotConnectedError, PayloadError
from broker.contract.messages import MAX_PAYLOAD_BYTES
from broker.contract.topics import Topics
from tests.contract.brokers import AnyBroker, Recorder

P = Topics("lab").prefix
STATUS = f"{P}/node/pi-1/status"
DETAILS = f"{P}/node/pi-1/details"
ALL_STATUS = Subscription(f"{P}/node/+/status", qos=1)
EVERYTHING = Subscription(f"{P}/#", qos=1)
ORDER = f"{P}/node/pi-1/order"


async def up(broker: AnyBroker, *links: BreakableLink) -> None:
    for link in links:
        await link.start()
        assert await link.wait_connected(30)
    await broker.quiet()


async def test_a_stored_message_reaches_who_subscribes_later(
    broker: AnyBroker,
) -> None:
    first, late = Recorder(), Recorder()
    writer = broker.link(first, "node")
    await up(broker, writer)
    writer.publish(DETAILS, b"here", qos=1, retain=True)
    await broker.quiet()
    await up(broker, broker.link(late, "late", [EVERYTHING]))
    await broker.until(lambda: late.payloads(DETAILS) == [b"here"])
    assert late.messages[0].retain


async def test_the_address_that_reaches_the_broker_is_known_while_connected(
    broker: AnyBroker,
) -> None:
    link = broker.link(Recorder(), "node")
    assert link.local_address == ""
    await up(broker, link)
    assert link.local_address == "127.0.0.1"
    await link.stop()
    assert link.local_address == ""


async def test_an_empty_stored_message_clears_the_topic(broker: AnyBroker) -> None:
    late = Recorder()
    writer = broker.link(Recorder(), "node")
    await up(broker, writer)
    writer.publish(DETAILS, b"here", qos=1, retain=True)
    writer.publish(DETAILS, b"", qos=1, retain=True)
    await up(broker, broker.link(late, "late", [EVERYTHING]))
    await broker.quiet()
    assert late.messages == []


async def test_wildcards_match_one_level_or_all_below(broker: AnyBroker) -> None:
    one, below = Recorder(), Recorder()
    writer = broker.link(Recorder(), "node")
    plus = Subscription(f"{P}/node/+/heartbeat")
    hash_ = Subscription(f"{P}/node/#")
    await up(
        broker,
        writer,
        broker.link(one, "watcher", [plus]),
        broker.link(below, "late", [hash_]),
    )
    for topic in ("node/a/heartbeat", "node/a/b/heartbeat", "rack/state", "node"):
        writer.publish(f"{P}/{topic}", b"x")
    await broker.until(lambda: len(below.messages) == 3 and one.messages)
    await broker.quiet()
    assert [m.topic for m in one.messages] == [f"{P}/node/a/heartbeat"]
    assert f"{P}/rack/state" not in [m.topic for m in below.messages]


async def test_online_is_said_at_connecting_and_tagged_with_the_session(
    broker: AnyBroker,
) -> None:
    watcher, node = Recorder(), Recorder()
    await up(broker, broker.link(watcher, "watcher", [ALL_STATUS]))
    link = broker.link(node, "node", status_topic=STATUS)
    await up(broker, link)
    await broker.until(lambda: watcher.payloads(STATUS) == [b"online"])
    assert node.sessions == [link.session]
    assert watcher.messages[0].session == (link.session if broker.v5 else "")


async def test_a_connection_that_dies_leaves_offline_behind_with_its_session(
    broker: AnyBroker,
) -> None:
    watcher, late = Recorder(), Recorder()
    await up(broker, broker.link(watcher, "watcher", [ALL_STATUS]))
    link = broker.link(Recorder(), "node", status_topic=STATUS)
    await up(broker, link)
    session = link.session
    link.abort()
    await broker.until(lambda: watcher.payloads(STATUS) == [b"online", b"offline"])
    assert watcher.messages[-1].session == (session if broker.v5 else "")
    await up(broker, broker.link(late, "late", [ALL_STATUS]))
    await broker.until(lambda: late.payloads(STATUS) == [b"offline"])


async def test_a_clean_stop_says_offline_and_twice_is_fine(
    broker: AnyBroker,
) -> None:
    watcher = Recorder()
    await up(broker, broker.link(watcher, "watcher", [ALL_STATUS]))
    link = broker.link(Recorder(), "node", status_topic=STATUS)
    await up(broker, link)
    await link.stop()
    await link.stop()
    await broker.until(lambda: watcher.payloads(STATUS) == [b"online", b"offline"])
    assert not link.connected
    assert link.session == ""


async def test_somebody_elses_offline_is_answered_with_online(
    broker: AnyBroker,
) -> None:
    node, watcher = Recorder(), Recorder()
    other = broker.link(watcher, "watcher", [ALL_STATUS])
    await up(broker, other, broker.link(node, "node", status_topic=STATUS))
    other.publish(STATUS, b"offline", qos=1, retain=True)
    await broker.until(
        lambda: watcher.payloads(STATUS) == [b"online", b"offline", b"online"]
    )
    assert node.messages == [], "the link's own subscription is its own business"


async def test_a_status_topic_the_owner_subscribes_to_comes_once(
    broker: AnyBroker,
) -> None:
    node = Recorder()
    await up(broker, broker.link(node, "node", [ALL_STATUS], status_topic=STATUS))
    await broker.until(lambda: node.payloads(STATUS))
    await broker.quiet()
    assert node.payloads(STATUS) == [b"online"]


async def test_after_a_loss_it_connects_subscribes_and_tells_again(
    broker: AnyBroker,
) -> None:
    node, watcher = Recorder(), Recorder()
    link = broker.link(node, "node", [Subscription(ORDER, qos=1)], STATUS)
    node.on_up = lambda: link.publish(DETAILS, b"again", qos=1, retain=True)
    other = broker.link(watcher, "watcher", [EVERYTHING])
    await up(broker, other, link)
    await broker.kill("node")
    await broker.until(lambda: node.losses)
    await broker.reconnect("node")
    await broker.until(lambda: len(node.sessions) == 2 and link.connected)
    await broker.quiet()
    other.publish(ORDER, b"go", qos=1)
    await broker.until(lambda: node.payloads(ORDER) == [b"go"])
    assert node.sessions[0] != node.sessions[1] == link.session
    await broker.until(lambda: watcher.payloads(STATUS)[-1] == b"online")
    await broker.until(lambda: len(watcher.payloads(DETAILS)) == 2)


async def test_while_the_broker_is_down_publishing_is_refused_and_nothing_is_kept(
    broker: AnyBroker,
) -> None:
    node, watcher = Recorder(), Recorder()
    link = broker.link(node, "node")
    await up(broker, link, broker.link(watcher, "watcher", [EVERYTHING]))
    await broker.stop()
    await broker.until(lambda: node.losses and watcher.losses)
    with pytest.raises(NotConnectedError, match="not connected"):
        link.publish(ORDER, b"reboot", qos=1)
    await broker.start()
    await broker.until(lambda: len(node.sessions) == 2 and len(watcher.sessions) == 2)
    await broker.quiet()
    assert watcher.payloads(ORDER) == []


async def test_what_a_dead_connection_did_not_deliver_is_not_sent_again(
    broker: AnyBroker,
) -> None:
    node, watcher = Recorder(), Recorder()
    link = broker.link(node, "node")
    await up(broker, link, broker.link(watcher, "watcher", [EVERYTHING]))
    link.pause()  # what is sent now does not leave this machine
    link.publish(ORDER, b"reboot", qos=1)
    await broker.kill("node")
    link.resume()
    await broker.until(lambda: node.losses)
    await broker.reconnect("node")
    await broker.until(lambda: len(node.sessions) == 2)
    await broker.quiet()
    assert watcher.payloads(ORDER) == []


async def test_a_frozen_link_takes_nothing_and_goes_on_where_it_was(
    broker: AnyBroker,
) -> None:
    node, watcher = Recorder(), Recorder()
    link = broker.link(node, "node", [Subscription(ORDER, qos=1)])
    other = broker.link(watcher, "watcher")
    await up(broker, link, other)
    link.pause()
    other.publish(ORDER, b"wake up", qos=1)
    await broker.quiet()
    assert node.messages == []
    link.resume()
    await broker.until(lambda: node.payloads(ORDER) == [b"wake up"])
    assert node.losses == []


async def test_who_connects_with_the_same_id_ends_the_older_one_first(
    broker: AnyBroker,
) -> None:
    watcher, old, new = Recorder(), Recorder(), Recorder()
    older = broker.link(old, "node", status_topic=STATUS)
    await up(broker, broker.link(watcher, "watcher", [ALL_STATUS]), older)
    newer = broker.link(new, "node", status_topic=STATUS)
    await newer.start()
    await broker.until(lambda: old.losses)
    older.abort()  # it would come back and take its place again
    await broker.until(lambda: watcher.payloads(STATUS)[-2:] == [b"offline", b"online"])
    await broker.quiet()
    assert watcher.payloads(STATUS) == [b"online", b"offline", b"online"]
    assert newer.connected


async def test_a_command_published_to_be_stored_can_be_told_from_one_that_was_not(
    broker: AnyBroker,
) -> None:
    live, late = Recorder(), Recorder()
    writer = broker.link(Recorder(), "watcher")
    asked = [Subscription(ORDER, qos=1, retained=False)]
    await up(broker, writer, broker.link(live, "node", asked))
    writer.publish(ORDER, b"reboot", qos=1, retain=True)
    writer.publish(ORDER, b"ping", qos=1)
    await broker.until(lambda: live.payloads(ORDER) == [b"reboot", b"ping"])
    await up(broker, broker.link(late, "late", asked))
    await broker.quiet()
    assert [one.retain for one in live.messages] == [broker.v5, False]
    if broker.v5:
        assert late.messages == [], "not even sent"
    else:
        assert [one.retain for one in late.messages] == [True], "sent, but flagged"


async def test_an_oversize_payload_is_refused_and_the_link_lives(
    broker: AnyBroker,
) -> None:
    node = Recorder()
    link = broker.link(node, "node")
    await up(broker, link)
    with pytest.raises(PayloadError, match="16385 bytes"):
        link.publish(DETAILS, bytes(MAX_PAYLOAD_BYTES + 1), qos=1)
    link.publish(DETAILS, bytes(MAX_PAYLOAD_BYTES), qos=1)
    await broker.quiet()
    assert link.connected
    assert node.losses == []


async def test_a_listener_that_raises_is_counted_and_told_of_the_next_message(
    broker: AnyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    node = Recorder()
    link = broker.link(node, "node", [Subscription(ORDER, qos=1)])
    await up(broker, link)
    for payload in (b"raise", b"raise", b"fine"):
        link.publish(ORDER, payload, qos=1)
    await broker.until(lambda: node.payloads(ORDER)[-1:] == [b"fine"])
    assert link.listener_errors.counts == {"RuntimeError in on_message": 2}
    assert caplog.text.count("a listener that raises") == 1
    assert link.connected


async def test_response_topic_and_correlation_travel_with_mqtt_5(
    broker: AnyBroker,
) -> None:
    node = Recorder()
    link = broker.link(node, "node", [Subscription(ORDER, qos=1)])
    await up(broker, link)
    link.publish(
        ORDER, b"x", expiry_s=29.5, response_topic=f"{P}/inbox/me", correlation=b"7"
    )
    await broker.until(lambda: node.messages)
    message = node.messages[0]
    told = (message.response_topic, message.correlation)
    assert told == ((f"{P}/inbox/me", b"7") if broker.v5 else ("", b""))


async def test_waiting_for_a_broker_that_is_down_ends(broker: AnyBroker) -> None:
    await broker.stop()
    link = broker.link(Recorder(), "node")
    await link.start()
    assert not await link.wait_connected(0.05)
    await broker.start()
    await broker.until(lambda: link.connected)
    assert await link.wait_connected(30)
    await link.stop()


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_queue_that_is_full_refuses_and_the_link_lives(
    broker: AnyBroker, qos: int
) -> None:
    node, watcher = Recorder(), Recorder()
    link = broker.link(node, "node")
    await up(broker, link, broker.link(watcher, "watcher", [EVERYTHING]))
    link.pause()  # a broker that takes nothing

    def flood() -> None:
        for _ in range(11_000):
            link.publish(DETAILS, b"x", qos=qos)

    with pytest.raises(NotConnectedError, match="was not sent"):
        flood()
    link.resume()
    await broker.until(lambda: len(watcher.payloads(DETAILS)) >= 10_000)
    link.publish(ORDER, b"go", qos=1)
    await broker.until(lambda: watcher.payloads(ORDER) == [b"go"])
    assert node.losses == []


async def test_a_topic_that_is_refused_reaches_nobody_and_the_link_lives(
    broker: AnyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    node, watcher = Recorder(), Recorder()
    link = broker.link(node, "node")
    await up(broker, link, broker.link(watcher, "watcher", [EVERYTHING]))
    forbidden = broker.forbidden()
    for _ in range(100):
        link.publish(forbidden, b"x", qos=1)
    link.publish(ORDER, b"go", qos=1)
    await broker.until(lambda: watcher.payloads(ORDER) == [b"go"])
    assert {message.topic for message in watcher.messages} == {ORDER}
    assert node.losses == []
    assert caplog.text.count("elsewhere/topic refused") <= 2, "a line a second"
