"""When outlets come on: how many together, what is tried again, what a mains cut left.

Boards draw most while their capacitors fill and while they boot, so an outlet counts
until its boards answer, or should have. One that must come on is tried until it is on,
at growing intervals. Pure.
"""

import random
from collections.abc import Sequence

from broker.contract.messages import EventKind, Power
from broker.contract.verbs import PowerAction
from master_service.rack.effects import OutletSwitched
from master_service.rack.events import Outbox
from master_service.rack.outlet_state import OutletState
from master_service.rack.settings import ColdStart, OutletRow, PowerSettings
from master_service.rack.times import Moment

FIRST_S = 2.0
"""Seconds before the first new attempt; doubled each time."""
LONGEST_S = 60.0
JITTER = 0.25
"""Share by which a pause is longer or shorter: not all outlets at the same time."""


def has_room(
    power: PowerSettings,
    row: OutletRow,
    coming: Sequence[OutletRow],
    *,
    since_last_s: float,
) -> bool:
    """Returns whether an outlet may be switched on now.

    Args:
        power: ``[power]``: the budget.
        coming: Those that were switched on and whose boards do not answer yet.
        since_last_s: Seconds since the last one was switched on.
    """
    if since_last_s < power.stagger_s:
        return False
    at_once = power.at_once
    if at_once is None and power.budget_a is None:
        at_once = 1
    if at_once is not None and len(coming) >= at_once:
        return False
    if power.budget_a is None or not coming:
        return True
    drawn_a = sum(need_a(power, one) for one in coming)
    return drawn_a + need_a(power, row) <= power.budget_a


def need_a(power: PowerSettings, row: OutletRow) -> float:
    """Returns what an outlet draws while its boards come, amperes."""
    return power.inrush_a if row.inrush_a is None else row.inrush_a


def after_mains_cut(
    outlets: list[OutletState], power: PowerSettings
) -> list[tuple[OutletState, PowerAction]]:
    """Returns what must be switched, in the order given.

    Args:
        outlets: Those that nothing else is under way with; read back by now.
        power: ``[power]``: the policy of those that have none of their own.
    """
    wanted = [(outlet, level_after_mains_cut(outlet, power)) for outlet in outlets]
    return [
        (outlet, PowerAction.ON if level is Power.ON else PowerAction.OFF)
        for outlet, level in wanted
        if level not in {Power.UNKNOWN, outlet.level}
        # One that does not tell is brought on, and never cut.
        and (level is Power.ON or outlet.read)
    ]


def level_after_mains_cut(outlet: OutletState, power: PowerSettings) -> Power:
    """Returns the level an outlet must have after a mains cut."""
    policy = outlet.row.cold_start or power.cold_start
    match policy:
        case ColdStart.ON:
            return Power.ON
        case ColdStart.OFF:
            return Power.OFF
        case _:
            return outlet.wanted


class SwitchOnRetries:
    """When which outlet is tried again.

    Args:
        outbox: Told when one came on at last.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._tries: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._under_way: set[str] = set()

    def due(self, outlet: OutletState, now: float) -> bool:
        """Returns whether an outlet that must come on is to be tried now."""
        name = outlet.row.name
        if name in self._under_way:
            return False
        if name not in self._due:
            self._due[name] = now + _pause_s(name, 0)
        return now >= self._due[name]

    def begin(self, outlet: OutletState) -> None:
        """Marks an outlet as being tried."""
        self._under_way.add(outlet.row.name)

    def switched(self, outlet: OutletState, done: OutletSwitched, at: Moment) -> None:
        """Counts the result of an attempt; a switching by a command is none."""
        name = done.outlet
        if name not in self._under_way or not done.on:
            return
        self._under_way.discard(name)
        tries = self._tries.get(name, 0) + 1
        if done.error:
            self._tries[name] = tries
            self._due[name] = at.now + _pause_s(name, tries)
            return
        self.forget(outlet)
        plural = "" if tries == 1 else "s"
        text = (
            f"outlet {name} was switched {outlet.level}, after {tries} further attempt"
        )
        self._outbox.note(EventKind.POWER, text + plural, stack=outlet.row.stack)

    def forget(self, outlet: OutletState) -> None:
        """Starts from the first pause the next time it must come on."""
        self._tries.pop(outlet.row.name, None)
        self._due.pop(outlet.row.name, None)


def _pause_s(name: str, tries: int) -> float:
    """Returns a pause before an attempt, seconds."""
    pause_s = min(FIRST_S * 2.0 ** min(tries, 10), LONGEST_S)
    chance = random.Random(f"{name} {tries}")  # noqa: S311  # jitter, the same every time
    return pause_s * chance.uniform(1 - JITTER, 1 + JITTER)
