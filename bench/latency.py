"""From the moment a heartbeat is published to the moment its number is on the page."""

import bisect
from collections import defaultdict
from collections.abc import Iterable

from bench.feeder import Sent

Seen = tuple[float, int, int]
"""Unix time in seconds, number of the node, temperature that is now drawn in °C."""


def delays_s(sent: Iterable[Sent], seen: Iterable[Seen]) -> list[float]:
    """Return how old each number was when it was drawn, seconds.

    A number belongs to the last heartbeat of that node with that temperature before it
    was seen; one that nobody sent (a page that shows a stored value) is left out.
    """
    times: dict[tuple[int, int], list[float]] = defaultdict(list)
    for at, node, temperature_c in sent:
        times[node, temperature_c].append(at)
    found = []
    for at, node, temperature_c in seen:
        candidates = times.get((node, temperature_c), [])
        before = bisect.bisect_right(candidates, at)
        if before:
            found.append(at - candidates[before - 1])
    return found
