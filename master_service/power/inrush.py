"""How many outlets may come on together; pure.

Boards draw most while their capacitors fill and while they boot, so an outlet counts
until its boards answer, or should have.
"""

from collections.abc import Sequence

from master_service.rack.settings import OutletRow, PowerSettings


def room(
    power: PowerSettings,
    row: OutletRow,
    coming: Sequence[OutletRow],
    *,
    since_last_s: float,
) -> bool:
    """Return whether an outlet may be switched on now.

    Args:
        power: ``[power]``: the budget.
        row: The outlet.
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
    """Return what an outlet draws while its boards come, amperes."""
    return power.inrush_a if row.inrush_a is None else row.inrush_a
