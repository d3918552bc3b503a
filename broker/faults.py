"""Exceptions of a listener: counted by kind, logged once for each, never fatal.

An exception in a paho callback would end the connection's reader for good.
"""

import logging
from collections import Counter

log = logging.getLogger(__name__)


class Faults:
    """Counts what a listener raised.

    Args:
        who: The client whose listener it is, for the log line.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._counts: Counter[str] = Counter()

    def add(self, error: Exception, during: str) -> None:
        """Count one exception; the first of its kind is logged with its traceback.

        Args:
            error: What was raised.
            during: The listener's method that raised it.
        """
        kind = f"{type(error).__name__} in {during}"
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            log.error("%s: %s (logged once)", self._who, kind, exc_info=error)

    @property
    def counts(self) -> dict[str, int]:
        """Exceptions by kind, since start."""
        return dict(self._counts)
