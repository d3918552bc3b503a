"""How often one board or one asker may do a thing.

Pure: told what time it is, in monotonic seconds.
"""

from collections import OrderedDict

KEYS_AT_MOST = 10_000
"""Askers and boards that are told apart; the longest unheard of is forgotten."""
COMMANDS_AT_ONCE, COMMANDS_A_SECOND = 600, 20
"""Commands of one asker that are carried out."""
REFUSALS_AT_ONCE, REFUSALS_A_SECOND = 400, 50
"""Commands beyond these that are still answered; the broker's queue is finite."""


class RateLimit:
    """A bucket of tokens for each key: it fills with time, and each use takes one.

    Args:
        at_once: Tokens of a full bucket.
        a_second: Tokens that come back, a second.
    """

    def __init__(self, at_once: float, a_second: float) -> None:
        self._at_once = at_once
        self._a_second = a_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Takes a token of a key; returns False if there is none."""
        tokens, at = self._buckets.pop(key, (self._at_once, now))
        tokens = min(self._at_once, tokens + (now - at) * self._a_second)
        enough = tokens >= 1
        self._buckets[key] = (tokens - 1 if enough else tokens, now)
        while len(self._buckets) > KEYS_AT_MOST:
            self._buckets.popitem(last=False)
        return enough
