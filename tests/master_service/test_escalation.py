"""The table of steps: what self-healing does about a board, and why not."""

from typing import Any

import pytest

from broker.contract.messages import Verdict
from master_service.healing.escalation import (
    DAY_S,
    Attempts,
    Candidate,
    HealLimits,
    HealPlan,
    next_step,
)
from master_service.rack.settings import HealSettings, HealStep

AGENT, REBOOT, POWER = HealStep.RESTART_AGENT, HealStep.REBOOT, HealStep.POWER
HUNG: dict[str, Any] = {
    "verdict": Verdict.HUNG,
    "sick_s": 300.0,
    "connected": True,
    "abilities": ("ping", "restart-agent", "reboot"),
    "outlet": "node/pi-1",
}
LOST = {**HUNG, "verdict": Verdict.LOST}
SHARED = {**HUNG, "outlet": "stack/1", "siblings": ("s01n1", "s01n3")}
LONG_AGO = {"since_s": 1_000.0, "today": 1}
SIBLINGS = {"power_siblings": True}

CASES: list[
    tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], HealStep | None, str]
] = [
    # what it is, the board, what was tried, [heal], step, words of the reason
    ("hung: the mildest step first", HUNG, {}, {}, AGENT, ""),
    ("then the machine", HUNG, {"tried": (AGENT,), **LONG_AGO}, {}, REBOOT, ""),
    ("then its power", HUNG, {"tried": (AGENT, REBOOT), **LONG_AGO}, {}, POWER, ""),
    (
        "then a person",
        HUNG,
        {"tried": (AGENT, REBOOT, POWER), **LONG_AGO},
        {},
        None,
        "restart-agent, reboot, power did not help",
    ),
    ("well", {**HUNG, "verdict": Verdict.ONLINE}, {}, {}, None, ""),
    ("late is not ill yet", {**HUNG, "verdict": Verdict.LATE}, {}, {}, None, ""),
    ("never heard", {**HUNG, "verdict": Verdict.UNSEEN}, {}, {}, None, ""),
    ("off on purpose", {**HUNG, "verdict": Verdict.OFF}, {}, {}, None, ""),
    ("booting", {**HUNG, "verdict": Verdict.BOOTING}, {}, {}, None, ""),
    ("nothing known", {**HUNG, "verdict": Verdict.UNKNOWN}, {}, {}, None, ""),
    (
        "no supply: no step on a board brings it back",
        {**HUNG, "verdict": Verdict.UNPOWERED},
        {},
        {},
        None,
        "",
    ),
    ("its agent was stopped by hand", {**HUNG, "on_purpose": True}, {}, {}, None, ""),
    ("a command is under way", {**HUNG, "busy": True}, {}, {}, None, ""),
    ("ill for a moment", {**HUNG, "sick_s": 119.0}, {}, {}, None, ""),
    ("ill for long enough", {**HUNG, "sick_s": 120.0}, {}, {}, AGENT, ""),
    ("cooling down", HUNG, {"tried": (AGENT,), "since_s": 599.0}, {}, None, ""),
    ("cooled down", HUNG, {"tried": (AGENT,), "since_s": 600.0}, {}, REBOOT, ""),
    ("locked", {**HUNG, "locked": "is locked by ann"}, {}, {}, None, "by ann"),
    ("budget spent", HUNG, {"today": 3}, {}, None, "3 steps in 24 hours"),
    ("budget larger", HUNG, {"today": 3}, {"budget_per_day": 4}, AGENT, ""),
    (
        "hung and not connected: nobody would hear an order",
        {**HUNG, "connected": False},
        {},
        {},
        POWER,
        "no restart-agent: its agent is not connected; no reboot: its agent is not",
    ),
    (
        "an agent that offers no restart",
        {**HUNG, "abilities": ("reboot",)},
        {},
        {},
        REBOOT,
        "no restart-agent: it does not offer that",
    ),
    ("lost: only its power is left", LOST, {}, {}, POWER, "it does not answer"),
    (
        "lost, and no outlet",
        {**LOST, "outlet": ""},
        {},
        {},
        None,
        "no power: no outlet is for it or its stack alone",
    ),
    (
        "lost, and healthy boards share the outlet",
        {**SHARED, "verdict": Verdict.LOST},
        {},
        {},
        None,
        "no power: s01n1, s01n3 would lose power too",
    ),
    (
        "the same, and that is allowed",
        {**SHARED, "verdict": Verdict.LOST},
        {},
        SIBLINGS,
        POWER,
        "",
    ),
    (
        "a sibling cannot be asked",
        {**SHARED, "verdict": Verdict.LOST, "unasked": ("s01n4",)},
        {},
        SIBLINGS,
        None,
        "no power: s01n4 cannot be asked to shut down",
    ),
    (
        "a sibling is locked",
        {**SHARED, "verdict": Verdict.LOST, "sibling_locked": "s01n3 is locked by ann"},
        {},
        SIBLINGS,
        None,
        "no power: s01n3 is locked by ann",
    ),
    (
        "nobody else lives on that outlet",
        {**LOST, "outlet": "stack/1"},
        {},
        {},
        POWER,
        "",
    ),
    ("reboot alone is wanted", HUNG, {}, {"steps": (REBOOT,)}, REBOOT, ""),
    (
        "reboot alone, of a lost board",
        LOST,
        {},
        {"steps": (REBOOT,)},
        None,
        "no reboot: it does not answer",
    ),
    ("power first, if somebody wants", HUNG, {}, {"steps": (POWER, REBOOT)}, POWER, ""),
]


@pytest.mark.parametrize(
    ("candidate", "attempts", "settings", "step", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_step_is_chosen(
    candidate: dict[str, Any],
    attempts: dict[str, Any],
    settings: dict[str, Any],
    step: HealStep | None,
    words: str,
) -> None:
    found = next_step(
        Candidate(**candidate), Attempts(**attempts), HealSettings(**settings)
    )
    assert found.step is step, found
    assert words in found.why
    if not words and step is None:
        assert found == HealPlan(), "it says something nobody needs to hear"


def test_out_of_the_box_nothing_is_healed_and_nothing_is_done() -> None:
    settings = HealSettings()
    assert (settings.enabled, settings.dry_run, settings.power_siblings) == (
        False,
        True,
        False,
    )


def test_a_budget_is_for_a_day_and_for_a_board() -> None:
    ward = HealLimits(HealSettings())
    for at in (0.0, 3_600.0, DAY_S - 1):
        ward.spend("a", at)
    assert ward.today("a", DAY_S - 1) == 3
    assert ward.today("a", DAY_S) == 2
    assert ward.today("a", 3 * DAY_S) == 0
    assert ward.today("b", DAY_S) == 0


def test_the_breaker_opens_after_boards_that_nothing_helped_and_closes_by_time() -> (
    None
):
    ward = HealLimits(HealSettings(breaker=2, breaker_s=100.0))
    assert ward.failed(0.0) == ""
    ward.helped()
    assert ward.failed(1.0) == ""
    assert "2 boards in a row were not helped; it stops for 1 min 40 s" in (
        ward.failed(2.0)
    )
    assert ward.hold(sick=1, whole=48, now=52.0) == "stopped for another 50 s"
    assert ward.hold(sick=1, whole=48, now=102.0) == ""


@pytest.mark.parametrize(
    ("sick", "whole", "holds"),
    [(4, 48, False), (5, 48, True), (1, 4, False), (2, 4, True), (100, 1000, False)],
)
def test_more_bad_boards_than_the_share_have_a_cause_in_common(
    sick: int, whole: int, *, holds: bool
) -> None:
    why = HealLimits(HealSettings()).hold(sick=sick, whole=whole, now=0.0)
    assert bool(why) is holds
    assert ("more than 10 %" in why) is holds


@pytest.mark.parametrize(
    ("hit", "under_way", "room"),
    [(1, 0, True), (4, 0, True), (8, 0, True), (1, 3, True), (1, 4, False)],
)
def test_only_a_share_of_the_rack_is_interrupted_at_a_time(
    hit: int, under_way: int, *, room: bool
) -> None:
    ward = HealLimits(HealSettings())
    assert ward.room(hit=hit, under_way=under_way, whole=48) is room
