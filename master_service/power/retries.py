"""Outlets that must come on are tried until they are on, ever more rarely; pure."""

import random

from broker.contract.messages import EventKind
from master_service.commands.effects import Switched
from master_service.rack.events import Outbox
from master_service.rack.outlet_state import Fed
from master_service.rack.times import Moment

FIRST_S = 2.0
"""Seconds before the first new attempt; doubled each time."""
LONGEST_S = 60.0
JITTER = 0.25
"""Share by which a pause is longer or shorter: not all outlets at the same time."""


class Retries:
    """When which outlet is tried again.

    Args:
        outbox: Told when one came on at last.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._tries: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._under_way: set[str] = set()

    def due(self, fed: Fed, now: float) -> bool:
        """Returns whether an outlet that must come on is to be tried now."""
        name = fed.row.name
        if name in self._under_way:
            return False
        if name not in self._due:
            self._due[name] = now + _pause_s(name, 0)
        return now >= self._due[name]

    def begin(self, fed: Fed) -> None:
        """Takes that an outlet is being tried."""
        self._under_way.add(fed.row.name)

    def switched(self, fed: Fed, done: Switched, at: Moment) -> None:
        """Takes the result of an attempt; that of a command is none."""
        name = done.outlet
        if name not in self._under_way or not done.on:
            return
        self._under_way.discard(name)
        tries = self._tries.get(name, 0) + 1
        if done.error:
            self._tries[name] = tries
            self._due[name] = at.now + _pause_s(name, tries)
            return
        self.forget(fed)
        plural = "" if tries == 1 else "s"
        text = f"outlet {name} was switched {fed.level}, after {tries} further attempt"
        self._outbox.note(EventKind.POWER, text + plural, stack=fed.row.stack)

    def forget(self, fed: Fed) -> None:
        """Begins from the first pause the next time it must come on."""
        self._tries.pop(fed.row.name, None)
        self._due.pop(fed.row.name, None)


def _pause_s(name: str, tries: int) -> float:
    """Returns a pause before an attempt, seconds."""
    pause_s = min(FIRST_S * 2.0 ** min(tries, 10), LONGEST_S)
    chance = random.Random(f"{name} {tries}")  # noqa: S311  # jitter, the same every time
    return pause_s * chance.uniform(1 - JITTER, 1 + JITTER)
