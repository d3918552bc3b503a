"""What belongs together is one incident, and its headline names what to look at.

The table plays edges on a rack of three stacks with four boards each, an outlet for
every stack, heartbeats every 10 s; it lists the headlines that follow, and for each
board the incident its lines carry.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from broker.contract.messages import EventKind, Power, Verdict
from broker.contract.topics import Topics
from master_service.incidents.incidents import Incidents
from master_service.rack.events import Outbox
from master_service.rack.outlet_state import Panel
from master_service.rack.records import NodeRecord, OutletRecord
from master_service.rack.registry import Registry
from master_service.rack.settings import Driver, OutletRow

V = Verdict
STACK = ("s01n1", "s01n2", "s01n3", "s01n4")
CUT = [(0, STACK, V.LATE), (10, STACK, V.UNPOWERED)]

CASES: list[
    tuple[str, list[tuple[Any, ...]], list[tuple[str, ...]], dict[str, str]]
] = [
    # what it is, (second, boards, verdict or under-voltage), words of each headline,
    # the incident that each board's last line carries
    (
        "one board falls silent and comes back: its own lines say it all",
        [(0, "s01n1", V.LATE), (10, "s01n1", V.LOST), (90, "s01n1", V.ONLINE)],
        [],
        {"s01n1": "i-100"},
    ),
    (
        "a board hangs, comes back, hangs: two incidents",
        [(0, "s01n1", V.HUNG), (30, "s01n1", V.ONLINE), (60, "s01n1", V.HUNG)],
        [],
        {"s01n1": "i-101"},
    ),
    (
        "a stack falls silent as one: one headline, and it names supply and network",
        CUT,
        [("i-100", "stack 1: all 4 boards", "plug-1 reads on", "PSU")],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "beats end within one interval, and the verdicts with them",
        [
            (0, "s01n1", V.LATE),
            (3, "s01n2", V.LATE),
            (6, "s01n3", V.LATE),
            (9, "s01n4", V.LATE),
            (10, "s01n1", V.LOST),
            (13, STACK, V.UNPOWERED),
        ],
        [("i-100", "stack 1: all 4 boards")],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "the stack is back: its end is said once, by the last board",
        [*CUT, (60, STACK[:3], V.ONLINE), (95, "s01n4", V.ONLINE)],
        [("i-100", "supply"), ("i-100", "stack 1 is well again after 1 min 3")],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "boards that boot on their own power are still the same incident",
        [*CUT, (60, STACK, V.BOOTING), (90, STACK, V.ONLINE)],
        [("supply",), ("well again",)],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "switched off on purpose afterwards ends it too",
        [*CUT, (60, STACK, V.OFF)],
        [("supply",), ("well again",)],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "two of four: not the supply, but what those two share",
        [(0, STACK[:2], V.LATE), (10, STACK[:2], V.LOST)],
        [("i-100", "2 of 4 boards of stack 1", "s01n1, s01n2", "switch")],
        {"s01n1": "i-100", "s01n2": "i-100"},
    ),
    (
        "several, while one is not decided yet: nothing is said too early",
        [(0, STACK[:3], V.LATE), (10, STACK[:2], V.LOST)],
        [],
        {"s01n1": "i-100", "s01n3": "i-100"},
    ),
    (
        "first several, then all: the headline grows",
        [
            (0, STACK[:2], V.LATE),
            (5, STACK[:2], V.LOST),
            (12, STACK[2:], V.LATE),
            (14, STACK, V.UNPOWERED),
        ],
        [("i-100", "2 of 4"), ("i-100", "stack 1: all 4 boards")],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "lost an hour ago is not part of what happens now",
        [(0, "s01n1", V.LOST), (3600, STACK[1:], V.UNPOWERED)],
        [("i-101", "s01n2, s01n3, s01n4", "supply")],
        {"s01n1": "i-100", "s01n2": "i-101"},
    ),
    (
        "two stacks at once are two supplies",
        [(0, STACK, V.UNPOWERED), (0, ("s02n1", "s02n2"), V.UNPOWERED)],
        [("i-100", "stack 1"), ("i-101", "stack 2")],
        {"s01n1": "i-100", "s02n1": "i-101"},
    ),
    (
        "two boards of different stacks have nothing in common",
        [(0, ("s01n1", "s02n1"), V.LATE), (10, ("s01n1", "s02n1"), V.LOST)],
        [],
        {"s01n1": "i-100", "s02n1": "i-101"},
    ),
    (
        "a board without a stack is alone",
        [(0, "alone", V.LATE), (10, "alone", V.UNPOWERED)],
        [],
        {"alone": "i-100"},
    ),
    (
        "late for a moment: no headline, however many",
        [(0, STACK, V.LATE), (2, STACK, V.ONLINE)],
        [],
        dict.fromkeys(STACK, "i-100"),
    ),
    (
        "what a command explains is no incident",
        [(0, STACK, V.STOPPING, "asked"), (9, STACK, V.UNPOWERED, "asked")],
        [],
        dict.fromkeys(STACK, ""),
    ),
    (
        "a command on a board of an incident stays in it",
        [
            (0, "s01n1", V.HUNG),
            (60, "s01n1", V.REBOOTING, "asked"),
            (90, "s01n1", V.ONLINE, "asked"),
        ],
        [],
        {"s01n1": "i-100"},
    ),
    (
        "under-voltage of one board everywhere: its own cable",
        [(0, "s01n2", True)],
        [("i-100", "s01n2 alone", "its own cable")],
        {"s01n2": "i-100"},
    ),
    (
        "under-voltage of two boards of one stack: what they share",
        [(0, "s01n2", True), (9, "s01n4", True)],
        [("i-100", "of stack 1: 2 boards", "s01n2, s01n4", "PSU, relay contact")],
        {"s01n2": "i-100", "s01n4": "i-100"},
    ),
    (
        "one in each of two stacks: two cables",
        [(0, ("s01n1", "s02n1"), True)],
        [("i-100", "s01n1 alone"), ("i-101", "s02n1 alone")],
        {"s01n1": "i-100", "s02n1": "i-101"},
    ),
    (
        "first one, later a second while the first still complains",
        [(0, "s01n2", True), (300, "s01n4", True)],
        [("i-100", "s01n2 alone"), ("i-100", "stack 1: 2 boards")],
        {"s01n4": "i-100"},
    ),
    (
        "first one, and long after it was over another: two cables",
        [(0, "s01n2", True), (5, "s01n2", False), (900, "s01n4", True)],
        [("i-100", "s01n2 alone"), ("i-101", "s01n4 alone")],
        {"s01n2": "i-100", "s01n4": "i-101"},
    ),
    (
        "first one, and minutes after it was over another: two cables",
        [(0, "s01n2", True), (5, "s01n2", False), (300, "s01n4", True)],
        [("i-100", "s01n2 alone"), ("i-101", "s01n4 alone")],
        {"s01n2": "i-100", "s01n4": "i-101"},
    ),
    (
        "a supply that flaps is one incident",
        [(at, "s01n2", at % 40 == 0) for at in range(0, 400, 20)],
        [("i-100", "s01n2 alone")],
        {"s01n2": "i-100"},
    ),
    (
        "all of a stack complain, then fall silent: the headline remembers",
        [(0, STACK, True), (20, STACK, V.LATE), (30, STACK, V.UNPOWERED)],
        [("i-100", "stack 1 (4 boards)"), ("i-101", "under-voltage came before")],
        dict.fromkeys(STACK, "i-101"),
    ),
]


@pytest.mark.parametrize(
    ("edges", "headlines", "ids"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_what_belongs_together_is_one_incident(
    edges: list[tuple[Any, ...]], headlines: list[tuple[str, ...]], ids: dict[str, str]
) -> None:
    play = Play()
    for second, boards, what, *rest in edges:
        play.until(second)
        for name in (boards,) if isinstance(boards, str) else boards:
            play.edge(name, what, asked=bool(rest))
    play.until(play.now + 30)
    assert len(play.headlines) == len(headlines), play.headlines
    for said, words in zip(play.headlines, headlines, strict=True):
        assert all(word in said for word in words), said
    assert {name: play.ids[name][-1] for name in ids} == ids


def test_a_tripped_relay_is_named_instead_of_the_supply() -> None:
    play = Play(Power.OFF)
    for name in STACK:
        play.edge(name, V.UNPOWERED)
    play.until(5)
    (said,) = play.headlines
    assert "outlet plug-1 reads off although it should be on; check the relay" in said


def test_a_weak_board_that_was_moved_leaves_nothing_at_its_old_stack() -> None:
    play = Play()
    moved = play.registry.find("s01n1")
    assert moved is not None
    play.edge("s01n1", what=True)
    play.registry.move(moved, None, None)
    play.edge("s01n1", what=False)
    play.registry.forget(moved)
    play.incidents.forget(moved)
    play.until(120)
    for name in STACK[1:]:
        play.edge(name, V.UNPOWERED)
    play.until(130)
    (said,) = play.headlines
    assert "under-voltage came before" not in said


def test_a_forgotten_board_keeps_nothing_open() -> None:
    play = Play()
    for name in STACK:
        play.edge(name, V.UNPOWERED)
    play.edge("s01n1", what=True)
    for name in STACK:
        node = play.registry.find(name)
        assert node is not None
        play.incidents.forget(node)
        play.registry.forget(node)
    play.until(5)
    assert play.headlines == []


def test_an_incident_is_written_into_the_published_line() -> None:
    outbox = Outbox()
    outbox.note(EventKind.INCIDENT, "words", stack=3, incident="i-7")
    event = outbox.drafts[0].event(seq=1, ts=2.0)
    assert msgspec.structs.asdict(event)["incident"] == "i-7"


class Play:
    """Incidents, and a rack whose boards have the verdicts they are given."""

    def __init__(self, level: Power = Power.ON) -> None:
        self.registry = Registry(Topics("lab"))
        records = [
            NodeRecord(f"pi-{s}{n}", f"s0{s}n{n}", s, n, known=True)
            for s in (1, 2, 3)
            for n in (1, 2, 3, 4)
        ]
        records.append(NodeRecord("pi-alone", "alone", known=True))
        self.registry.restore(records, ())
        rows = [
            OutletRow(name=f"plug-{s}", driver=Driver.FAKE, stack=s) for s in (1, 2, 3)
        ]
        saved = tuple(OutletRecord(row.name, Power.ON, level) for row in rows)
        self.outbox = Outbox()
        panel = Panel(tuple(rows), saved)
        self.incidents = Incidents(self.registry, panel, self.outbox, first=100)
        for node in self.registry.nodes.values():
            node.verdict = Verdict.ONLINE
        self.now = 0.0
        self.ids: dict[str, list[str]] = {}

    def until(self, now: float) -> None:
        while self.now < now:
            self.now = min(now, self.now + 0.5)
            self.incidents.tick(self.now)

    def edge(self, name: str, what: Verdict | bool, *, asked: bool = False) -> str:  # noqa: FBT001  # the table's cell
        """Give a board another verdict, or begin or end its under-voltage."""
        node = self.registry.find(name)
        assert node is not None
        if isinstance(what, bool):
            mine = self.incidents.voltage(node, self.now, low=what)
        else:
            before, node.verdict = node.verdict, what
            mine = self.incidents.verdict(node, before, self.now, asked=asked)
        self.ids.setdefault(name, []).append(mine)
        return mine

    @property
    def headlines(self) -> list[str]:
        assert {draft.kind for draft in self.outbox.drafts} <= {EventKind.INCIDENT}
        return [f"{draft.incident}: {draft.text}" for draft in self.outbox.drafts]


def test_an_outage_of_the_broker_is_one_incident_whoever_is_not_back() -> None:
    play = Play()
    play.incidents.link_down(0)
    assert play.incidents.outage == "i-100"
    play.until(120)
    play.incidents.link_up(120, grace_until=150)
    for node in play.registry.nodes.values():
        play.edge(node.name, V.UNKNOWN)
    for name in ("s03n1", "s03n2", "s03n3", "s03n4", "s02n1", "s02n2", "s02n3"):
        play.edge(name, V.ONLINE)
    play.until(151)
    for name in (*STACK, "s02n4"):
        assert play.edge(name, V.LATE) == "i-100"
        assert play.edge(name, V.LOST) == "i-100"
    play.until(160)
    away, missing = play.headlines
    assert away == (
        "i-100: the broker was away for 2 min; verdicts were frozen meanwhile"
    )
    assert missing == (
        "i-100: not back since the broker's outage: stack 1 (4 boards), s02n4"
    )
    for name in (*STACK, "s02n4"):
        assert play.edge(name, V.ONLINE) == "i-100"
    play.until(170)
    assert play.headlines[2:] == [
        "i-100: all boards are back since the broker's outage"
    ]
    assert play.incidents.outage == ""


def test_an_outage_that_all_survive_ends_by_itself() -> None:
    play = Play()
    play.incidents.link_down(0)
    play.incidents.link_up(5, grace_until=35)
    play.until(41)
    assert len(play.headlines) == 1
    assert play.incidents.outage == ""
    assert play.edge("s01n1", V.LATE) == "i-101"


def test_a_broker_that_comes_and_goes_within_the_grace_is_one_outage() -> None:
    play = Play()
    for at in (0, 10, 20):
        play.incidents.link_down(at)
        play.incidents.link_up(at + 5, grace_until=at + 35)
    assert {line.split(":")[0] for line in play.headlines} == {"i-100"}


def test_the_first_connection_is_no_outage() -> None:
    play = Play()
    play.incidents.link_up(1, grace_until=31)
    play.until(60)
    assert play.headlines == []
