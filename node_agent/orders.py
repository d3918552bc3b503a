"""Whether an order is to be obeyed; pure."""

import enum

import msgspec

from broker.contract.messages import Order, Phase
from broker.contract.verbs import DESTRUCTIVE, Verb

KEPT = DESTRUCTIVE | {Verb.RESTART_AGENT}
"""Whose ids must outlive the process that obeys them."""
_THEMSELVES = KEPT | {Verb.PING, Verb.REFRESH, Verb.RUN}
"""No aliases: through ``run`` they would pass their rules by, or mean nothing."""


class Ruling(enum.Enum):
    """What to do about an order."""

    OBEY = "obey"
    REFUSE = "refuse"
    EXPIRE = "expire"
    IGNORE = "ignore"
    """A copy of one that was already answered: once is enough."""

    @property
    def phase(self) -> Phase | None:
        """What to answer at once; None where nothing is."""
        return _PHASES.get(self)


_PHASES = {
    Ruling.OBEY: Phase.ACCEPTED,
    Ruling.REFUSE: Phase.REFUSED,
    Ruling.EXPIRE: Phase.EXPIRED,
}


class Judgement(msgspec.Struct, frozen=True):
    """A ruling and why.

    Args:
        ruling: What to do.
        reason: In words; empty for an order to be obeyed.
    """

    ruling: Ruling
    reason: str = ""


def judge(
    order: Order, *, retained: bool, seen: bool, wall_time: float | None
) -> Judgement:
    """Rule on an order at the moment it is received.

    Args:
        order: The order.
        retained: The broker says it was stored: it may be of any age.
        seen: Its id was seen before.
        wall_time: The node's own clock, Unix seconds; None while that is not set, for
            then only ``ttl_s`` counts.
    """
    if retained:
        reason = "an order must not be retained: it would be obeyed at every start"
        return Judgement(Ruling.REFUSE, reason)
    if seen:
        return Judgement(Ruling.IGNORE, "its id was seen before")
    if order.ttl_s <= 0:
        return Judgement(Ruling.EXPIRE, "its ttl_s was 0 when it arrived")
    if order.expires is not None and wall_time is not None:
        late_s = wall_time - order.expires
        if late_s >= 0:
            return Judgement(Ruling.EXPIRE, f"it expired {late_s:.1f} s before arrival")
    wrong = _wrong_with_run(order) if order.verb == Verb.RUN else ""
    return Judgement(Ruling.REFUSE if wrong else Ruling.OBEY, wrong)


def alias_of(order: Order) -> tuple[str, tuple[str, ...]]:
    """Return the alias an order means and its arguments; ``run`` names one."""
    if order.verb == Verb.RUN:
        return order.args[0], order.args[1:]
    return order.verb, order.args


def _wrong_with_run(order: Order) -> str:
    """Return why a ``run`` must not be obeyed; through it no rule may be passed by."""
    if not order.args:
        return "run needs an alias: run <alias> [value …]"
    if order.args[0] in _THEMSELVES:
        return f"{order.args[0]} must be sent as itself, not through run"
    return ""
