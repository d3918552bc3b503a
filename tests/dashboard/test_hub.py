import json
from typing import Any

from broker.contract.messages import InstallState, InstallStep, Verdict
from dashboard.live.hub import TickPace
from tests.dashboard.conftest import WALL, Bench, FakePort


def last(port: FakePort) -> tuple[int, dict[str, Any], dict[str, Any]]:
    number, shared, private = port.sent[-1]
    return number, json.loads(shared), json.loads(private)


def test_a_new_tab_gets_everything_and_then_only_what_changed(bench: Bench) -> None:
    bench.rack()
    bench.node(1)
    bench.node(2)
    _, port = bench.view()

    bench.hub.tick()
    number, shared, _ = last(port)
    assert number == 0
    assert shared["snapshot"]
    assert len(shared["meta"]) == len(shared["rows"]) == 2

    bench.beat(1, temperature_c=51)
    bench.hub.tick()
    number, shared, _ = last(port)
    assert number == 1
    assert [row[4] for row in shared["rows"]] == [51]
    assert "meta" not in shared


def test_a_heartbeat_that_would_be_drawn_the_same_is_not_sent(bench: Bench) -> None:
    bench.node()
    _, port = bench.view()
    bench.hub.tick()
    count = len(port.sent)

    bench.beat(1, cpu_percent=12.3, seq=2)
    bench.hub.tick()

    assert len(port.sent) == count


def test_a_quiet_rack_still_sends_a_pulse(bench: Bench) -> None:
    _, port = bench.view()
    bench.hub.tick()
    count = len(port.sent)

    bench.now += 5.1
    bench.hub.tick()

    assert len(port.sent) == count + 1
    assert last(port)[1]["now"] == WALL + 5.1


def test_a_tick_is_at_most_one_message_and_a_row_at_most_40_bytes(bench: Bench) -> None:
    nodes = 100
    for number in range(1, nodes + 1):
        bench.node(number)
    _, port = bench.view()
    bench.hub.tick()
    port.sent.clear()

    for number in range(1, nodes + 1):
        bench.beat(number, temperature_c=60, cpu_percent=77, memory_percent=66)
    bench.hub.tick()

    assert len(port.sent) == 1
    assert len(port.sent[0][1]) < 40 * nodes


def test_all_tabs_share_one_encoded_text(bench: Bench) -> None:
    bench.node()
    _, first = bench.view()
    _, second = bench.view()
    bench.hub.tick()
    bench.beat(1, temperature_c=60)
    bench.hub.tick()

    assert first.sent[-1][1] is second.sent[-1][1]


def test_a_tab_without_socket_gets_nothing_and_then_a_snapshot(bench: Bench) -> None:
    bench.node()
    _, port = bench.view()
    bench.hub.tick()
    port.open = False
    bench.beat(1, temperature_c=60)
    bench.hub.tick()
    assert len(port.sent) == 1

    port.open = True
    bench.hub.tick()

    number, shared, _ = last(port)
    assert number == 0
    assert shared["snapshot"]
    assert shared["rows"][0][4] == 60


def test_a_hidden_tab_gets_nothing_until_it_is_looked_at(bench: Bench) -> None:
    view, port = bench.view()
    bench.hub.tick()
    view.paused = True
    bench.node()
    bench.hub.tick()
    assert len(port.sent) == 1

    view.paused = False
    bench.hub.tick()

    assert last(port)[1]["snapshot"]


def test_a_tab_that_missed_a_message_is_sent_everything_again(bench: Bench) -> None:
    view, port = bench.view()
    bench.hub.tick()

    view.resync()
    bench.hub.tick()

    assert last(port)[0] == 0


def test_a_search_follows_the_values(bench: Bench) -> None:
    bench.node(1)
    record = bench.node(2)
    view, port = bench.view()
    bench.hub.tick()

    view.search("temp:>70")
    bench.hub.tick()
    assert last(port)[2]["match"] == []

    bench.beat(2, temperature_c=75)
    bench.hub.tick()
    assert last(port)[2]["match"] == [record.index]

    view.search("")
    bench.hub.tick()
    assert last(port)[2]["match"] is None


def test_an_open_node_is_followed_closely(bench: Bench) -> None:
    bench.node()
    view, port = bench.view()
    bench.hub.tick()
    view.open_node("pi-1")
    bench.hub.tick()
    node = last(port)[2]["node"]
    assert node["details"]["serial"] == "10000000abcd0001"
    assert node["beat"]["cpu_percent"] == 12.4

    bench.beat(1, cpu_percent=13.1)
    bench.hub.tick()
    node = last(port)[2]["node"]
    assert node["beat"]["cpu_percent"] == 13.1
    assert "details" not in node


def test_a_node_nobody_knows_is_said_to_be_unknown(bench: Bench) -> None:
    view, port = bench.view()
    view.open_node("pi-404")
    bench.hub.tick()

    assert last(port)[2]["node"] == {"id": "pi-404", "unknown": True}


def test_a_forgotten_node_leaves_every_tab(bench: Bench) -> None:
    record = bench.node()
    _, port = bench.view()
    bench.hub.tick()

    for leaf in ("state", "status", "details"):
        bench.say(f"pirack/v1/lab/node/pi-1/{leaf}", b"")
    bench.hub.tick()

    assert last(port)[1]["gone"] == [record.index]


def test_abilities_are_sent_once_for_all_nodes_that_share_them(bench: Bench) -> None:
    for number in range(1, 9):
        bench.node(number)
    _, port = bench.view()
    bench.hub.tick()

    shared = last(port)[1]

    assert list(shared["abilities"]) == ["1"]
    assert {row[6] for row in shared["meta"]} == {1}


def test_connection_and_events_reach_the_tabs(bench: Bench) -> None:
    _, port = bench.view()
    bench.hub.tick()
    bench.hub.broker_is(up=True)
    bench.rack()
    bench.event(7, "admin: ping rack: done")
    bench.hub.tick()

    shared = last(port)[1]

    assert shared["connection"]["broker"]
    assert shared["connection"]["master"] == "online"
    assert shared["events"][0]["text"] == "admin: ping rack: done"


def test_an_install_run_is_told_in_words(bench: Bench) -> None:
    run = InstallState(run="7", step=InstallStep.SCAN, stack=3, done=8, total=48)
    bench.say(bench.topics.install_state, run)

    assert bench.hub.connection.install == "scanning stack 3, 8 of 48 found"


def test_after_an_outage_a_node_is_frozen_until_it_is_heard(bench: Bench) -> None:
    bench.node()
    _, port = bench.view()
    bench.hub.tick()

    bench.hub.broker_is(up=True)
    bench.hub.tick()
    assert last(port)[1]["rows"][0][1] == 8

    bench.beat(1)
    bench.hub.tick()
    assert last(port)[1]["rows"][0][1] == 0


def test_words_carry_when_the_silence_began(bench: Bench) -> None:
    record = bench.node(verdict=Verdict.LATE, last_seen=WALL - 42, reason="no beat")
    _, port = bench.view()
    bench.hub.tick()

    note = last(port)[1]["notes"][0]

    assert note == [record.index, "no heartbeat", WALL - 42, "no beat"]


def test_the_sparkline_moves_every_five_seconds(bench: Bench) -> None:
    record = bench.node()
    bench.hub.tick()
    bench.now += 5
    bench.hub.tick()

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
