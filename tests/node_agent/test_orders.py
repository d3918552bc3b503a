"""The ruling on an order, as a table."""

import pytest

from broker.contract.messages import Order
from node_agent.orders import Ruling, alias_of, judge

NOW = 1_700_000_000.0


def order(verb: str = "uptime", *args: str, **more: float) -> Order:
    return Order(id="o1", verb=verb, args=args, **more)  # type: ignore[arg-type]  # the floats of Order


@pytest.mark.parametrize(
    ("given", "retained", "seen", "wall_time", "ruling"),
    [
        (order(), False, False, NOW, Ruling.OBEY),
        (order(), True, False, NOW, Ruling.REFUSE),
        (order(), True, True, NOW, Ruling.REFUSE),
        (order(), False, True, NOW, Ruling.IGNORE),
        (order(ttl_s=0.0), False, False, NOW, Ruling.EXPIRE),
        (order(expires=NOW + 1), False, False, NOW, Ruling.OBEY),
        (order(expires=NOW - 1), False, False, NOW, Ruling.EXPIRE),
        (order(expires=NOW - 1), False, False, None, Ruling.OBEY),
        (order("run"), False, False, NOW, Ruling.REFUSE),
        (order("run", "uptime"), False, False, NOW, Ruling.OBEY),
        (order("run", "reboot"), False, False, NOW, Ruling.REFUSE),
        (order("run", "refresh"), False, False, NOW, Ruling.REFUSE),
        (order("run", "restart-agent"), False, False, NOW, Ruling.REFUSE),
    ],
)
def test_an_order_is_ruled_on(
    given: Order, *, retained: bool, seen: bool, wall_time: float | None, ruling: Ruling
) -> None:
    judged = judge(given, retained=retained, seen=seen, wall_time=wall_time)
    assert judged.ruling is ruling
    assert bool(judged.reason) == (ruling is not Ruling.OBEY)


def test_how_late_an_order_came_is_said() -> None:
    late = judge(order(expires=NOW - 2.5), retained=False, seen=False, wall_time=NOW)
    assert late.reason == "it expired 2.5 s before arrival"


def test_run_names_its_alias_first() -> None:
    assert alias_of(order("run", "journal", "ssh", "5")) == ("journal", ("ssh", "5"))
    assert alias_of(order("journal", "ssh")) == ("journal", ("ssh",))
