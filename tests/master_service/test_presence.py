"""The table of verdicts: what is known about a node, and what the rack says of it.

Interval 10 s, so late at 20 s of silence, hung or lost at 30 s. The master came back at
second 100 with a grace until 130; a case is judged at second 1000.
"""

# long: one table, read from top to bottom

from typing import Any

import pytest

from broker.contract.messages import Power, Status, Verdict
from broker.contract.verbs import Verb
from master_service.presence.judge import Facts, judge
from master_service.rack.node import Pending, PingState
from master_service.rack.outlet_state import Outlet

V = Verdict
ONLINE, OFFLINE = Status.ONLINE, Status.OFFLINE
ON = Outlet(Power.ON, Power.ON)
OFF = Outlet(Power.OFF, Power.OFF)
TRIPPED = Outlet(Power.ON, Power.OFF)
BLIND = Outlet(Power.ON, Power.UNKNOWN)


def on_since(second: float) -> Outlet:
    return Outlet(Power.ON, Power.ON, second)


def off_since(second: float) -> Outlet:
    return Outlet(Power.OFF, Power.OFF, second)


def asked(verb: Verb, until: float = 1100.0) -> Pending:
    return Pending(verb, "ann", until)


YES = {"probe": PingState.ANSWERED, "probe_at": 999.0}
NO = {"probe": PingState.SILENT, "probe_at": 999.0}
CANNOT = {"probe": PingState.UNAVAILABLE, "probe_at": 999.0, "probe_note": "no rights"}
LEFT = {"status": OFFLINE, "status_at": 998.5}
NEW = {"known": False}
BACK = {"back_at": 990.0, "grace_until": 1020.0}
TRUSTED = {**BACK, "trusted_at": 999.0}

CASES: list[tuple[str, dict[str, Any], Verdict, str]] = [
    # what it is, facts, verdict, words of the reason
    ("heard a second ago", {"heard_at": 999}, V.ONLINE, ""),
    ("heard 19 s ago", {"heard_at": 981}, V.ONLINE, ""),
    ("heard 20 s ago", {"heard_at": 980}, V.LATE, "no heartbeat"),
    ("heard 29 s ago, ping unanswered", {"heard_at": 971, **NO}, V.LATE, ""),
    ("heard 29 s ago, ping answered", {"heard_at": 971, **YES}, V.LATE, ""),
    ("silent 30 s, pings", {"heard_at": 970, **YES}, V.HUNG, "answers ping"),
    (
        "was lost and answers ping again",
        {"heard_at": 700, "before": V.LOST, "before_at": 730.0, **YES},
        V.BOOTING,
        "answers ping again",
    ),
    (
        "all lost power and came back, its agent did not yet",
        {"heard_at": 700, "before": V.BOOTING, "before_at": 770.0, **YES},
        V.BOOTING,
        "its agent may take 240 s",
    ),
    (
        "came back, but its agent did not in twice its boot time",
        {"heard_at": 700, "before": V.BOOTING, "before_at": 750.0, **YES},
        V.HUNG,
        "answers ping",
    ),
    ("silent 30 s, no ping", {"heard_at": 970, **NO}, V.LOST, "no answer to ping"),
    ("silent 30 s, cannot ping", {"heard_at": 970, **CANNOT}, V.LOST, "no rights"),
    ("silent 30 s, ping never came back", {"heard_at": 970}, V.LOST, "not pinged"),
    (
        "an answer from before the silence says nothing",
        {"heard_at": 985, "status": OFFLINE, "status_at": 999.5, **YES},
        V.LATE,
        "asking the board",
    ),
    (
        "beats without vitals",
        {"heard_at": 999, "no_vitals": True},
        V.ONLINE,
        "connected, no vitals",
    ),
    (
        "beats without vitals though its outlet reads off",
        {"heard_at": 999, "no_vitals": True, "outlet": off_since(900)},
        V.ONLINE,
        "check the wiring",
    ),
    (
        "never beats, but its connection denies that it is dead; no ping",
        {"heard_at": 900, "status": ONLINE, "link_answers": True, **NO},
        V.HUNG,
        "connected, no vitals; no heartbeat",
    ),
    (
        "its connection denies that all of its stack lost power",
        {"heard_at": 900, "status": ONLINE, "link_answers": True, "together": 4, **NO},
        V.HUNG,
        "connected, no vitals",
    ),
    (
        "its connection denies it, and nobody can ping",
        {"heard_at": 900, "status": ONLINE, "link_answers": True, **CANNOT},
        V.HUNG,
        "connected, no vitals",
    ),
    ("will, board not asked yet", {"heard_at": 997, **LEFT}, V.LATE, "asking"),
    ("will, pings", {"heard_at": 997, **LEFT, **YES}, V.HUNG, "connection broke"),
    ("will, no ping", {"heard_at": 997, **LEFT, **NO}, V.LOST, "connection broke"),
    ("will, cannot ping", {"heard_at": 997, **LEFT, **CANNOT}, V.LOST, "no rights"),
    (
        "goodbye, pings",
        {"heard_at": 997, "goodbye": "stopped by systemd", **LEFT, **YES},
        V.HUNG,
        "it left: stopped by systemd",
    ),
    (
        "goodbye, no ping",
        {"heard_at": 997, "goodbye": "going down", **LEFT, **NO},
        V.LOST,
        "it left: going down",
    ),
    ("a stale will: heartbeat after it", {"heard_at": 999, **LEFT}, V.ONLINE, ""),
    (
        "stored online, but silent",
        {"heard_at": 900, "status": ONLINE, "status_at": 900, **NO},
        V.LOST,
        "",
    ),
    (
        "fast node, 1 s interval, 1.5 s ago",
        {"heard_at": 998.5, "interval_s": 1},
        V.ONLINE,
        "",
    ),
    ("fast node, 2 s ago", {"heard_at": 998, "interval_s": 1}, V.LATE, ""),
    (
        "slow node, 60 s interval, 90 s ago",
        {"heard_at": 910, "interval_s": 60},
        V.ONLINE,
        "",
    ),
    # the outlet
    ("outlet off on purpose", {"heard_at": 900, "outlet": OFF}, V.OFF, "outlet is off"),
    ("off on purpose, never heard", {**NEW, "outlet": OFF}, V.OFF, "outlet is off"),
    (
        "just cut, last beat before",
        {"heard_at": 995, "outlet": off_since(996)},
        V.OFF,
        "",
    ),
    (
        "speaks though its outlet is off",
        {"heard_at": 999, "outlet": off_since(900)},
        V.ONLINE,
        "check the wiring",
    ),
    (
        "relay tripped",
        {"heard_at": 900, "outlet": TRIPPED},
        V.UNPOWERED,
        "check the relay",
    ),
    ("relay unreadable, heard", {"heard_at": 999, "outlet": BLIND}, V.ONLINE, ""),
    ("relay unreadable, gone", {"heard_at": 900, "outlet": BLIND, **NO}, V.LOST, ""),
    (
        "power came, boots",
        {"heard_at": 800, "outlet": on_since(950)},
        V.BOOTING,
        "power came",
    ),
    (
        "power came, new board",
        {**NEW, "outlet": on_since(950)},
        V.BOOTING,
        "power came",
    ),
    (
        "power came, answered already",
        {"heard_at": 999, "outlet": on_since(950)},
        V.ONLINE,
        "",
    ),
    (
        "power came long ago, pings",
        {"heard_at": 300, "outlet": on_since(400), **YES},
        V.HUNG,
        "",
    ),
    (
        "power came long ago, silent",
        {"heard_at": 300, "outlet": on_since(400), **NO},
        V.LOST,
        "",
    ),
    (
        "boots fast as learnt, and is over its time",
        {"heard_at": 800, "outlet": on_since(950), "boot_s": 20, **NO},
        V.LOST,
        "",
    ),
    ("powered, pings, no agent", {"heard_at": 900, "outlet": ON, **YES}, V.HUNG, ""),
    (
        "all four of a stack at once",
        {"heard_at": 970, "outlet": ON, "together": 4, **NO},
        V.UNPOWERED,
        "all 4 boards",
    ),
    (
        "all four at once, and the outlet reads on",
        {"heard_at": 970, "outlet": ON, "together": 4, **NO},
        V.UNPOWERED,
        "while its outlet reads on; no power or no network",
    ),
    (
        "two of a stack that have an outlet for themselves",
        {"heard_at": 970, "together": 2, "shares": "outlet", **NO},
        V.UNPOWERED,
        "all 2 boards of its outlet",
    ),
    (
        "power came, and none of four boards did",
        {"heard_at": 300, "outlet": on_since(400), "together": 4, **NO},
        V.UNPOWERED,
        "power came, but none of the 4 boards",
    ),
    (
        "power came, none came, but one pings",
        {"heard_at": 300, "outlet": on_since(400), "together": 0, **YES},
        V.HUNG,
        "",
    ),
    (
        "none of four heard since the master started",
        {"heard_at": None, "outlet": ON, "together": 4, **NO},
        V.UNPOWERED,
        "none of the 4 boards of its stack was heard again",
    ),
    (
        "boots, though all of its stack were silent before",
        {"heard_at": 300, "outlet": on_since(950), "together": 4, **NO},
        V.BOOTING,
        "power came",
    ),
    (
        "boots slowly, as learnt",
        {"heard_at": 300, "outlet": on_since(400), "boot_s": 301, **NO},
        V.BOOTING,
        "602 s",
    ),
    (
        "boots, and pings already",
        {"heard_at": 800, "outlet": on_since(950), **YES},
        V.BOOTING,
        "",
    ),
    (
        "wanted off, reads on, and speaks: the relay did not open",
        {"heard_at": 999, "outlet": Outlet(Power.OFF, Power.ON)},
        V.ONLINE,
        "should be off and reads on",
    ),
    (
        "shut down, and its outlet comes off after it",
        {"heard_at": 900, "halted_by": "ann", "outlet": off_since(950), **NO},
        V.OFF,
        "its outlet is off",
    ),
    (
        "shut down, and its relay tripped",
        {"heard_at": 900, "halted_by": "ann", "outlet": TRIPPED, **NO},
        V.UNPOWERED,
        "check the relay",
    ),
    ("all at once but it pings", {"heard_at": 970, "together": 4, **YES}, V.HUNG, ""),
    ("alone in its stack", {"heard_at": 970, "together": 1, **NO}, V.LOST, ""),
    # what we asked for
    (
        "reboot asked, still talking",
        {"heard_at": 999, "pending": asked(Verb.REBOOT)},
        V.REBOOTING,
        "asked by ann",
    ),
    (
        "reboot asked, gone",
        {"heard_at": 950, "pending": asked(Verb.REBOOT), **LEFT, **NO},
        V.REBOOTING,
        "another boot id",
    ),
    (
        "reboot asked, deadline passed, gone",
        {"heard_at": 900, "pending": asked(Verb.REBOOT, 990), **NO},
        V.LOST,
        "",
    ),
    (
        "shutdown asked, still talking",
        {"heard_at": 999, "pending": asked(Verb.SHUTDOWN)},
        V.STOPPING,
        "asked by ann",
    ),
    (
        "shutdown asked, deadline passed, talks",
        {"heard_at": 999, "pending": asked(Verb.SHUTDOWN, 990)},
        V.ONLINE,
        "",
    ),
    (
        "shut down with proof",
        {"heard_at": 900, "halted_by": "ann", **NO},
        V.OFF,
        "by ann",
    ),
    ("shut down, woke by itself", {"heard_at": 999, "halted_by": "ann"}, V.ONLINE, ""),
    # nothing known yet, and outages
    ("expected, never heard", NEW, V.UNSEEN, "never heard"),
    ("never heard, in the grace", {**NEW, **BACK}, V.UNSEEN, ""),
    ("back, not heard again", {"heard_at": 900, **BACK}, V.UNKNOWN, "just came back"),
    ("back, heard", {"heard_at": 995, **BACK}, V.ONLINE, ""),
    ("master new, not heard", {"heard_at": None, **BACK}, V.UNKNOWN, ""),
    (
        "back, and the broker stored offline",
        {"heard_at": 985, "status": OFFLINE, "status_at": 991, **BACK},
        V.UNKNOWN,
        "",
    ),
    (
        "back, heard, then its will came",
        {"heard_at": 995, **LEFT, **NO, **BACK},
        V.LOST,
        "connection broke",
    ),
    ("back, outlet off", {"heard_at": 900, "outlet": OFF, **BACK}, V.OFF, ""),
    (
        "grace over, silent, no ping",
        {"heard_at": None, **NO},
        V.LOST,
        "since the master",
    ),
    ("grace over, silent, pings", {"heard_at": None, **YES}, V.HUNG, ""),
    (
        "grace just over, board not asked",
        {"heard_at": None, "back_at": 970, "grace_until": 999},
        V.LATE,
        "asking",
    ),
    (
        "the broker was up all the time: stored will, no ping",
        {"heard_at": None, **TRUSTED, **LEFT, **NO},
        V.LOST,
        "connection broke, and no answer to ping",
    ),
    (
        "the broker was up all the time: stored will, pings",
        {"heard_at": None, **TRUSTED, **LEFT, **YES},
        V.HUNG,
        "connection broke, but the board answers ping",
    ),
    (
        "the broker was up all the time: stored will, board not asked yet",
        {"heard_at": None, **TRUSTED, "status": OFFLINE, "status_at": 990.0},
        V.LATE,
        "asking",
    ),
    (
        "the broker was up all the time: stored online, silent",
        {"heard_at": None, **TRUSTED, "status": ONLINE, **NO},
        V.UNKNOWN,
        "just came back",
    ),
    (
        "the broker may have been away too: a stored will says little",
        {"heard_at": None, **BACK, **LEFT, **NO},
        V.UNKNOWN,
        "just came back",
    ),
    (
        "its agent begins anew",
        {"heard_at": 997, "pending": asked(Verb.RESTART_AGENT), **LEFT, **YES},
        V.LATE,
        "restart-agent asked by ann; waiting for its agent",
    ),
    (
        "its agent is asked to begin anew, and still talks",
        {"heard_at": 999, "pending": asked(Verb.RESTART_AGENT)},
        V.ONLINE,
        "",
    ),
    (
        "no broker: was online",
        {"heard_at": 900, "before": V.ONLINE, "link_down": True},
        V.ONLINE,
        "frozen",
    ),
    (
        "no broker: was lost",
        {"heard_at": 900, "before": V.LOST, "link_down": True},
        V.LOST,
        "frozen",
    ),
]


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_node_is_judged(facts: dict[str, Any], verdict: Verdict, words: str) -> None:
    base: dict[str, Any] = {
        "now": 1000.0,
        "known": True,
        "back_at": 100.0,
        "grace_until": 130.0,
    }
    finding = judge(Facts(**{**base, **facts}))
    assert finding.verdict is verdict, finding
    assert words in finding.reason
    assert finding.until > 1000.0, "a verdict must not ask to be judged again at once"


def test_the_table_knows_every_verdict() -> None:
    assert {case[2] for case in CASES} == set(Verdict) - {Verdict.OTHER}


def test_a_silent_node_is_late_exactly_after_two_intervals() -> None:
    finding = judge(Facts(now=1000.0, known=True, heard_at=995.0))
    assert finding.until == 1015.0
    assert judge(Facts(now=1015.0, known=True, heard_at=995.0)).verdict is Verdict.LATE


@pytest.mark.parametrize("silent_s", [25.0, 31.0, 300.0])
def test_the_board_of_a_silent_node_is_asked(silent_s: float) -> None:
    assert judge(Facts(now=1000.0, known=True, heard_at=1000 - silent_s)).ask


def test_the_reason_of_a_long_silence_does_not_change_with_every_second() -> None:
    facts = {"known": True, "heard_at": 900.0, **NO}
    first, later = (judge(Facts(now=now, **facts)) for now in (1000.0, 1001.0))  # type: ignore[arg-type]  # the table's facts are untyped on purpose
    assert first == later
