"""When to try again, and in which version of MQTT: pure, with the dice passed in."""

import enum
from collections.abc import Callable

FIRST_S = 0.5
CAP_S = 4.0
"""Low, so that a rack is whole again within 5 s of its broker; a thousand nodes that
knock every 2 to 4 s at a port that is closed are no load."""
STEADY_S = 10.0
"""A connection that lived so long was a good one. Two clients that take each other's
place never reach it, so they do not fight at full speed."""


class Backoff:
    """Seconds to wait before each attempt: doubling, capped, jittered.

    Args:
        random: Returns a float from 0 to 1.
        first_s: Longest wait before the second attempt.
        cap_s: Longest wait ever.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first_s: float = FIRST_S,
        cap_s: float = CAP_S,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._cap_s = cap_s
        self._next_s = first_s

    def after(self, lived_s: float) -> float:
        """Return how long to wait after a connection that lived so long.

        Args:
            lived_s: Seconds; 0 for an attempt that failed.

        Returns:
            Seconds, between half of the present limit and all of it.
        """
        if lived_s >= STEADY_S:
            self._next_s = self._first_s
        limit_s = self._next_s
        self._next_s = min(self._cap_s, limit_s * 2)
        return limit_s * (1 + self._random()) / 2


class Version(enum.Enum):
    """A version of MQTT; the value is what people call it."""

    V5 = "5"
    V311 = "3.1.1"


SILENT_LIMIT = 2
"""How many connections may end without an answer before 3.1.1 is tried."""


class VersionChoice:
    """Which version to speak: 5, unless the broker says it does not.

    Some brokers close the connection instead of saying so. One that is just being
    killed does that too, so 3.1.1 found in this way holds only while it works, and 5 is
    tried again afterwards.

    Args:
        mqtt5: False never speaks 5.
    """

    def __init__(self, *, mqtt5: bool = True) -> None:
        self._refused = not mqtt5
        self._silent = 0

    @property
    def current(self) -> Version:
        """The version for the next attempt."""
        if self._refused or self._silent >= SILENT_LIMIT:
            return Version.V311
        return Version.V5

    def refused(self) -> None:
        """Remember that the broker said it does not speak this version."""
        self._refused = True

    def silent(self) -> None:
        """Count a connection that was closed before the broker answered."""
        self._silent += 1

    def ended(self) -> None:
        """Start to count anew, for a connection that had worked is over."""
        self._silent = 0
