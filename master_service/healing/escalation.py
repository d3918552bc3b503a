"""Which step a board gets next, if any, and why not; pure.

``tests/master_service/test_ladder.py`` is the table of cases.
"""

import msgspec

from broker.contract.messages import Verdict
from master_service.rack.settings import HealSettings, HealStep

SICK = frozenset({Verdict.HUNG, Verdict.LOST})
"""A board without power is not sick: no step on a board brings its supply back."""


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one board at one moment.

    Args:
        verdict: Of the board.
        sick_s: Seconds it has been hung or lost.
        connected: Its agent's connection is open, as far as anybody knows.
        abilities: What it said it can do.
        on_purpose: It was shut down or its agent stopped by somebody.
        busy: A command is under way on it.
        locked: By whom it is reserved, in words; empty: by nobody.
        outlet: The scope that switches it: itself, or its whole stack; empty: none.
        siblings: Names of boards that live and lose power with it.
        unasked: Names of boards that lose power with it, and that cannot be asked to
            shut down.
        sibling_locked: Why one of those must not be interrupted; empty: none is locked.
    """

    verdict: Verdict
    sick_s: float = 0.0
    connected: bool = False
    abilities: tuple[str, ...] = ()
    on_purpose: bool = False
    busy: bool = False
    locked: str = ""
    outlet: str = ""
    siblings: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    sibling_locked: str = ""


class Past(msgspec.Struct, frozen=True):
    """What was tried.

    Args:
        tried: Steps of this illness, in order.
        since_s: Seconds since the last; infinite: there was none.
        today: Steps within 24 hours.
    """

    tried: tuple[HealStep, ...] = ()
    since_s: float = float("inf")
    today: int = 0


class Plan(msgspec.Struct, frozen=True):
    """What is to be done now.

    Args:
        step: The step; None: nothing.
        why: Reasons of the steps that are left out, or why nothing is done; empty:
            nothing needs to be said.
        over: Nothing is left to try: a person is needed.
    """

    step: HealStep | None = None
    why: str = ""
    over: bool = False


NOTHING = Plan()


def plan(patient: Patient, past: Past, settings: HealSettings) -> Plan:
    """Return the next step for a board."""
    if patient.verdict not in SICK or patient.on_purpose or patient.busy:
        return NOTHING
    if patient.sick_s < settings.patience_s or past.since_s < settings.cool_down_s:
        return NOTHING
    if patient.locked:
        return Plan(why=patient.locked)
    if past.today >= settings.budget_per_day:
        return Plan(why=f"{past.today} steps in 24 hours are its budget")
    left_out: list[str] = []
    for step in _left(settings.steps, past.tried):
        obstacle = _obstacle(step, patient, settings)
        if not obstacle:
            return Plan(step, "; ".join(left_out))
        left_out.append(f"no {step}: {obstacle}")
    why = "; ".join(left_out) or f"{', '.join(past.tried)} did not help"
    return Plan(why=why, over=True)


def _left(
    steps: tuple[HealStep, ...], tried: tuple[HealStep, ...]
) -> tuple[HealStep, ...]:
    """Return the steps after the last that was tried."""
    if not tried or tried[-1] not in steps:
        return steps
    return steps[steps.index(tried[-1]) + 1 :]


def _obstacle(step: HealStep, patient: Patient, settings: HealSettings) -> str:
    """Say why a step cannot or must not be tried; empty: it may."""
    if step is HealStep.POWER:
        return _power_obstacle(patient, settings)
    if patient.verdict is Verdict.LOST:
        return "it does not answer"
    if not patient.connected:
        return "its agent is not connected"
    return "" if step in patient.abilities else "it does not offer that"


def _power_obstacle(patient: Patient, settings: HealSettings) -> str:
    if not patient.outlet:
        return "no outlet is for it or its stack alone"
    if patient.unasked:
        return f"{', '.join(patient.unasked)} cannot be asked to shut down"
    if patient.siblings and not settings.power_siblings:
        return f"{', '.join(patient.siblings)} would lose power too"
    return patient.sibling_locked
