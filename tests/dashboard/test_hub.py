import asyncio
import json
from typing import Any

import pytest

from broker.contract.messages import InstallState, InstallStep, Verdict
from dashboard.live.hub import TickPace
from tests.dashboard.conftest import WALL, FakePort, Harness


def last(port: FakePort) -> tuple[int, dict[str, Any], dict[str, Any]]:
    number, shared, private = port.sent[-1]
    return number, json.loads(shared), json.loads(private)


def test_a_new_tab_gets_everything_and_then_only_what_changed(harness: Harness) -> None:
    harness.rack()
    harness.node(1)
    harness.node(2)
    _, port = harness.view()

    harness.hub.tick()
    number, shared, _ = last(port)
    assert number == 0
    assert shared["snapshot"]
    assert len(shared["meta"]) == len(shared["rows"]) == 2

    harness.beat(1, temperature_c=51)
    harness.hub.tick()
    number, shared, _ = last(port)
    assert number == 1
    assert [row[4] for row in shared["rows"]] == [51]
    assert "meta" not in shared


def test_a_heartbeat_that_would_be_drawn_the_same_is_not_sent(harness: Harness) -> None:
    harness.node()
    _, port = harness.view()
    harness.hub.tick()
    count = len(port.sent)

    harness.beat(1, cpu_percent=12.3, seq=2)
    harness.hub.tick()

    assert len(port.sent) == count


def test_a_quiet_rack_still_sends_a_pulse(harness: Harness) -> None:
    _, port = harness.view()
    harness.hub.tick()
    count = len(port.sent)

    harness.now += 5.1
    harness.hub.tick()

    assert len(port.sent) == count + 1
    assert last(port)[1]["now"] == WALL + 5.1


def test_a_tick_is_at_most_one_message_and_a_row_at_most_40_bytes(
    harness: Harness,
) -> None:
    nodes = 100
    for number in range(1, nodes + 1):
        harness.node(number)
    _, port = harness.view()
    harness.hub.tick()
    port.sent.clear()

    for number in range(1, nodes + 1):
        harness.beat(number, temperature_c=60, cpu_percent=77, memory_percent=66)
    harness.hub.tick()

    assert len(port.sent) == 1
    assert len(port.sent[0][1]) < 40 * nodes


def test_all_tabs_share_one_encoded_text(harness: Harness) -> None:
    harness.node()
    _, first = harness.view()
    _, second = harness.view()
    harness.hub.tick()
    harness.beat(1, temperature_c=60)
    harness.hub.tick()

    assert first.sent[-1][1] is second.sent[-1][1]


def test_a_tab_without_socket_gets_nothing_and_then_a_snapshot(
    harness: Harness,
) -> None:
    harness.node()
    _, port = harness.view()
    harness.hub.tick()
    port.open = False
    harness.beat(1, temperature_c=60)
    harness.hub.tick()
    assert len(port.sent) == 1

    port.open = True
    harness.hub.tick()

    number, shared, _ = last(port)
    assert number == 0
    assert shared["snapshot"]
    assert shared["rows"][0][4] == 60


def test_a_hidden_tab_gets_nothing_until_it_is_looked_at(harness: Harness) -> None:
    view, port = harness.view()
    harness.hub.tick()
    view.paused = True
    harness.node()
    harness.hub.tick()
    assert len(port.sent) == 1

    view.paused = False
    harness.hub.tick()

    assert last(port)[1]["snapshot"]


def test_a_tab_that_missed_a_message_is_sent_everything_again(harness: Harness) -> None:
    view, port = harness.view()
    harness.hub.tick()

    view.resync()
    harness.hub.tick()

    assert last(port)[0] == 0


def test_a_search_follows_the_values(harness: Harness) -> None:
    harness.node(1)
    record = harness.node(2)
    view, port = harness.view()
    harness.hub.tick()

    view.search("temp:>70")
    harness.hub.tick()
    assert last(port)[2]["match"] == []

    harness.beat(2, temperature_c=75)
    harness.hub.tick()
    assert last(port)[2]["match"] == [record.index]

    view.search("")
    harness.hub.tick()
    assert last(port)[2]["match"] is None


def test_an_open_node_is_followed_closely(harness: Harness) -> None:
    harness.node()
    view, port = harness.view()
    harness.hub.tick()
    view.open_node("pi-1")
    harness.hub.tick()
    node = last(port)[2]["node"]
    assert node["details"]["serial"] == "10000000abcd0001"
    assert node["beat"]["cpu_percent"] == 12.4

    harness.beat(1, cpu_percent=13.1)
    harness.hub.tick()
    node = last(port)[2]["node"]
    assert node["beat"]["cpu_percent"] == 13.1
    assert "details" not in node


def test_a_node_nobody_knows_is_said_to_be_unknown(harness: Harness) -> None:
    view, port = harness.view()
    view.open_node("pi-404")
    harness.hub.tick()

    assert last(port)[2]["node"] == {"id": "pi-404", "unknown": True}


def test_a_forgotten_node_leaves_every_tab(harness: Harness) -> None:
    record = harness.node()
    _, port = harness.view()
    harness.hub.tick()

    for leaf in ("state", "status", "details"):
        harness.say(f"pirack/v1/lab/node/pi-1/{leaf}", b"")
    harness.hub.tick()

    assert last(port)[1]["gone"] == [record.index]


def test_abilities_are_sent_once_for_all_nodes_that_share_them(
    harness: Harness,
) -> None:
    for number in range(1, 9):
        harness.node(number)
    _, port = harness.view()
    harness.hub.tick()

    shared = last(port)[1]

    assert list(shared["abilities"]) == ["1"]
    assert {row[6] for row in shared["meta"]} == {1}


def test_connection_and_events_reach_the_tabs(harness: Harness) -> None:
    _, port = harness.view()
    harness.hub.tick()
    harness.hub.broker_is(up=True)
    harness.rack()
    harness.event(7, "admin: ping rack: done")
    harness.hub.tick()

    shared = last(port)[1]

    assert shared["connection"]["broker"]
    assert shared["connection"]["master"] == "online"
    assert shared["events"][0]["text"] == "admin: ping rack: done"


def test_an_install_run_is_told_in_words(harness: Harness) -> None:
    run = InstallState(run="7", step=InstallStep.SCAN, stack=3, done=8, total=48)
    harness.say(harness.topics.install_state, run)

    assert harness.hub.connection.install == "scanning stack 3, 8 of 48 found"


def test_after_an_outage_a_node_is_frozen_until_it_is_heard(harness: Harness) -> None:
    harness.node()
    _, port = harness.view()
    harness.hub.tick()

    harness.hub.broker_is(up=True)
    harness.hub.tick()
    assert last(port)[1]["rows"][0][1] == 8

    harness.beat(1)
    harness.hub.tick()
    assert last(port)[1]["rows"][0][1] == 0


def test_words_carry_when_the_silence_began(harness: Harness) -> None:
    record = harness.node(verdict=Verdict.LATE, last_seen=WALL - 42, reason="no beat")
    _, port = harness.view()
    harness.hub.tick()

    note = last(port)[1]["notes"][0]

    assert note == [record.index, "no heartbeat", WALL - 42, "no beat"]


def test_the_sparkline_moves_every_five_seconds(harness: Harness) -> None:
    record = harness.node()
    harness.hub.tick()
    harness.now += 5
    harness.hub.tick()

    assert record.history[-1] == 12


def test_late_ticks_are_spread_and_never_queued() -> None:
    pace = TickPace(0.2)
    for _ in range(6):
        pace.note(0.9)
    assert pace.period_s == 2.0
    assert pace.slowed
    for _ in range(6):
        pace.note(0.0)
    assert pace.period_s == 0.2
    assert not pace.slowed


def test_a_tab_that_cannot_be_told_does_not_disturb_the_others(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    (broken, silent), *rest = (harness.view() for _ in range(3))
    broken.push("receipts", object())  # cannot become JSON, however often it is tried

    for beat in range(3):
        harness.node(name=f"s01n{beat}")
        harness.hub.tick()

    for _, port in rest:
        assert [number for number, *_ in port.sent] == [0, 1, 2]
    assert silent.sent == []
    assert caplog.text.count("sending to a tab of ada failed") == 1


def test_a_tab_that_can_be_told_again_begins_with_everything(harness: Harness) -> None:
    _, port = harness.view()
    keep = port.send

    def stumble(*_: object) -> None:
        port.send = keep  # type: ignore[method-assign]  # a port that fails once
        text = "broken"
        raise RuntimeError(text)

    port.send = stumble  # type: ignore[assignment,method-assign]  # a port that fails once
    harness.hub.tick()
    harness.hub.tick()

    ((number, shared, _),) = port.sent
    assert number == 0
    assert json.loads(shared)["snapshot"]


@pytest.mark.dead_tasks
async def test_one_bad_tick_does_not_end_the_pages(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    _, port = harness.view()
    harness.hub.tick()
    harness.hub.pace = TickPace(0)
    tick, healed = harness.hub.tick, asyncio.Event()

    def stumble() -> None:
        harness.hub.tick = heal  # type: ignore[method-assign]  # a tick that fails once
        text = "broken"
        raise RuntimeError(text)

    def heal() -> None:
        tick()
        healed.set()

    harness.hub.tick = stumble  # type: ignore[method-assign]  # a tick that fails once
    running = asyncio.create_task(harness.hub.run())
    async with asyncio.timeout(30):
        await healed.wait()
    running.cancel()

    assert "tick of the page failed" in caplog.text
    assert json.loads(port.sent[1][1])["snapshot"]
