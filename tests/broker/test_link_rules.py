"""What both links share: the rules of the status topic, and listeners that raise."""

import pytest

from broker.client.link import (
    OFFLINE,
    ONLINE,
    ListenerErrors,
    Message,
    StatusTopic,
    Subscription,
)

TOPIC = "pirack/v1/lab/node/pi-1/status"
OWN = StatusTopic(TOPIC, [])
COVERED = StatusTopic(TOPIC, [Subscription("pirack/v1/lab/node/+/status")])
STALE = Message(TOPIC, OFFLINE, session="old")


def test_the_own_status_is_subscribed_to_unless_that_is_asked_for_already() -> None:
    assert [one.filter for one in OWN.subscriptions] == [TOPIC]
    assert [one.filter for one in COVERED.subscriptions] == [
        "pirack/v1/lab/node/+/status"
    ]
    assert StatusTopic(None, []).subscriptions == ()


def test_the_owner_sees_its_status_only_if_it_asked() -> None:
    assert OWN.hides(STALE)
    assert not COVERED.hides(STALE)
    assert not OWN.hides(Message("other/topic", b""))


@pytest.mark.parametrize("mqtt5", [True, False])
def test_an_older_connections_offline_is_healed(*, mqtt5: bool) -> None:
    assert OWN.must_heal(STALE, "new", mqtt5=mqtt5)
    assert COVERED.must_heal(STALE, "new", mqtt5=mqtt5)


@pytest.mark.parametrize(
    ("message", "session"),
    [
        (Message(TOPIC, OFFLINE, session="new"), "new"),
        (Message(TOPIC, ONLINE, session="old"), "new"),
        (Message(TOPIC, b"", session="old"), "new"),
        (Message("other/topic", OFFLINE, session="old"), "new"),
        (STALE, ""),
    ],
    ids=["its own word", "online", "cleared", "another topic", "not connected"],
)
def test_nothing_else_is_healed(message: Message, session: str) -> None:
    assert not OWN.must_heal(message, session, mqtt5=True)


def test_a_retained_flag_means_old_over_3_1_1_only() -> None:
    stored = Message(TOPIC, OFFLINE, retain=True)
    assert not OWN.must_heal(stored, "new", mqtt5=False), "older than our online"
    assert OWN.must_heal(stored, "new", mqtt5=True), "stored ones were not asked for"


def test_exceptions_are_told_apart_by_kind_and_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = ListenerErrors("node")
    for error in (ValueError("a"), ValueError("b"), KeyError("c")):
        errors.add(error, "on_message")
    errors.add(ValueError("d"), "on_connected")
    assert errors.counts == {
        "ValueError in on_message": 2,
        "KeyError in on_message": 1,
        "ValueError in on_connected": 1,
    }
    assert len(caplog.records) == 3
    assert all(record.exc_info for record in caplog.records)
