"""The table of evidence: what is known about a board, and whether it may be cut.

A case is ruled on at second 1000. Its agent left at second 990, where it left at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.contract.messages import Askable, Power
from master_service.power.evidence import PowerFacts, rule, ruling
from master_service.rack.node import PingState

if TYPE_CHECKING:
    from tests.master_service.bench import Bench

MUST, DOWN = Askable.MUST_BE_ASKED, Askable.DOWN
CANNOT, NONE = Askable.CANNOT_BE_ASKED, Askable.NO_BOARD
ON, OFF, UNKNOWN = Power.ON, Power.OFF, Power.UNKNOWN

TALKS = {"reachable": True}
BYE = {"goodbye": "shutting down", "left_at": 990.0}
BROKE = {"goodbye": "", "left_at": 990.0}
PINGED = {"answers_ping": True, "answered_at": 980.0}
FIREWALL = {"answers_ping": False}
ANSWERS = {"probe": PingState.ANSWERED, "probe_at": 999.0}
SILENT = {"probe": PingState.SILENT, "probe_at": 999.0}
CANNOT_PING = {
    "probe": PingState.UNAVAILABLE,
    "probe_at": 999.0,
    "probe_note": "ICMP is not allowed",
}
FOUND = {"heard": False, "known_as": "MAC b8:27:eb:00:00:01"}
EMPTY = {"heard": False}
LOST = {"absence": "offline since 12:00:00: lost, no answer to ping"}

CASES: list[tuple[str, dict[str, Any], Askable, str]] = [
    # what it is, facts, ruling, words of why
    # a board that talks
    ("talks, pinged in this boot", {**TALKS, **PINGED}, MUST, ""),
    ("talks, not pinged yet: a ping decides", TALKS, MUST, ""),
    ("talks, was late once", {**TALKS, **PINGED, "probe": PingState.SILENT}, MUST, ""),
    (
        "talks, and does not answer pings any more",
        {**TALKS, **PINGED, **SILENT},
        CANNOT,
        "does not answer ping now",
    ),
    ("talks, the socket is gone", {**TALKS, **PINGED, **CANNOT_PING}, CANNOT, "ICMP"),
    ("talks, a firewall", {**TALKS, **FIREWALL, **SILENT}, CANNOT, "did not answer"),
    ("talks, no pings", {**TALKS, **FIREWALL, **CANNOT_PING}, CANNOT, "not allowed"),
    (
        "talks, cannot shut down",
        {**TALKS, **PINGED, "unable": "it cannot 'shutdown': sudo needs a password"},
        CANNOT,
        "sudo needs a password",
    ),
    (
        "talks although its outlet reads off",
        {**TALKS, **PINGED, "outlet": OFF},
        MUST,
        "",
    ),
    (
        "talks, and another board says that it is the same one",
        {**TALKS, **PINGED, "doubled": "two boards say they are pi-11"},
        CANNOT,
        "two boards",
    ),
    (
        "one of two with the same id said goodbye",
        {**BYE, **PINGED, **SILENT, "doubled": "two boards say they are pi-11"},
        CANNOT,
        "two boards",
    ),
    # the outlet
    ("its outlet reads off", {**LOST, "outlet": OFF}, DOWN, "its outlet reads off"),
    ("never heard, its outlet reads off", {**FOUND, "outlet": OFF}, DOWN, "reads off"),
    (
        "hung, then its outlet went off",
        {**LOST, "outlet": OFF, "outlet_at": 999.5, **ANSWERS},
        DOWN,
        "reads off",
    ),
    (
        "answers ping, its outlet reads off",
        {**LOST, "outlet": OFF, "outlet_at": 900.0, **ANSWERS},
        CANNOT,
        "check the wiring",
    ),
    (
        "the same since before the start",
        {**LOST, "outlet": OFF, **ANSWERS},
        CANNOT,
        "check the wiring",
    ),
    (
        "its outlet was not read",
        {**LOST, **SILENT, **PINGED, "outlet": UNKNOWN},
        CANNOT,
        "lost",
    ),
    ("its outlet reads on", {**LOST, **SILENT, **PINGED, "outlet": ON}, CANNOT, "lost"),
    # it said goodbye
    (
        "goodbye, then silent",
        {**BYE, **PINGED, **SILENT},
        DOWN,
        "it left: shutting down",
    ),
    (
        "goodbye before the master started",
        {**BYE, "answers_ping": True, **SILENT},
        DOWN,
        "it left",
    ),
    (
        "goodbye, still answers ping",
        {**BYE, **PINGED, **ANSWERS},
        CANNOT,
        "answers ping",
    ),
    ("goodbye, never pinged in this boot", {**BYE, **SILENT}, CANNOT, "proves nothing"),
    ("goodbye, a firewall", {**BYE, **FIREWALL, **SILENT}, CANNOT, "proves nothing"),
    (
        "goodbye, pings are not allowed",
        {**BYE, **FIREWALL, **CANNOT_PING},
        CANNOT,
        "not allowed",
    ),
    (
        "goodbye, the network is gone",
        {**BYE, **PINGED, **CANNOT_PING},
        CANNOT,
        "cannot be pinged now",
    ),
    (
        "goodbye, silence is of before",
        {**BYE, **PINGED, "probe": PingState.SILENT, "probe_at": 989.0},
        CANNOT,
        "not pinged since",
    ),
    (
        "goodbye, silence is old news",
        {**BYE, **PINGED, "probe": PingState.SILENT, "probe_at": 994.0},
        CANNOT,
        "not pinged since",
    ),
    ("goodbye, not pinged since", {**BYE, **PINGED}, CANNOT, "not pinged since"),
    (
        "goodbye of the agent alone, an hour before the cable was pulled",
        {
            "goodbye": "stopped",
            "left_at": 100.0,
            "answers_ping": True,
            "answered_at": 900.0,
            **SILENT,
        },
        CANNOT,
        "the board ran on",
    ),
    (
        "it took 80 s to go down",
        {
            "goodbye": "off",
            "left_at": 910.0,
            "answers_ping": True,
            "answered_at": 990.0,
            **SILENT,
        },
        DOWN,
        "left",
    ),
    (
        "goodbye, then its outlet came on",
        {**BYE, **PINGED, **SILENT, "outlet": ON, "outlet_at": 995.0},
        CANNOT,
        "may be booting",
    ),
    (
        "its outlet came on long before the goodbye",
        {**BYE, **PINGED, **SILENT, "outlet": ON, "outlet_at": 500.0},
        DOWN,
        "it left",
    ),
    (
        "goodbye for a reboot",
        {**BYE, **PINGED, **SILENT, "left_for": "reboot"},
        CANNOT,
        "told to reboot",
    ),
    # it said nothing
    (
        "its connection broke, silent",
        {**BROKE, **PINGED, **SILENT, **LOST},
        CANNOT,
        "lost",
    ),
    (
        "its connection broke, answers",
        {**BROKE, **PINGED, **ANSWERS, "absence": "hung"},
        CANNOT,
        "hung",
    ),
    (
        "its connection broke, not pinged",
        {**BROKE, **CANNOT_PING, **LOST},
        CANNOT,
        "lost",
    ),
    ("silent with an open connection", {**PINGED, **SILENT, **LOST}, CANNOT, "lost"),
    ("silent, and nothing is known", {}, CANNOT, "silent"),
    # it was never heard
    ("an install run found it", FOUND, CANNOT, "b8:27:eb:00:00:01"),
    ("found, answers ping", {**FOUND, **ANSWERS}, CANNOT, "b8:27:eb:00:00:01"),
    ("found, does not answer", {**FOUND, **SILENT}, CANNOT, "ever heard"),
    (
        "configured and never heard",
        {"heard": False, "known_as": "pi-11"},
        CANNOT,
        "pi-11",
    ),
    ("an empty slot", EMPTY, NONE, ""),
    ("an empty slot, silent", {**EMPTY, **SILENT}, NONE, ""),
    ("an empty slot whose outlet is on", {**EMPTY, "outlet": ON}, NONE, ""),
]


@pytest.mark.parametrize(
    ("facts", "askable", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_ruling(facts: dict[str, Any], askable: Askable, words: str) -> None:
    ruling = rule(PowerFacts(now=1000.0, **facts))
    assert ruling.askable is askable, ruling
    assert words in ruling.why


@pytest.mark.parametrize("probe", list(PingState))
@pytest.mark.parametrize("answers", [None, False, True])
def test_without_a_goodbye_no_silence_is_evidence(
    probe: PingState, *, answers: bool | None
) -> None:
    for left_at in (None, 990.0):
        facts = PowerFacts(
            now=1000.0,
            outlet=ON,
            left_at=left_at,
            answers_ping=answers,
            probe=probe,
            probe_at=999.0,
        )
        assert rule(facts).askable is CANNOT


def test_what_a_ping_may_change_says_so() -> None:
    waits = {"goodbye": "shutting down", "left_at": 990.0, "answers_ping": True}
    assert rule(PowerFacts(now=1000.0, **waits)).ping  # type: ignore[arg-type]  # fields by name
    assert rule(PowerFacts(now=1000.0, reachable=True)).ping
    assert not rule(PowerFacts(now=1000.0, reachable=True, answers_ping=True)).ping


def askable(bench: Bench, node_id: str) -> Askable:
    node = bench.master.rack.registry.nodes[node_id]
    return ruling(bench.master.rack, node, bench.now).askable


async def test_each_board_is_pinged_once_in_each_boot(bench: Bench) -> None:
    await bench.pass_time(60)
    asked = sorted(bench.prober.asked)
    assert asked == sorted(board.address for board in bench.boards.values())
    board = bench.boards["pi-11"]
    board.boot_id = board.session = "another"
    board.come()
    await bench.pass_time(60)
    assert bench.prober.asked.count(board.address) == 2
    assert askable(bench, "pi-11") is Askable.MUST_BE_ASKED


async def test_a_board_that_does_not_answer_is_pinged_three_times(
    bench: Bench,
) -> None:
    board = bench.boards["pi-11"]
    bench.prober.alive.discard(board.address)
    board.boot_id = board.session = "another"
    board.details()
    board.beat()
    before = bench.prober.asked.count(board.address)
    await bench.pass_time(120)
    assert bench.prober.asked.count(board.address) - before == 3
    assert askable(bench, "pi-11") is Askable.CANNOT_BE_ASKED


async def test_that_it_answered_is_known_after_a_restart_of_the_master(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    await bench.restart()
    node = bench.master.rack.registry.nodes["pi-11"]
    assert node.answers_ping


async def test_a_board_that_answers_again_after_it_left_booted_again(
    bench: Bench,
) -> None:
    await bench.pass_time(2)
    board = bench.boards["pi-11"]
    board.shut_down()
    await bench.pass_time(2)
    assert askable(bench, "pi-11") is Askable.DOWN
    await bench.pass_time(20)
    bench.prober.alive.add(board.address)
    await bench.pass_time(60)
    bench.prober.alive.discard(board.address)
    await bench.pass_time(60)
    node = bench.master.rack.registry.nodes["pi-11"]
    node.probe_at = bench.now
    assert askable(bench, "pi-11") is Askable.CANNOT_BE_ASKED
