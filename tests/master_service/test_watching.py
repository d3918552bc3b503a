"""What the rack says when boards come, fall silent, leave and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import (
    Details,
    EventKind,
    Power,
    Throttled,
    ThrottleFlag,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

T = Topics("lab")


async def test_boards_that_are_heard_are_online(bench: Bench) -> None:
    assert set(bench.verdicts.values()) == {"online"}
    state = bench.node("pi-12")
    assert (state.name, state.stack, state.slot) == ("s01n2", 1, 2)
    assert state.power is Power.ON
    assert bench.stack(1).totals == {Verdict.ONLINE: 2}
    assert bench.rack.nodes == 4
    assert bench.rack.totals == {Verdict.ONLINE: 4}


async def test_a_silent_board_is_late_then_lost(bench: Bench) -> None:
    silent = bench.boards["pi-11"]
    silent.freeze()
    await bench.pass_time(19)
    assert bench.verdicts["s01n1"] == "online"
    await bench.pass_time(1)
    assert bench.verdicts["s01n1"] == "late"
    await bench.pass_time(10)
    assert bench.verdicts["s01n1"] == "lost"
    assert "no answer to ping" in bench.node("pi-11").reason
    assert bench.stack(1).worst is Verdict.LOST
    silent.come()
    await bench.calm()
    assert bench.verdicts["s01n1"] == "online"


async def test_a_board_whose_agent_alone_died_is_hung_at_once(bench: Bench) -> None:
    bench.boards["pi-11"].leave()
    await bench.calm()
    bench.master.tick()
    await bench.calm()
    assert bench.node("pi-11").verdict is Verdict.HUNG
    assert "answers ping" in bench.node("pi-11").reason


async def test_a_stack_that_falls_silent_as_one_has_lost_its_supply(
    bench: Bench,
) -> None:
    for node_id in ("pi-11", "pi-12"):
        bench.boards[node_id].freeze()
    await bench.pass_time(32)
    assert bench.verdicts == {
        "s01n1": "unpowered",
        "s01n2": "unpowered",
        "s02n1": "online",
        "s02n2": "online",
    }
    assert "all 2 boards" in bench.node("pi-11").reason


async def test_the_stored_online_of_a_lost_board_is_put_right(bench: Bench) -> None:
    bench.boards["pi-11"].freeze()
    await bench.pass_time(31)
    assert bench.stored(T.node("pi-11", NodeLeaf.STATUS)).payload == b"offline"
    assert bench.node("pi-11").verdict is Verdict.LOST
    reason = bench.node("pi-11").reason
    await bench.pass_time(5)
    assert bench.node("pi-11").reason == reason, "its own word was taken for a will"


async def test_a_link_that_heals_its_status_is_no_sign_of_its_agent(
    bench: Bench,
) -> None:
    hung = bench.boards["pi-11"]
    hung.beating = False
    await bench.pass_time(31)
    assert bench.verdicts["s01n1"] == "hung"
    hung.say(NodeLeaf.STATUS, b"online", retain=True)
    await bench.pass_time(2)
    assert bench.verdicts["s01n1"] == "hung"
    hung.beat()
    await bench.calm()
    assert bench.verdicts["s01n1"] == "online"


async def test_a_board_that_beats_without_vitals_is_online_and_says_so(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    nothing = dict.fromkeys(("cpu_percent", "memory_percent", "disk_percent", "load"))
    board.beating = False
    for _ in range(4):
        board.beat(**nothing)
        await bench.pass_time(10)
    assert bench.verdicts["s01n1"] == "online"
    assert bench.node("pi-11").reason == "connected, no vitals"
    board.beat()
    await bench.pass_time(1)
    assert bench.node("pi-11").reason == ""


async def test_a_connected_board_that_never_beats_and_never_pings_is_not_lost(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    bench.prober.alive.discard(board.address)
    board.beating = False
    await bench.pass_time(35)
    assert bench.stored(T.node("pi-11", NodeLeaf.STATUS)).payload == b"offline"
    board.say(NodeLeaf.STATUS, b"online", retain=True)  # as every link heals it
    for _ in range(10):
        await bench.pass_time(30)
        assert bench.verdicts["s01n1"] == "hung"
        assert bench.node("pi-11").reason.startswith("connected, no vitals")
    board.leave()  # now it is gone indeed
    await bench.pass_time(5)
    assert bench.verdicts["s01n1"] == "lost"
    board.come()
    await bench.calm()
    assert bench.verdicts["s01n1"] == "online"


async def test_heartbeats_publish_nothing(bench: Bench) -> None:
    before = len(bench.broker.sent(T.node("+", NodeLeaf.STATE)))
    await bench.pass_time(60)
    assert len(bench.broker.sent(T.node("+", NodeLeaf.STATE))) == before


async def test_a_broker_outage_makes_nothing_lost(bench: Bench) -> None:
    bench.broker.stop()
    await bench.calm()
    await bench.pass_time(120, beating=False)
    assert set(bench.verdicts.values()) == {"online"}
    bench.broker.start(keep_retained=False)
    await bench.calm()
    bench.master.tick()
    await bench.calm()
    assert set(bench.verdicts.values()) == {"unknown"}
    assert "the broker was away for 120 s; 4 boards" in bench.rack.frozen
    bench.boards["pi-11"].come()
    await bench.calm()
    assert bench.verdicts["s01n1"] == "online"
    for board in bench.boards.values():
        board.come()
    await bench.pass_time(1)
    assert set(bench.verdicts.values()) == {"online"}
    assert bench.rack.frozen == ""
    said = [e.text for e in bench.events if e.kind is EventKind.VERDICT]
    assert not any("lost" in text for text in said)


async def test_a_board_that_does_not_come_back_is_lost_after_the_grace(
    bench: Bench,
) -> None:
    bench.broker.stop()
    await bench.calm()
    await bench.pass_time(60, beating=False)
    bench.boards["pi-11"].freeze()
    bench.broker.start()
    await bench.pass_time(29)
    assert bench.verdicts["s01n1"] == "unknown"
    await bench.pass_time(4)
    assert bench.verdicts["s01n1"] == "lost"


async def test_a_short_break_of_the_masters_own_link_shows_nothing(
    bench: Bench,
) -> None:
    bench.broker.kill("master")
    await bench.calm()
    bench.now += 3
    bench.broker.reconnect("master")
    await bench.calm()
    assert set(bench.verdicts.values()) == {"online"}


async def test_every_state_is_published_again_to_an_empty_broker(bench: Bench) -> None:
    bench.broker.stop()
    await bench.calm()
    bench.broker.start(keep_retained=False)
    await bench.calm()
    bench.master.tick()
    await bench.calm()
    assert {T.node(i, NodeLeaf.STATE) for i in bench.boards} <= set(
        bench.broker.retained
    )
    assert {T.stack(1), T.stack(2), T.rack_state, T.master_details} <= set(
        bench.broker.retained
    )


async def test_an_expected_board_that_never_spoke_is_unseen(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    assert set(bench.verdicts.values()) == {"unseen"}
    await bench.pass_time(60)
    assert set(bench.verdicts.values()) == {"unseen"}


async def test_the_will_of_an_older_connection_is_fenced(bench: Bench) -> None:
    topic = T.node("pi-11", NodeLeaf.STATUS)
    link = bench.broker.connect(
        bench.master, client_id="pi-11", subscriptions=(), status_topic=topic
    )
    await link.start()
    await bench.calm()
    node = bench.master.rack.registry.nodes["pi-11"]
    bench.boards["pi-11"].session = node.session
    node.session = "a-newer-connection"
    bench.broker.kill("pi-11")
    await bench.calm()
    assert bench.verdicts["s01n1"] == "online"


async def test_two_boards_with_one_id_are_a_named_fault(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    one = {"serial": "0000000051000301", "macs": ("dc:a6:32:00:00:01",)}
    two = {"serial": "0000000099999999", "macs": ("dc:a6:32:00:00:02",)}
    board.details(**one, boot_id="one")
    board.details(**two, boot_id="two")
    board.details(**one, boot_id="one")
    await bench.calm()
    (fault,) = bench.node("pi-11").faults
    assert fault.startswith("duplicate identity: serials 0000000099999999 and")
    await bench.pass_time(301)
    assert bench.node("pi-11").faults == ()


async def test_boot_ids_that_take_turns_are_a_duplicate_too(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    for boot_id in ("boot-b", "pi-11-boot"):
        board.details(boot_id=boot_id)
    await bench.calm()
    assert "duplicate identity" in bench.node("pi-11").faults[0]


async def test_a_reboot_is_no_duplicate(bench: Bench) -> None:
    bench.boards["pi-11"].details(boot_id="boot-b")
    bench.boards["pi-11"].details(boot_id="boot-c")
    await bench.calm()
    assert bench.node("pi-11").faults == ()


async def test_sessions_that_take_turns_are_a_duplicate(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    for session in ("one", "two", "one", "two"):
        board.beat(session=session)
    await bench.calm()
    assert "take turns" in bench.node("pi-11").faults[0]


async def test_a_changed_network_card_is_a_line_of_history_and_no_fault(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    board.details(macs=("dc:a6:32:00:00:01",), boot_id="a")
    board.details(macs=("dc:a6:32:00:00:22",), boot_id="b")
    await bench.calm()
    assert bench.node("pi-11").faults == ()
    assert [
        e.text
        for e in bench.events
        if "network card changed: dc:a6:32:00:00:01 before, now dc:a6:32:00:00:22"
        in e.text
    ]


async def test_an_adapter_that_comes_and_goes_in_one_boot_is_no_second_board(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    for number in (1, 2, 1, 2):
        board.details(macs=(f"dc:a6:32:00:00:0{number}",))
    await bench.calm()
    assert bench.node("pi-11").faults == ()


async def test_one_hostname_of_many_boards_is_said_once_and_is_no_fault(
    bench: Bench,
) -> None:
    """Every board flashed from one image has it."""
    ids = list(bench.boards)
    for node_id in ids:
        bench.boards[node_id].details(hostname="raspberrypi")
    await bench.calm()
    assert all(bench.node(node_id).faults == () for node_id in ids)
    said = [e.text for e in bench.events if "hostname 'raspberrypi'" in e.text]
    assert len(said) == 1


async def test_a_wrong_clock_is_a_fault_said_once(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    for _ in range(5):
        board.beat(ts=bench.wall - 3600)
        await bench.calm()
        bench.now += 1
    assert "3600 s behind" in bench.node("pi-11").faults[0]
    said = [e for e in bench.events if "clock skew" in e.text]
    assert len(said) == 1
    board.beat()
    await bench.calm()
    assert bench.node("pi-11").faults == ()


async def test_under_voltage_is_told_at_its_edges(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    low = Throttled(now=(ThrottleFlag.UNDER_VOLTAGE,))
    for throttled in (low, low, Throttled(), Throttled()):
        board.beat(throttled=throttled)
    await bench.calm()
    said = [e.text for e in bench.events if "under-voltage" in e.text]
    assert len(said) == 2
    assert said[1].endswith("under-voltage is over")


async def test_a_boot_time_is_learnt(bench: Bench) -> None:
    board = bench.boards["pi-11"]
    board.die()
    await bench.calm()
    await bench.pass_time(25)
    board.boot_id = "another"
    board.come()
    await bench.calm()
    assert bench.master.rack.registry.nodes["pi-11"].boot_s == 25.0


async def test_an_unknown_board_is_taken_in(bench: Bench) -> None:
    details = Details(
        session="s", boot_id="b", hostname="new", interval_s=10.0, agent_version="1"
    )
    topic = T.node("pi-stranger", NodeLeaf.DETAILS)
    bench.broker.publish(topic, encode(details), retain=True)
    await bench.calm()
    assert bench.node("pi-stranger").name == "pi-stranger"
    assert bench.node("pi-stranger").stack is None


async def test_young_stored_details_of_a_board_that_left_are_no_sign_of_life(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    board.details(reason="shut down")
    board.die()
    await bench.calm()
    await bench.restart(away_s=1)
    assert bench.verdicts["s01n1"] == "unknown"


async def test_a_broker_that_hangs_makes_no_board_late(bench: Bench) -> None:
    bench.broker.hang()
    await bench.pass_time(60, beating=False)
    bench.broker.go_on()
    for board in bench.boards.values():
        board.beat()
    await bench.calm()
    await bench.pass_time(60)

    assert set(bench.verdicts.values()) == {"online"}
    verdicts = [each for each in bench.events if each.kind is EventKind.VERDICT]
    assert not [each for each in verdicts if "late" in each.text]
    assert bench.rack.frozen == ""


async def test_all_boards_silent_on_a_broker_that_lives_are_late(bench: Bench) -> None:
    for board in bench.boards.values():
        board.freeze()
    await bench.pass_time(22, beating=False)
    assert set(bench.verdicts.values()) == {"late"}


async def test_a_broker_with_an_older_store_says_online_of_no_dead_board(
    bench: Bench,
) -> None:
    await bench.all_come()
    status = T.node("pi-11", NodeLeaf.STATUS)
    before = bench.broker.retained[status]
    bench.boards["pi-11"].freeze()
    await bench.pass_time(60)
    assert bench.verdicts["s01n1"] == "lost"
    assert bench.stored(status).payload == b"offline"
    for _ in range(2):  # it was killed; what it had saved last is older than that
        bench.broker.stop()
        await bench.calm()
        bench.broker.retained[status] = before
        bench.broker.start()
        await bench.calm()
        for name in ("pi-12", "pi-21", "pi-22"):
            bench.boards[name].details()
        await bench.pass_time(120)
        assert bench.verdicts["s01n1"] == "lost"
        assert bench.stored(status).payload == b"offline"
