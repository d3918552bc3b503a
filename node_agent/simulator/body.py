"""The vitals of an invented board: a formula of seed, time and last boot."""

import math

from broker.contract.messages import Throttled
from node_agent.board import Vitals
from node_agent.simulator.activity import Activity
from node_agent.simulator.chance import between

HEAT_LAG_S = 75.0
"""How slowly a Pi in a stack with a small heat sink warms and cools."""

_DAY_S = 86_400.0
_DISK_FULL_PERCENT = 96.0
_BOOT_EFFORT_PERCENT = 55.0
_BOOT_EFFORT_S = 8.0


class Body:
    """What stays the same over a board's life: how warm, full and busy it tends to be.

    Args:
        seed: Of the board; the same seed gives the same body.
        cpu_count: Processors, which the load averages count in.
    """

    def __init__(self, seed: int, cpu_count: int) -> None:
        self._seed = seed
        self._cpu_count = cpu_count
        self._activity = Activity(seed)
        self._ambient_c = between(27.0, 34.0, seed, 20)
        self._idle_rise_c = between(6.0, 13.0, seed, 21)
        self._rise_c_per_percent = between(0.18, 0.34, seed, 22)
        self._memory = between(14.0, 46.0, seed, 23)
        self._swap = between(-4.0, 3.0, seed, 24)
        self._disk = between(18.0, 70.0, seed, 25)
        self._disk_per_day = between(0.1, 1.5, seed, 26)
        self._rx_per_work = between(40.0, 900.0, seed, 27)
        self._tx_per_work = between(20.0, 700.0, seed, 28)
        self._written_per_work = between(10.0, 260.0, seed, 29)

    def vitals(
        self, now_s: float, booted_s: float, throttled: Throttled | None
    ) -> Vitals:
        """Return what the board would measure.

        Args:
            now_s: The moment, seconds since the simulated rack began.
            booted_s: When the board's kernel started, on the same clock.
            throttled: The firmware's bits, which are passed through.
        """
        uptime_s = max(0.0, now_s - booted_s)
        work = self._activity.work(now_s) - self._activity.work(booted_s)
        return Vitals(
            uptime_s=round(uptime_s, 1),
            cpu_percent=self._cpu_percent(now_s, uptime_s),
            load=self._load(now_s),
            memory_percent=self._memory_percent(now_s),
            swap_percent=round(max(0.0, self._swap), 1),
            disk_percent=self._disk_percent(now_s),
            temperature_c=self.temperature_c(now_s, uptime_s),
            throttled=throttled,
            rx_bytes=int(work * self._rx_per_work),
            tx_bytes=int(work * self._tx_per_work),
            disk_written_bytes=int(work * self._written_per_work),
        )

    def temperature_c(self, now_s: float, uptime_s: float) -> float:
        """Return the processor's temperature in °C; it follows the load slowly."""
        heat = self._activity.lagged(now_s, HEAT_LAG_S) * self._rise_c_per_percent
        warmth = 1.0 - 0.5 * math.exp(-uptime_s / HEAT_LAG_S)
        rise = (self._idle_rise_c + heat) * warmth
        return round(self._ambient_c + rise + self._noise(now_s, 0.3), 1)

    def _cpu_percent(self, now_s: float, uptime_s: float) -> float:
        starting = _BOOT_EFFORT_PERCENT * math.exp(-uptime_s / _BOOT_EFFORT_S)
        level = self._activity.level(now_s) + starting
        return round(_within(level + self._noise(now_s, 1.2), 0.3, 100.0), 1)

    def _load(self, now_s: float) -> tuple[float, float, float]:
        one, five, fifteen = (
            round(self._activity.lagged(now_s, lag_s) * self._cpu_count / 100.0, 2)
            for lag_s in (60.0, 300.0, 900.0)
        )
        return one, five, fifteen

    def _memory_percent(self, now_s: float) -> float:
        used = self._memory + 0.25 * self._activity.lagged(now_s, 30.0)
        return round(_within(used, 1.0, 97.0), 1)

    def _disk_percent(self, now_s: float) -> float:
        filled = self._disk + self._disk_per_day * now_s / _DAY_S
        return round(_within(filled, 1.0, _DISK_FULL_PERCENT), 1)

    def _noise(self, now_s: float, width: float) -> float:
        return between(-width, width, self._seed, 30, int(now_s * 1000.0))


def _within(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))
