"""An invented board: what the agent is told when it asks about its machine."""

from collections.abc import Callable

import msgspec

from broker.contract.messages import Throttled, ThrottleFlag
from node_agent.board import BoardFacts, Vitals
from node_agent.simulator.body import Body

_UNDER_VOLTAGE = (ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.THROTTLED)
"""What the firmware says of a weak supply: it complains, and slows down."""


class SimulatedBoard:
    """A ``Board`` made of formulas, from one boot to the next.

    Args:
        facts: What it says of itself.
        seed: Of the board; the same seed gives the same vitals.
        booted_s: When its kernel started, on the clock of ``now``.
        now: Seconds since the simulated rack began.
        wall: The right time, Unix seconds.
    """

    def __init__(
        self,
        facts: BoardFacts,
        seed: int,
        *,
        booted_s: float,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.skew_s = 0.0
        """How far its clock is ahead, seconds; assign it to make the clock wrong."""
        self._facts = facts
        self._body = Body(seed, facts.cpu_count)
        self._booted_s = booted_s
        self._now = now
        self._wall = wall
        self._under_voltage = False
        self._was_under_voltage = False

    def set_under_voltage(self, *, on: bool) -> None:
        """Let the supply sag or recover; since-boot bits stay until the next boot."""
        self._under_voltage = on
        self._was_under_voltage |= on

    def facts(self) -> BoardFacts:
        """Return what changes rarely; a wrong clock is one that was never set."""
        return msgspec.structs.replace(self._facts, clock_synced=self.skew_s == 0.0)

    def vitals(self) -> Vitals:
        """Return what it would measure now."""
        return self._body.vitals(self._now(), self._booted_s, self._throttled())

    def wall_time(self) -> float:
        """Return its own idea of the time, Unix seconds."""
        return self._wall() + self.skew_s

    def _throttled(self) -> Throttled:
        return Throttled(
            now=_UNDER_VOLTAGE if self._under_voltage else (),
            since_boot=_UNDER_VOLTAGE if self._was_under_voltage else (),
        )
