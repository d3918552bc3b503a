"""What every link and every broker must do, whichever they are."""

from collections.abc import Callable
from typing import Any

import pytest

from broker.client.link import BreakableLink, Subscription
from broker.common.errors import NotConnectedError, PayloadError
from broker.contract.messages import MAX_PAYLOAD_BYTES
from broker.contract.topics import Topics

P = Topics("lab").prefix
STATUS = f"{P}/node/pi-1/status"
DETAILS = f"{P}/node/pi-1/details"
ALL_STATUS = Subscription(f"{P}/node/+/status", qos=1)
EVERYTHING = Subscription(f"{P}/#", qos=1)
ORDER = f"{P}/node/pi-1/order"

Stage = Any  # the classes live in conftest, which cannot be imported
NewRecorder = Callable[[], Any]


async def up(stage: Stage, *links: BreakableLink) -> None:
    for link in links:
        await link.start()
        assert await link.wait_connected(30)
    await stage.quiet()


async def test_a_stored_message_reaches_who_subscribes_later(
    stage: Stage, recorder: NewRecorder
) -> None:
    first, late = recorder(), recorder()
    writer = stage.link(first, "node")
    await up(stage, writer)
    writer.publish(DETAILS, b"here", qos=1, retain=True)
    await stage.quiet()
    await up(stage, stage.link(late, "late", [EVERYTHING]))
    await stage.until(lambda: late.payloads(DETAILS) == [b"here"])
    assert late.messages[0].retain


async def test_the_address_that_reaches_the_broker_is_known_while_connected(
    stage: Stage, recorder: NewRecorder
) -> None:
    link = stage.link(recorder(), "node")
    assert link.local_address == ""
    await up(stage, link)
    assert link.local_address == "127.0.0.1"
    await link.stop()
    assert link.local_address == ""


async def test_an_empty_stored_message_clears_the_topic(
    stage: Stage, recorder: NewRecorder
) -> None:
    late = recorder()
    writer = stage.link(recorder(), "node")
    await up(stage, writer)
    writer.publish(DETAILS, b"here", qos=1, retain=True)
    writer.publish(DETAILS, b"", qos=1, retain=True)
    await up(stage, stage.link(late, "late", [EVERYTHING]))
    await stage.quiet()
    assert late.messages == []


async def test_wildcards_match_one_level_or_all_below(
    stage: Stage, recorder: NewRecorder
) -> None:
    one, below = recorder(), recorder()
    writer = stage.link(recorder(), "node")
    plus = Subscription(f"{P}/node/+/heartbeat")
    hash_ = Subscription(f"{P}/node/#")
    await up(
        stage,
        writer,
        stage.link(one, "watcher", [plus]),
        stage.link(below, "late", [hash_]),
    )
    for topic in ("node/a/heartbeat", "node/a/b/heartbeat", "rack/state", "node"):
        writer.publish(f"{P}/{topic}", b"x")
    await stage.until(lambda: len(below.messages) == 3 and one.messages)
    await stage.quiet()
    assert [m.topic for m in one.messages] == [f"{P}/node/a/heartbeat"]
    assert f"{P}/rack/state" not in [m.topic for m in below.messages]


async def test_online_is_said_at_connecting_and_tagged_with_the_session(
    stage: Stage, recorder: NewRecorder
) -> None:
    watcher, node = recorder(), recorder()
    await up(stage, stage.link(watcher, "watcher", [ALL_STATUS]))
    link = stage.link(node, "node", status_topic=STATUS)
    await up(stage, link)
    await stage.until(lambda: watcher.payloads(STATUS) == [b"online"])
    assert node.sessions == [link.session]
    assert watcher.messages[0].session == (link.session if stage.v5 else "")


async def test_a_connection_that_dies_leaves_offline_behind_with_its_session(
    stage: Stage, recorder: NewRecorder
) -> None:
    watcher, late = recorder(), recorder()
    await up(stage, stage.link(watcher, "watcher", [ALL_STATUS]))
    link = stage.link(recorder(), "node", status_topic=STATUS)
    await up(stage, link)
    session = link.session
    link.abort()
    await stage.until(lambda: watcher.payloads(STATUS) == [b"online", b"offline"])
    assert watcher.messages[-1].session == (session if stage.v5 else "")
    await up(stage, stage.link(late, "late", [ALL_STATUS]))
    await stage.until(lambda: late.payloads(STATUS) == [b"offline"])


async def test_a_clean_stop_says_offline_and_twice_is_fine(
    stage: Stage, recorder: NewRecorder
) -> None:
    watcher = recorder()
    await up(stage, stage.link(watcher, "watcher", [ALL_STATUS]))
    link = stage.link(recorder(), "node", status_topic=STATUS)
    await up(stage, link)
    await link.stop()
    await link.stop()
    await stage.until(lambda: watcher.payloads(STATUS) == [b"online", b"offline"])
    assert not link.connected
    assert link.session == ""


async def test_somebody_elses_offline_is_answered_with_online(
    stage: Stage, recorder: NewRecorder
) -> None:
    node, watcher = recorder(), recorder()
    other = stage.link(watcher, "watcher", [ALL_STATUS])
    await up(stage, other, stage.link(node, "node", status_topic=STATUS))
    other.publish(STATUS, b"offline", qos=1, retain=True)
    await stage.until(
        lambda: watcher.payloads(STATUS) == [b"online", b"offline", b"online"]
    )
    assert node.messages == [], "the link's own subscription is its own business"


async def test_a_status_topic_the_owner_subscribes_to_comes_once(
    stage: Stage, recorder: NewRecorder
) -> None:
    node = recorder()
    await up(stage, stage.link(node, "node", [ALL_STATUS], status_topic=STATUS))
    await stage.until(lambda: node.payloads(STATUS))
    await stage.quiet()
    assert node.payloads(STATUS) == [b"online"]


async def test_after_a_loss_it_connects_subscribes_and_tells_again(
    stage: Stage, recorder: NewRecorder
) -> None:
    node, watcher = recorder(), recorder()
    link = stage.link(node, "node", [Subscription(ORDER, qos=1)], STATUS)
    node.on_up = lambda: link.publish(DETAILS, b"again", qos=1, retain=True)
    other = stage.link(watcher, "watcher", [EVERYTHING])
    await up(stage, other, link)
    await stage.kill("node")
    await stage.until(lambda: node.losses)
    await stage.reconnect("node")
    await stage.until(lambda: len(node.sessions) == 2 and link.connected)
    await stage.quiet()
    other.publish(ORDER, b"go", qos=1)
    await stage.until(lambda: node.payloads(ORDER) == [b"go"])
    assert node.sessions[0] != node.sessions[1] == link.session
    await stage.until(lambda: watcher.payloads(STATUS)[-1] == b"online")
    await stage.until(lambda: len(watcher.payloads(DETAILS)) == 2)


async def test_while_the_broker_is_down_publishing_is_refused_and_nothing_is_kept(
    stage: Stage, recorder: NewRecorder
) -> None:
    node, watcher = recorder(), recorder()
    link = stage.link(node, "node")
    await up(stage, link, stage.link(watcher, "watcher", [EVERYTHING]))
    await stage.stop()
    await stage.until(lambda: node.losses and watcher.losses)
    with pytest.raises(NotConnectedError, match="not connected"):
        link.publish(ORDER, b"reboot", qos=1)
    await stage.start()
    await stage.until(lambda: len(node.sessions) == 2 and len(watcher.sessions) == 2)
    await stage.quiet()
    assert watcher.payloads(ORDER) == []


async def test_what_a_dead_connection_did_not_deliver_is_not_sent_again(
    stage: Stage, recorder: NewRecorder
) -> None:
    node, watcher = recorder(), recorder()
    link = stage.link(node, "node")
    await up(stage, link, stage.link(watcher, "watcher", [EVERYTHING]))
    link.pause()  # what is sent now does not leave this machine
    link.publish(ORDER, b"reboot", qos=1)
    await stage.kill("node")
    link.resume()
    await stage.until(lambda: node.losses)
    await stage.reconnect("node")
    await stage.until(lambda: len(node.sessions) == 2)
    await stage.quiet()
    assert watcher.payloads(ORDER) == []


async def test_a_frozen_link_takes_nothing_and_goes_on_where_it_was(
    stage: Stage, recorder: NewRecorder
) -> None:
    node, watcher = recorder(), recorder()
    link = stage.link(node, "node", [Subscription(ORDER, qos=1)])
    other = stage.link(watcher, "watcher")
    await up(stage, link, other)
    link.pause()
    other.publish(ORDER, b"wake up", qos=1)
    await stage.quiet()
    assert node.messages == []
    link.resume()
    await stage.until(lambda: node.payloads(ORDER) == [b"wake up"])
    assert node.losses == []


async def test_who_connects_with_the_same_id_ends_the_older_one_first(
    stage: Stage, recorder: NewRecorder
) -> None:
    watcher, old, new = recorder(), recorder(), recorder()
    older = stage.link(old, "node", status_topic=STATUS)
    await up(stage, stage.link(watcher, "watcher", [ALL_STATUS]), older)
    newer = stage.link(new, "node", status_topic=STATUS)
    await newer.start()
    await stage.until(lambda: old.losses)
    older.abort()  # it would come back and take its place again
    await stage.until(lambda: watcher.payloads(STATUS)[-2:] == [b"offline", b"online"])
    await stage.quiet()
    assert watcher.payloads(STATUS) == [b"online", b"offline", b"online"]
    assert newer.connected


async def test_a_command_published_to_be_stored_can_be_told_from_one_that_was_not(
    stage: Stage, recorder: NewRecorder
) -> None:
    live, late = recorder(), recorder()
    writer = stage.link(recorder(), "watcher")
    asked = [Subscription(ORDER, qos=1, retained=False)]
    await up(stage, writer, stage.link(live, "node", asked))
    writer.publish(ORDER, b"reboot", qos=1, retain=True)
    writer.publish(ORDER, b"ping", qos=1)
    await stage.until(lambda: live.payloads(ORDER) == [b"reboot", b"ping"])
    await up(stage, stage.link(late, "late", asked))
    await stage.quiet()
    assert [one.retain for one in live.messages] == [stage.v5, False]
    if stage.v5:
        assert late.messages == [], "not even sent"
    else:
        assert [one.retain for one in late.messages] == [True], "sent, but flagged"


async def test_an_oversize_payload_is_refused_and_the_link_lives(
    stage: Stage, recorder: NewRecorder
) -> None:
    node = recorder()
    link = stage.link(node, "node")
    await up(stage, link)
    with pytest.raises(PayloadError, match="16385 bytes"):
        link.publish(DETAILS, bytes(MAX_PAYLOAD_BYTES + 1), qos=1)
    link.publish(DETAILS, bytes(MAX_PAYLOAD_BYTES), qos=1)
    await stage.quiet()
    assert link.connected
    assert node.losses == []


async def test_a_listener_that_raises_is_counted_and_told_of_the_next_message(
    stage: Stage, recorder: NewRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    node = recorder()
    link = stage.link(node, "node", [Subscription(ORDER, qos=1)])
    await up(stage, link)
    for payload in (b"raise", b"raise", b"fine"):
        link.publish(ORDER, payload, qos=1)
    await stage.until(lambda: node.payloads(ORDER)[-1:] == [b"fine"])
    assert link.listener_errors.counts == {"RuntimeError in on_message": 2}
    assert caplog.text.count("a listener that raises") == 1
    assert link.connected


async def test_response_topic_and_correlation_travel_with_mqtt_5(
    stage: Stage, recorder: NewRecorder
) -> None:
    node = recorder()
    link = stage.link(node, "node", [Subscription(ORDER, qos=1)])
    await up(stage, link)
    link.publish(
        ORDER, b"x", expiry_s=29.5, response_topic=f"{P}/inbox/me", correlation=b"7"
    )
    await stage.until(lambda: node.messages)
    message = node.messages[0]
    told = (message.response_topic, message.correlation)
    assert told == ((f"{P}/inbox/me", b"7") if stage.v5 else ("", b""))


async def test_waiting_for_a_broker_that_is_down_ends(
    stage: Stage, recorder: NewRecorder
) -> None:
    await stage.stop()
    link = stage.link(recorder(), "node")
    await link.start()
    assert not await link.wait_connected(0.05)
    await stage.start()
    await stage.until(lambda: link.connected)
    assert await link.wait_connected(30)
    await link.stop()


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_queue_that_is_full_refuses_and_the_link_lives(
    stage: Stage, recorder: NewRecorder, qos: int
) -> None:
    node, watcher = recorder(), recorder()
    link = stage.link(node, "node")
    await up(stage, link, stage.link(watcher, "watcher", [EVERYTHING]))
    link.pause()  # a broker that takes nothing

    def flood() -> None:
        for _ in range(11_000):
            link.publish(DETAILS, b"x", qos=qos)

    with pytest.raises(NotConnectedError, match="was not sent"):
        flood()
    link.resume()
    await stage.until(lambda: len(watcher.payloads(DETAILS)) >= 10_000)
    link.publish(ORDER, b"go", qos=1)
    await stage.until(lambda: watcher.payloads(ORDER) == [b"go"])
    assert node.losses == []


async def test_a_topic_that_is_refused_reaches_nobody_and_the_link_lives(
    stage: Stage, recorder: NewRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    node, watcher = recorder(), recorder()
    link = stage.link(node, "node")
    await up(stage, link, stage.link(watcher, "watcher", [EVERYTHING]))
    forbidden = stage.forbidden()
    for _ in range(100):
        link.publish(forbidden, b"x", qos=1)
    link.publish(ORDER, b"go", qos=1)
    await stage.until(lambda: watcher.payloads(ORDER) == [b"go"])
    assert {message.topic for message in watcher.messages} == {ORDER}
    assert node.losses == []
    assert caplog.text.count("elsewhere/topic refused") <= 2, "a line a second"
