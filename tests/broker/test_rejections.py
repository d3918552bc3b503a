"""What is refused or raised is counted, and logged once for each kind."""

import logging

import pytest

from broker.client.faults import Faults
from broker.common.rejections import Rejections


def test_each_kind_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections("master")
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            rejections.add("heartbeat", f"number {number} is no JSON")
        rejections.add("topic", "x is none of ours")
    assert rejections.counts == {"heartbeat": 1000, "topic": 1}
    assert rejections.total == 1001
    assert [record.getMessage() for record in caplog.records] == [
        "master: refused heartbeat: number 0 is no JSON (logged once)",
        "master: refused topic: x is none of ours (logged once)",
    ]


def test_nothing_refused_is_nothing_counted() -> None:
    assert Rejections("master").counts == {}
    assert Rejections("master").total == 0


def test_counts_are_a_copy() -> None:
    rejections = Rejections("master")
    rejections.counts["x"] = 1
    assert rejections.total == 0


def test_exceptions_are_told_apart_by_kind_and_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults("node")
    for error in (ValueError("a"), ValueError("b"), KeyError("c")):
        faults.add(error, "on_message")
    faults.add(ValueError("d"), "on_connected")
    assert faults.counts == {
        "ValueError in on_message": 2,
        "KeyError in on_message": 1,
        "ValueError in on_connected": 1,
    }
    assert len(caplog.records) == 3
    assert all(record.exc_info for record in caplog.records)
