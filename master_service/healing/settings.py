"""``[heal]``: whether and how far the rack may help itself."""

import enum
from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0, le=604_800)]


class Step(enum.StrEnum):
    """What can be tried on a board, mildest first."""

    RESTART_AGENT = "restart-agent"
    REBOOT = "reboot"
    POWER = "power"
    """Off and on again; what shares the outlet is shut down cleanly before."""


class HealSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[heal]``: self-healing of boards that are hung or lost.

    Args:
        enabled: Look after such boards at all.
        dry_run: Only say what would be done. Both switches must be set on purpose
            before anything is.
        steps: What may be tried, in this order: ``restart-agent``, ``reboot``,
            ``power``.
        patience_s: Seconds a board must be hung or lost before the first step.
        cool_down_s: Seconds between two steps on one board.
        budget_per_day: Steps on one board within 24 hours.
        max_percent: Share of the rack that may be interrupted at a time. When more
            boards than that are bad, nothing is done: they share a cause.
        breaker: Boards in a row that no step helped, after which all of it stops.
        breaker_s: Seconds for which it then stops.
        power_siblings: A board may be power-cycled although healthy boards share its
            outlet; they are shut down cleanly first, and boot again.
    """

    enabled: bool = False
    dry_run: bool = True
    steps: tuple[Step, ...] = (Step.RESTART_AGENT, Step.REBOOT, Step.POWER)
    patience_s: Positive = 120.0
    cool_down_s: Positive = 600.0
    budget_per_day: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    max_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 10.0
    breaker: Annotated[int, msgspec.Meta(ge=1)] = 3
    breaker_s: Positive = 21_600.0
    power_siblings: bool = False
