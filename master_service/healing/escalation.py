"""Which step self-healing takes next on a board, if any, and why not; pure.

``tests/master_service/test_escalation.py`` is the table of cases.
"""

import msgspec

from broker.contract.messages import Verdict
from master_service.rack.settings import HealSettings, HealStep
from master_service.rack.times import words

DAY_S = 86_400.0
SICK = frozenset({Verdict.HUNG, Verdict.LOST})
"""A board without power is not sick: no step on a board brings its supply back."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one board at one moment.

    Args:
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


class Attempts(msgspec.Struct, frozen=True):
    """What was tried on a board.

    Args:
        tried: Steps of this illness, in order.
        since_s: Seconds since the last; infinite: there was none.
        today: Steps within 24 hours.
    """

    tried: tuple[HealStep, ...] = ()
    since_s: float = float("inf")
    today: int = 0


class HealPlan(msgspec.Struct, frozen=True):
    """What is to be done about a board now.

    Args:
        why: Reasons of the steps that are left out, or why nothing is done; empty:
            nothing needs to be said.
        over: Nothing is left to try: a person is needed.
    """

    step: HealStep | None = None
    why: str = ""
    over: bool = False


NOTHING = HealPlan()


def next_step(
    candidate: Candidate, attempts: Attempts, settings: HealSettings
) -> HealPlan:
    """Returns the next step for a board."""
    if candidate.verdict not in SICK or candidate.on_purpose or candidate.busy:
        return NOTHING
    if (
        candidate.sick_s < settings.patience_s
        or attempts.since_s < settings.cool_down_s
    ):
        return NOTHING
    if candidate.locked:
        return HealPlan(why=candidate.locked)
    if attempts.today >= settings.budget_per_day:
        return HealPlan(why=f"{attempts.today} steps in 24 hours are its budget")
    left_out: list[str] = []
    for step in _left(settings.steps, attempts.tried):
        obstacle = _obstacle(step, candidate, settings)
        if not obstacle:
            return HealPlan(step, "; ".join(left_out))
        left_out.append(f"no {step}: {obstacle}")
    why = "; ".join(left_out) or f"{', '.join(attempts.tried)} did not help"
    return HealPlan(why=why, over=True)


def _left(
    steps: tuple[HealStep, ...], tried: tuple[HealStep, ...]
) -> tuple[HealStep, ...]:
    """Returns the steps after the last that was tried."""
    if not tried or tried[-1] not in steps:
        return steps
    return steps[steps.index(tried[-1]) + 1 :]


def _obstacle(step: HealStep, candidate: Candidate, settings: HealSettings) -> str:
    """Returns why a step cannot or must not be tried; empty: it may."""
    if step is HealStep.POWER:
        return _power_obstacle(candidate, settings)
    if candidate.verdict is Verdict.LOST:
        return "it does not answer"
    if not candidate.connected:
        return "its agent is not connected"
    return "" if step in candidate.abilities else "it does not offer that"


def _power_obstacle(candidate: Candidate, settings: HealSettings) -> str:
    if not candidate.outlet:
        return "no outlet is for it or its stack alone"
    if candidate.unasked:
        return f"{', '.join(candidate.unasked)} cannot be asked to shut down"
    if candidate.siblings and not settings.power_siblings:
        return f"{', '.join(candidate.siblings)} would lose power too"
    return candidate.sibling_locked


class HealLimits:
    """What holds for the whole rack: daily budgets, share of boards, breaker."""

    def __init__(self, settings: HealSettings) -> None:
        self._settings = settings
        self._spent: dict[str, list[float]] = {}
        self._failures = 0
        self._open_until = 0.0

    def spend(self, node_id: str, wall: float) -> None:
        """Counts a step on a board; ``wall`` is Unix time, seconds."""
        self._spent.setdefault(node_id, []).append(wall)

    def clock_set(self, step_s: float) -> None:
        """Moves the times of all steps with the wall clock, which was set."""
        for spent in self._spent.values():
            spent[:] = [at + step_s for at in spent]

    def today(self, node_id: str, wall: float) -> int:
        """Returns how many steps were made on a board within 24 hours."""
        spent = [at for at in self._spent.get(node_id, ()) if wall - at < DAY_S]
        if spent:
            self._spent[node_id] = spent
        else:
            self._spent.pop(node_id, None)
        return len(spent)

    def helped(self) -> None:
        """Notes that a step helped a board."""
        self._failures = 0

    def failed(self, now: float) -> str:
        """Notes that no step helped a board; returns a text if healing stops now."""
        self._failures += 1
        if self._failures < self._settings.breaker:
            return ""
        in_a_row, self._failures = self._failures, 0
        self._open_until = now + self._settings.breaker_s
        rest = words(self._settings.breaker_s)
        return f"{in_a_row} boards in a row were not helped; it stops for {rest}"

    def hold(self, *, sick: int, whole: int, now: float) -> str:
        """Returns why nothing at all is done now; empty: something may be.

        Args:
            sick: Boards that are hung, lost or without power.
            whole: Boards that were ever heard.
        """
        if now < self._open_until:
            return f"stopped for another {words(self._open_until - now)}"
        if sick > self.share(whole):
            percent = self._settings.max_percent
            return (
                f"{sick} of {whole} boards are bad, more than {percent:g} %: "
                "look for a cause they share"
            )
        return ""

    def room(self, *, hit: int, under_way: int, whole: int) -> bool:
        """Returns whether more boards may be interrupted; one outlet always may.

        Args:
            hit: Boards that would be interrupted.
            under_way: Boards that are.
            whole: Boards that were ever heard.
        """
        return under_way == 0 or under_way + hit <= self.share(whole)

    def share(self, whole: int) -> int:
        """Returns how many boards may be bad, or interrupted, at a time."""
        return max(1, int(whole * self._settings.max_percent / 100))
