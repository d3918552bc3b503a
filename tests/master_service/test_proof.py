"""Commands run once, in time, and are done only when their effect was seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.common.errors import NotConnectedError
from broker.contract import update_report
from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Ability,
    Command,
    EventKind,
    Phase,
    Reply,
    Verdict,
    decode,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from master_service.rack.events import EventQuery
from tests.master_service.bench import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench, Board

T = Topics("lab")


async def test_the_same_id_runs_once(bench: Bench) -> None:
    payload = encode(Command(id="mine"))
    await bench.ask("node/s01n1 temperature", payload)
    assert await bench.ask("node/s01n1 temperature", payload) == []
    await bench.answer_all()
    late = (await bench.ask("node/s01n1 temperature", payload))[-1]
    assert late.phase is Phase.REFUSED
    assert "an id runs once" in late.error
    assert len(bench.boards["pi-11"].orders) == 1


async def test_a_destructive_id_runs_once_across_a_restart(bench: Bench) -> None:
    payload = encode(Command(id="reboot-once"))
    await bench.ask("node/s01n1 reboot", payload)
    assert len(bench.boards["pi-11"].orders) == 1
    await bench.restart()
    again = (await bench.ask("node/s01n1 reboot", payload))[-1]
    assert "an id runs once" in again.error
    assert len(bench.boards["pi-11"].orders) == 1


@pytest.mark.parametrize("fields", [{"expires": 1.0}, {"ttl_s": 0.0}])
async def test_an_expired_command_is_answered_expired(
    bench: Bench, fields: dict[str, float]
) -> None:
    final = (await bench.ask("node/s01n1 reboot", json.dumps(fields)))[-1]
    assert final.phase is Phase.EXPIRED
    assert not bench.boards["pi-11"].orders


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_retained_command_is_refused_cleared_and_never_obeyed(
    make_bench: Callable[..., Bench],
    mqtt5: bool,  # noqa: FBT001  # a parameter of pytest
) -> None:
    bench = make_bench(mqtt5=mqtt5)
    topic = f"{T.prefix}/node/s01n1/cmd/reboot"
    bench.broker.publish(topic, b"please", qos=1, retain=True)
    await bench.master.start()
    await bench.calm()
    bench.boards["pi-11"].come()
    await bench.calm()
    (refused,) = bench.replies("node/s01n1 reboot")
    assert "never obeyed" in refused.error
    assert topic not in bench.broker.retained
    assert not bench.boards["pi-11"].orders
    await bench.ask("node/s01n1 reboot")
    assert len(bench.boards["pi-11"].orders) == 1, "a proper one is obeyed"


async def test_a_retained_order_is_swept_away(bench: Bench) -> None:
    topic = T.node("pi-11", NodeLeaf.ORDER)
    bench.broker.publish(topic, b"{}", qos=1, retain=True)
    await bench.calm()
    assert topic not in bench.broker.retained


async def test_reboot_is_done_only_with_another_boot_id(bench: Bench) -> None:
    await bench.ask("node/s01n1 reboot", encode(Command(by="ann")))
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], exit_code=0)
    await bench.calm()
    assert bench.replies("node/s01n1 reboot")[-1].phase is not Phase.DONE
    assert bench.node("pi-11").verdict is Verdict.REBOOTING
    board.die()
    await bench.pass_time(20)
    board.session = "back-with-the-old-boot"
    board.come()
    await bench.calm()
    assert bench.node("pi-11").verdict is Verdict.REBOOTING
    board.boot_id = "another"
    board.come()
    await bench.calm()
    final = bench.final("node/s01n1 reboot")
    assert final.ok is True
    assert final.verified
    assert bench.node("pi-11").verdict is Verdict.ONLINE
    assert bench.node("pi-11").running is None


async def test_a_reboot_that_never_comes_back_fails(bench: Bench) -> None:
    await bench.ask("node/s01n1 reboot")
    bench.boards["pi-11"].die()
    await bench.pass_time(271)
    final = bench.final("node/s01n1 reboot")
    assert "no other boot id within 270 s" in final.error
    assert bench.node("pi-11").verdict is Verdict.LOST


async def test_shutdown_is_done_when_it_said_offline_and_pings_no_more(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 shutdown", encode(Command(by="ann")))
    board = bench.boards["pi-11"]
    bench.now += 1
    board.details(reason="shutdown ordered by ann")
    board.leave()
    await bench.pass_time(3)
    assert bench.replies("node/s01n1 shutdown")[-1].phase is not Phase.DONE
    bench.prober.alive.discard(board.address)
    await bench.pass_time(3)
    assert bench.final("node/s01n1 shutdown").verified
    assert bench.node("pi-11").verdict is Verdict.OFF
    assert "shut down by ann" in bench.node("pi-11").reason


async def test_a_shutdown_that_silence_cannot_prove_is_done_and_not_verified(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    board = bench.boards["pi-11"]
    bench.prober.alive.discard(board.address)  # a firewall, from the start
    await bench.ask("node/s01n1 shutdown", encode(Command(by="ann")))
    bench.now += 1
    board.shut_down()
    await bench.pass_time(80)
    assert not bench.replies("node/s01n1 shutdown")[-1].phase.final
    await bench.pass_time(12)
    final = bench.final("node/s01n1 shutdown")
    assert (final.phase, final.verified) == (Phase.DONE, False)
    assert "did not answer a ping since it booted" in final.targets[0].error
    assert bench.node("pi-11").verdict is Verdict.OFF
    assert bench.node("pi-11").askable == "cannot-be-asked"


async def test_a_board_is_pinged_while_it_runs_before_it_goes_down(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    assert not bench.prober.asked
    await bench.ask("node/s01n1 shutdown")
    bench.boards["pi-11"].shut_down()
    bench.now += 1
    await bench.pass_time(3)
    assert bench.final("node/s01n1 shutdown").verified


async def test_a_broken_connection_is_no_goodbye(bench: Bench) -> None:
    await bench.ask("node/s01n1 shutdown")
    bench.now += 1
    bench.boards["pi-11"].die()
    await bench.pass_time(91)
    assert "not proven down within 90 s" in bench.final("node/s01n1 shutdown").error


async def test_a_second_destructive_order_is_refused_while_one_runs(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 reboot", encode(Command(by="ann")))
    final = (await bench.ask("node/s01n1 shutdown"))[-1]
    assert final.phase is Phase.REFUSED
    assert "busy: reboot by ann" in final.error


async def test_an_alias_that_fails_meanwhile_does_not_end_a_reboot(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 reboot")
    await bench.ask("node/s01n1 temperature")
    board = bench.boards["pi-11"]
    board.answer(board.orders[-1], Phase.FAILED, exit_code=1)
    await bench.calm()
    assert bench.final("node/s01n1 temperature").phase is Phase.FAILED
    assert bench.node("pi-11").verdict is Verdict.REBOOTING


async def test_a_node_that_refuses_is_told(bench: Bench) -> None:
    await bench.ask("node/s01n1 reboot")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.REFUSED, error="sudo: not allowed")
    await bench.calm()
    final = bench.final("node/s01n1 reboot")
    assert (final.phase, "sudo: not allowed" in final.error) == (Phase.REFUSED, True)
    assert bench.node("pi-11").verdict is Verdict.ONLINE


async def test_the_inbox_of_the_asker_has_the_last_word_alone(bench: Bench) -> None:
    link = bench.broker.connect(bench.master, client_id="me", subscriptions=())
    await link.start()
    await bench.calm()
    topic = f"{T.prefix}/node/s01n1/cmd/ping"
    link.publish(topic, b"", qos=1, response_topic=T.inbox("me"))
    await bench.calm()
    board = bench.boards["pi-11"]
    board.answer(board.orders[0])
    await bench.calm()
    (answer,) = bench.broker.sent(T.inbox("me"))
    assert decode(answer.payload, Reply).ok is True
    assert len(bench.replies("node/s01n1 ping")) > 1


async def test_the_inbox_of_the_asker_is_answered_and_nothing_else(
    bench: Bench,
) -> None:
    link = bench.broker.connect(bench.master, client_id="me", subscriptions=())
    await link.start()
    await bench.calm()
    topic = f"{T.prefix}/stack/9/cmd/ping"
    for inbox in (T.inbox("me"), "somewhere/else", f"{T.prefix}/node/pi-11/order"):
        link.publish(topic, b"", qos=1, response_topic=inbox, correlation=b"7")
    await bench.calm()
    (answer,) = bench.broker.sent(T.inbox("me"))
    assert answer.correlation == b"7"
    assert not bench.broker.sent("somewhere/else")
    assert not bench.boards["pi-11"].orders


async def test_a_long_receipt_comes_in_parts_that_fit(bench: Bench) -> None:
    await bench.ask("rack temperature")
    for board in bench.boards.values():
        board.answer(board.orders[0], stdout="x" * 12_000)
    await bench.calm()
    sent = bench.broker.sent(f"{T.prefix}/rack/reply/temperature")
    assert max(len(message.payload) for message in sent) <= MAX_PAYLOAD_BYTES
    parts = [r for r in bench.replies("rack temperature") if r.phase is Phase.DONE]
    assert [(r.part, r.parts) for r in parts] == [(n, 4) for n in (1, 2, 3, 4)]
    assert [row.name for r in parts for row in r.targets][-1] == "s02n2"


def break_link_for_orders(bench: Bench) -> None:
    """Let the link break at each order, and just there."""
    link = bench.master._link  # noqa: SLF001  # stands for a link that just broke
    real = link.publish

    def broken(topic: str, payload: bytes, **options: object) -> None:
        if topic.endswith("/order"):
            text = "the link just broke"
            raise NotConnectedError(text)
        real(topic, payload, **options)  # type: ignore[arg-type]  # passed on

    link.publish = broken  # type: ignore[method-assign]  # as above


@pytest.mark.parametrize("verb", ["temperature", "reboot", "shutdown"])
async def test_an_order_that_cannot_be_sent_is_said_not_to_be_delivered(
    bench: Bench, verb: str
) -> None:
    break_link_for_orders(bench)
    final = (await bench.ask(f"node/s01n1 {verb}"))[-1]
    assert final.phase is Phase.NOT_DELIVERED
    assert "the link just broke" in final.error
    state = bench.node("pi-11")
    assert (state.verdict, state.running) == (Verdict.ONLINE, None), "it runs on"


async def test_every_command_is_one_line_of_history(bench: Bench) -> None:
    before = len(bench.events)
    await bench.ask("stack/1 temperature", encode(Command(id="c7", by="ann")))
    await bench.answer_all()
    (event,) = bench.events[before:]
    assert event.text == "temperature stack/1 by ann: done, 2 of 2 done"
    assert (event.by, event.verb, event.correlation) == ("ann", "temperature", "c7")


async def test_the_history_is_on_disk_after_a_flush(bench: Bench) -> None:
    await bench.ask("rack snapshot")
    await bench.pass_time(31)
    store = bench.master._store  # noqa: SLF001  # what is on disk is the point
    assert store.waiting == 0
    kept = await store.events(EventQuery(limit=9))
    assert "snapshot rack" in " ".join(event.text for event in kept)


NODE = "node/s01n1"
ABLE = tuple(Ability(verb=verb) for verb in (*VERBS, "restart-agent"))


async def restarting(bench: Bench) -> Board:
    """Return a board whose agent said that it begins anew."""
    board = bench.boards["pi-11"]
    board.details(abilities=ABLE)
    await bench.calm()
    await bench.ask(f"{NODE} restart-agent")
    board.answer(board.orders[-1])
    board.leave()
    await bench.calm()
    assert not bench.replies(f"{NODE} restart-agent")[-1].phase.final
    return board


async def update(bench: Bench, stdout: str) -> Reply:
    """Return the receipt of an update that ends well with this output."""
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[-1], exit_code=0, stdout=stdout)
    await bench.calm()
    return bench.final(f"{NODE} update")


async def test_a_restarted_agent_is_another_session_of_the_same_boot(
    bench: Bench,
) -> None:
    board = await restarting(bench)
    board.session = "after"
    board.come()
    await bench.calm()
    final = bench.final(f"{NODE} restart-agent")
    assert (final.phase, final.verified) == (Phase.DONE, True)


async def test_an_agent_that_begins_anew_is_no_trouble(bench: Bench) -> None:
    begins = len(bench.events)
    board = await restarting(bench)
    assert "restart-agent asked" in bench.node("pi-11").reason
    await bench.pass_time(5)
    board.session = "after"
    board.come()
    await bench.calm()
    verdicts = [e for e in bench.events[begins:] if e.kind is EventKind.VERDICT]
    assert [event.text.partition(":")[0] for event in verdicts] == [
        "s01n1 is late",
        "s01n1 is online",
    ]
    assert not any(event.incident for event in verdicts)


async def test_another_boot_id_is_a_reboot_and_not_a_restart_of_the_agent(
    bench: Bench,
) -> None:
    board = await restarting(bench)
    board.session, board.boot_id = "after", "another"
    board.come()
    await bench.calm()
    final = bench.final(f"{NODE} restart-agent")
    assert final.phase is Phase.FAILED
    assert "the board rebooted, not only its agent" in final.error


async def test_another_connection_alone_is_no_restart_of_the_agent(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    board.details(abilities=ABLE)
    await bench.calm()
    await bench.ask(f"{NODE} restart-agent")
    board.session = "only-connected-again"
    board.come()
    await bench.pass_time(6)
    assert "no answer in 5 s" in bench.final(f"{NODE} restart-agent").error


async def test_an_agent_that_does_not_begin_anew_fails(bench: Bench) -> None:
    await restarting(bench)
    await bench.pass_time(61)
    error = bench.final(f"{NODE} restart-agent").error
    assert "no other session of it in 60 s" in error


async def test_an_update_of_an_hour_goes_on_while_its_agent_reports(
    bench: Bench,
) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    for minutes in range(0, 58, 10):
        board.answer(board.orders[0], Phase.RUNNING, stdout=f"minute {minutes}\n")
        await bench.pass_time(600)
        assert bench.replies(f"{NODE} update")[-1].phase is Phase.RUNNING
    assert bench.replies(f"{NODE} update")[-1].targets[0].stdout == "minute 50\n"
    board.answer(board.orders[0], exit_code=0, stdout=update_report.line(3, 0))
    await bench.calm()
    assert bench.final(f"{NODE} update").ok is True


async def test_an_agent_that_reports_no_more_fails(bench: Bench) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(901)
    assert "no progress for 900 s" in bench.final(f"{NODE} update").error


async def test_a_long_update_outlives_a_broken_connection(bench: Bench) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(60)
    board.leave()
    await bench.pass_time(90)
    board.session = "connected-again"
    board.come()
    await bench.pass_time(25)
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(600)
    board.answer(board.orders[0], exit_code=0, stdout=update_report.line(3, 0))
    await bench.calm()
    assert bench.final(f"{NODE} update").verified


@pytest.mark.parametrize("seconds", [5, 60])
async def test_an_update_whose_agent_does_not_come_back_fails(
    bench: Bench, seconds: int
) -> None:
    await bench.ask(f"{NODE} update")
    board = bench.boards["pi-11"]
    board.answer(board.orders[0], Phase.RUNNING)
    await bench.pass_time(seconds)
    board.leave()
    await bench.pass_time(121)
    final = bench.final(f"{NODE} update")
    assert "its agent left before it answered" in final.error
    assert final.duration_s == pytest.approx(seconds if seconds < 10 else 180, abs=2)


@pytest.mark.parametrize("reboot", [False, True])
async def test_an_update_is_verified_when_it_says_that_nothing_is_left(
    bench: Bench, *, reboot: bool
) -> None:
    said = update_report.line(changed=3, left=0) + (
        f"\n{update_report.REBOOT}" if reboot else ""
    )
    final = await update(bench, said)
    assert (final.ok, final.verified) == (True, True)
    assert final.targets[0].stdout == said


@pytest.mark.parametrize(
    ("stdout", "why"),
    [
        ("All good.", "does not say what it left"),
        (update_report.line(changed=3, left=2), "it left updates: 2"),
    ],
)
async def test_an_update_is_not_verified_by_its_exit_code(
    bench: Bench, stdout: str, why: str
) -> None:
    final = await update(bench, stdout)
    assert (final.ok, final.verified) == (True, False)
    assert why in final.targets[0].error
