"""Exceptions of a listener: counted by kind, logged now and then, never fatal.

An exception in a paho callback would end the connection's reader for good.
"""

import logging

from broker.common.log import RateLimited

log = logging.getLogger(__name__)

EVERY_S = 60.0
"""Between two lines about the same kind."""


class Faults:
    """Counts what a listener raised.

    Args:
        who: The client whose listener it is, for the log line.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._kinds: dict[str, RateLimited] = {}

    def add(self, error: Exception, during: str) -> None:
        """Count one exception; log it with its traceback, once a minute for its kind.

        Args:
            error: What was raised.
            during: The listener's method that raised it.
        """
        kind = f"{type(error).__name__} in {during}"
        line = self._kinds.get(kind)
        if line is None:
            line = self._kinds[kind] = RateLimited(log, logging.ERROR, every_s=EVERY_S)
        line.say("%s: %s", self._who, kind, exc_info=error)

    @property
    def total(self) -> int:
        """Exceptions since start."""
        return sum(line.count for line in self._kinds.values())

    @property
    def counts(self) -> dict[str, int]:
        """Exceptions by kind, since start."""
        return {kind: line.count for kind, line in self._kinds.items()}
