"""What tests can do with the fake broker that no real one offers."""

import logging

import pytest

from broker.client.fake import FakeBroker
from broker.client.link import Message, Subscription
from broker.common.errors import NotConnectedError

STATUS = "pirack/v1/lab/node/pi-1/status"


class Recorder:
    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.losses: list[str] = []
        self.messages: list[Message] = []

    def on_connected(self, session: str) -> None:
        self.sessions.append(session)

    def on_disconnected(self, reason: str) -> None:
        self.losses.append(reason)

    def on_message(self, message: Message) -> None:
        self.messages.append(message)


async def test_a_killed_client_stays_away_until_it_is_let_back() -> None:
    broker, seen = FakeBroker(), Recorder()
    link = broker.connect(seen, client_id="pi-1", subscriptions=[], status_topic=STATUS)
    await link.start()
    await broker.settle()
    broker.kill("pi-1")
    await broker.settle()
    assert not link.connected
    assert broker.clients() == []
    assert seen.losses == ["connection lost"]
    broker.reconnect("pi-1")
    await broker.settle()
    assert seen.sessions == ["session-1", "session-2"]
    assert [one.payload for one in broker.sent(STATUS)] == [
        b"online",
        b"offline",
        b"online",
    ]


async def test_killing_who_is_not_there_is_an_error_of_the_test() -> None:
    with pytest.raises(KeyError):
        FakeBroker().kill("nobody")


async def test_a_broker_that_stops_fires_no_wills_and_keeps_its_store() -> None:
    broker, seen = FakeBroker(), Recorder()
    link = broker.connect(seen, client_id="pi-1", subscriptions=[], status_topic=STATUS)
    await link.start()
    await broker.settle()
    broker.stop()
    await broker.settle()
    assert broker.retained[STATUS].payload == b"online"
    with pytest.raises(NotConnectedError):
        link.publish("a", b"")
    broker.start(keep_retained=False)
    assert broker.retained == {}
    await broker.settle()
    assert link.connected
    assert broker.retained[STATUS].payload == b"online", "said again"


async def test_settling_waits_for_what_listeners_publish_in_turn() -> None:
    broker = FakeBroker()
    relays = []
    for number in range(5):
        seen = Recorder()
        link = broker.connect(
            seen, client_id=f"c{number}", subscriptions=[Subscription(f"hop/{number}")]
        )

        def pass_on(_: Message, link: object = link, number: int = number) -> None:
            link.publish(f"hop/{number + 1}", b"")  # type: ignore[attr-defined]  # a FakeLink

        seen.on_message = pass_on  # type: ignore[assignment,method-assign]  # each hop its own
        relays.append(link)
        await link.start()
    await broker.settle()
    broker.publish("hop/0")
    await broker.settle()
    assert [one.topic for one in broker.published] == [f"hop/{n}" for n in range(6)]


async def test_a_stopped_link_hears_nothing_that_was_still_on_its_way() -> None:
    broker, seen = FakeBroker(), Recorder()
    link = broker.connect(seen, client_id="a", subscriptions=[Subscription("#")])
    await link.start()
    await broker.settle()
    broker.publish("news", b"late")
    await link.stop()
    await broker.settle()
    assert seen.messages == []


async def test_a_listener_that_raises_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, seen = FakeBroker(), Recorder()

    def fail(_: Message) -> None:
        raise ValueError

    seen.on_message = fail  # type: ignore[assignment,method-assign]  # the point of the test
    link = broker.connect(seen, client_id="a", subscriptions=[Subscription("#")])
    await link.start()
    await broker.settle()
    with caplog.at_level(logging.ERROR):
        broker.publish("x")
        await broker.settle()
    assert link.listener_errors.counts == {"ValueError in on_message": 1}
    assert "ValueError" in caplog.text
