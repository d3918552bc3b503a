"""What a board is busy with, as a closed formula of time: drift, waves and bursts.

A formula needs no state: any moment can be asked for, in any order, and a thousand
boards cost nothing while nobody asks.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from node_agent.simulator.chance import between, share

WINDOW_S = 600.0
"""At most one burst starts in each window of this length."""

_BURST_CHANCE = 0.35
_LONGEST_BURST_S = 240.0
_LAGS_REMEMBERED = 5.0
"""After this many time constants a burst has left less than one percent."""


class Wave(msgspec.Struct, frozen=True):
    """A slow swing of the load: percent, radians per second, radians."""

    amplitude: float
    omega: float
    phase: float


class Burst(msgspec.Struct, frozen=True):
    """A job that keeps the board busy for a while: seconds, seconds, percent."""

    start_s: float
    end_s: float
    height: float


class Activity:
    """The load of one board over time.

    Args:
        seed: Of the board; the same seed gives the same load.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.base = between(3.0, 14.0, seed, 1)
        self._waves = tuple(
            Wave(
                amplitude=self.base * part,
                omega=math.tau / between(shortest_s, longest_s, seed, 2, index),
                phase=between(0.0, math.tau, seed, 3, index),
            )
            for index, (part, shortest_s, longest_s) in enumerate(
                ((0.4, 5_000, 12_000), (0.3, 700, 1_500), (0.2, 90, 200))
            )
        )

    def level(self, now_s: float) -> float:
        """Return the busy share of all processors at a moment, percent."""
        waves = sum(
            w.amplitude * math.sin(w.omega * now_s + w.phase) for w in self._waves
        )
        bursts = sum(
            burst.height
            for burst in self.bursts(now_s, 0.0)
            if burst.start_s <= now_s < burst.end_s
        )
        return self.base + waves + bursts

    def lagged(self, now_s: float, lag_s: float) -> float:
        """Return the load as something slow follows it, percent.

        The exact answer of a first-order lag: what a load average does with load, and
        a heat sink with heat.

        Args:
            now_s: The moment, seconds.
            lag_s: Time constant, seconds.
        """
        waves = sum(
            w.amplitude
            / math.hypot(1.0, w.omega * lag_s)
            * math.sin(w.omega * now_s + w.phase - math.atan(w.omega * lag_s))
            for w in self._waves
        )
        return self.base + waves + self._lagged_bursts(now_s, lag_s)

    def work(self, now_s: float) -> float:
        """Return the load added up without bursts, percent times seconds.

        It never falls, so counters can be made of it.
        """
        waves = sum(
            w.amplitude / w.omega * math.cos(w.omega * now_s + w.phase)
            for w in self._waves
        )
        return self.base * now_s - waves

    def bursts(self, now_s: float, memory_s: float) -> Iterator[Burst]:
        """Yield the bursts begun by ``now_s`` that ended at most ``memory_s`` ago."""
        first = math.floor((now_s - memory_s - _LONGEST_BURST_S) / WINDOW_S)
        for window in range(first, math.floor(now_s / WINDOW_S) + 1):
            burst = _burst(self._seed, window)
            if burst is None or burst.start_s > now_s:
                continue
            if burst.end_s >= now_s - memory_s:
                yield burst

    def _lagged_bursts(self, now_s: float, lag_s: float) -> float:
        total = 0.0
        for burst in self.bursts(now_s, lag_s * _LAGS_REMEMBERED):
            end_s = min(now_s, burst.end_s)
            risen = 1.0 - math.exp((burst.start_s - end_s) / lag_s)
            total += burst.height * risen * math.exp((end_s - now_s) / lag_s)
        return total


@lru_cache(maxsize=65_536)
def _burst(seed: int, window: int) -> Burst | None:
    """Return the burst that begins in a window, if one does.

    Remembered, for every heartbeat of a board asks for the same last few windows.
    """
    if share(seed, 4, window) >= _BURST_CHANCE:
        return None
    start_s = (window + share(seed, 5, window)) * WINDOW_S
    length_s = between(20.0, _LONGEST_BURST_S, seed, 6, window)
    return Burst(start_s, start_s + length_s, between(25.0, 80.0, seed, 7, window))
