"""Bad input from outside: counted by kind, logged once for each, dropped."""

import logging
from collections import Counter

log = logging.getLogger(__name__)


class Rejections:
    """Counts what was refused and says so once for each kind.

    Args:
        who: The service that refuses, for the log line.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, text: str) -> None:
        """Count one refused input.

        Args:
            kind: A word from a small closed set, for example ``heartbeat``: it is
                counted and logged once, so it must not come from outside.
            text: What was wrong, the value, what would be right.
        """
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            log.warning("%s: refused %s: %s (logged once)", self._who, kind, text)

    def value(self, field: str, text: str) -> None:
        """Count one value that read as its default, because it could not be read.

        Args:
            field: Of the contract, for example ``Heartbeat.cpu_percent``.
            text: What was wrong.
        """
        self.add(field, f"{text}; the rest of the message is used")

    @property
    def counts(self) -> dict[str, int]:
        """Refused inputs by kind, since start."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """Refused inputs since start."""
        return self._counts.total()
