"""A simulated board: its model, its facts, and its vitals as formulas of seed and time.

A formula needs no state: any moment can be asked for, in any order, and a thousand
boards cost nothing between two heartbeats. The same seed gives the same rack, today and
tomorrow.
"""

import math
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache

import msgspec

from broker.contract.messages import Throttled, ThrottleFlag
from node_agent.board import MachineFacts, Vitals
from node_agent.simulator.settings import MAX_BOARDS, BoardPlace

WINDOW_S = 600.0
"""At most one burst of load starts in each window of this length."""
HEAT_LAG_S = 75.0
"""How slowly a Pi in a stack with a small heat sink warms and cools."""

_MASK = (1 << 64) - 1
_BURST_CHANCE = 0.35
_LONGEST_BURST_S = 240.0
_LAGS_REMEMBERED = 5.0
"""After this many time constants a burst has left less than one percent."""
_DAY_S = 86_400.0
_DISK_FULL_PERCENT = 96.0
_BOOT_EFFORT_PERCENT = 55.0
_BOOT_EFFORT_S = 8.0
_UNDER_VOLTAGE = (ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.THROTTLED)
"""What the firmware says of a weak supply: it complains, and slows down."""


# -- seeded numbers ---------------------------------------------------------------


def mix(*keys: int) -> int:
    """Folds numbers into one of 64 bits that looks random.

    The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
    number generators", 2014); far cheaper than seeding ``random.Random``.
    """
    value = 0
    for key in keys:
        value = (value ^ key) + 0x9E3779B97F4A7C15 & _MASK
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
        value ^= value >> 31
    return value


def share(*keys: int) -> float:
    """Returns a number from 0 up to 1 that depends on the keys alone."""
    return (mix(*keys) >> 11) / (1 << 53)


def between(low: float, high: float, *keys: int) -> float:
    """Returns a number from ``low`` to ``high`` that depends on the keys alone."""
    return low + (high - low) * share(*keys)


def boot_id(*keys: int) -> str:
    """Returns a boot id in the kernel's form (a random UUID)."""
    value = mix(*keys, 1) << 64 | mix(*keys, 2)
    return str(uuid.UUID(int=value, version=4))


# -- facts ------------------------------------------------------------------------


class BoardModel(msgspec.Struct, frozen=True):
    """One model of board, as real ones describe themselves.

    Args:
        name: As the device tree spells it.
        oui: First half of its hardware address.
        memory_bytes: What Linux sees of it.
        kernel: Release its Raspberry Pi OS runs.
    """

    name: str
    oui: str
    memory_bytes: int
    kernel: str
    count: int
    """How many of ten boards are of this model."""


_V8 = "6.12.34+rpt-rpi-v8"
_2712 = "6.12.34+rpt-rpi-2712"

MODELS = (
    BoardModel("Raspberry Pi 3 Model B Rev 1.2", "b8:27:eb", 949_895_168, _V8, 2),
    BoardModel("Raspberry Pi 3 Model B Plus Rev 1.3", "b8:27:eb", 949_895_168, _V8, 2),
    BoardModel("Raspberry Pi 4 Model B Rev 1.4", "dc:a6:32", 3_980_263_424, _V8, 3),
    BoardModel("Raspberry Pi 4 Model B Rev 1.5", "e4:5f:01", 8_190_087_168, _V8, 2),
    BoardModel("Raspberry Pi 5 Model B Rev 1.0", "d8:3a:dd", 8_452_784_128, _2712, 1),
)
_DISKS_BYTES = (15_552_110_592, 31_267_487_744, 62_725_623_808)


def model_of(seed: int) -> BoardModel:
    """Returns the model of the board with this seed."""
    drawn = share(seed, 40) * sum(model.count for model in MODELS)
    for model in MODELS:
        drawn -= model.count
        if drawn < 0:
            return model
    return MODELS[-1]


def facts_of(place: BoardPlace, seed: int) -> MachineFacts:
    """Returns what the board says of itself, without a boot id: it has not booted.

    Args:
        place: Where it is; its serial and the tail of its hardware address follow.
    """
    model = model_of(seed)
    return MachineFacts(
        boot_id="",
        hostname=place.name,
        model=model.name,
        serial=place.serial,
        macs=(_mac(model.oui, int(place.serial[-6:], 16)),),
        addresses=(place.address,),
        os="Raspberry Pi OS 12 (bookworm)",
        kernel=model.kernel,
        architecture="aarch64",
        cpu_count=4,
        memory_bytes=model.memory_bytes,
        disk_bytes=_DISKS_BYTES[mix(seed, 41) % len(_DISKS_BYTES)],
        clock_synced=True,
        simulated=True,
    )


def twin_of(place: BoardPlace, seed: int) -> MachineFacts:
    """Returns another board that claims the same serial, as a cloned identity does.

    Its hostname and addresses are its own; that is how the clone is found out.
    """
    facts = facts_of(place, seed)
    elsewhere = BoardPlace(place.stack, place.slot + MAX_BOARDS)
    tail = 0x800000 | mix(seed, 42) & 0x7FFFFF
    return msgspec.structs.replace(
        facts,
        hostname=f"{facts.hostname}-clone",
        macs=(_mac(model_of(seed).oui, tail),),
        addresses=(elsewhere.address,),
    )


def _mac(oui: str, tail: int) -> str:
    return ":".join((oui, *(f"{tail >> shift & 0xFF:02x}" for shift in (16, 8, 0))))


# -- vitals -----------------------------------------------------------------------


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


class LoadModel:
    """The load of one board over time: drift, waves and bursts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._base = between(3.0, 14.0, seed, 1)
        self._waves = tuple(
            Wave(
                amplitude=self._base * part,
                omega=math.tau / between(shortest_s, longest_s, seed, 2, index),
                phase=between(0.0, math.tau, seed, 3, index),
            )
            for index, (part, shortest_s, longest_s) in enumerate(
                ((0.4, 5_000, 12_000), (0.3, 700, 1_500), (0.2, 90, 200))
            )
        )

    def level(self, now_s: float) -> float:
        """Returns the busy share of all processors at a moment, percent."""
        waves = sum(
            w.amplitude * math.sin(w.omega * now_s + w.phase) for w in self._waves
        )
        bursts = sum(
            burst.height
            for burst in self.bursts(now_s, 0.0)
            if burst.start_s <= now_s < burst.end_s
        )
        return self._base + waves + bursts

    def lagged(self, now_s: float, lag_s: float) -> float:
        """Returns the load as something slow follows it, percent.

        The exact answer of a first-order lag: what a load average does with load, and
        a heat sink with heat.
        """
        waves = sum(
            w.amplitude
            / math.hypot(1.0, w.omega * lag_s)
            * math.sin(w.omega * now_s + w.phase - math.atan(w.omega * lag_s))
            for w in self._waves
        )
        bursts = 0.0
        for burst in self.bursts(now_s, lag_s * _LAGS_REMEMBERED):
            end_s = min(now_s, burst.end_s)
            risen = 1.0 - math.exp((burst.start_s - end_s) / lag_s)
            bursts += burst.height * risen * math.exp((end_s - now_s) / lag_s)
        return self._base + waves + bursts

    def work(self, now_s: float) -> float:
        """Returns the load added up without bursts, percent times seconds.

        It never falls, so counters can be made of it.
        """
        waves = sum(
            w.amplitude / w.omega * math.cos(w.omega * now_s + w.phase)
            for w in self._waves
        )
        return self._base * now_s - waves

    def bursts(self, now_s: float, memory_s: float) -> Iterator[Burst]:
        """Yields the bursts begun by ``now_s`` that ended at most ``memory_s`` ago."""
        first = math.floor((now_s - memory_s - _LONGEST_BURST_S) / WINDOW_S)
        for window in range(first, math.floor(now_s / WINDOW_S) + 1):
            burst = _burst(self._seed, window)
            if burst is None or burst.start_s > now_s:
                continue
            if burst.end_s >= now_s - memory_s:
                yield burst


@lru_cache(maxsize=65_536)
def _burst(seed: int, window: int) -> Burst | None:
    """Returns the burst that begins in a window, if one does.

    Remembered, because each heartbeat of a board asks for the same last few windows.
    """
    if share(seed, 4, window) >= _BURST_CHANCE:
        return None
    start_s = (window + share(seed, 5, window)) * WINDOW_S
    length_s = between(20.0, _LONGEST_BURST_S, seed, 6, window)
    return Burst(start_s, start_s + length_s, between(25.0, 80.0, seed, 7, window))


class VitalsModel:
    """How warm, full and busy a board is, over its whole life."""

    def __init__(self, seed: int, cpu_count: int) -> None:
        self._seed = seed
        self._cpu_count = cpu_count
        self._load = LoadModel(seed)
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
        """Returns what the board would measure.

        Args:
            now_s: The moment, seconds since the simulated rack began.
            booted_s: When the board's kernel started, on the same clock.
            throttled: The firmware's bits, which are passed through.
        """
        uptime_s = max(0.0, now_s - booted_s)
        work = self._load.work(now_s) - self._load.work(booted_s)
        starting = _BOOT_EFFORT_PERCENT * math.exp(-uptime_s / _BOOT_EFFORT_S)
        cpu_percent = self._load.level(now_s) + starting + self._noise(now_s, 1.2)
        one, five, fifteen = (
            round(self._load.lagged(now_s, lag_s) * self._cpu_count / 100.0, 2)
            for lag_s in (60.0, 300.0, 900.0)
        )
        memory_percent = self._memory + 0.25 * self._load.lagged(now_s, 30.0)
        disk_percent = self._disk + self._disk_per_day * now_s / _DAY_S
        return Vitals(
            uptime_s=round(uptime_s, 1),
            cpu_percent=_within(cpu_percent, 0.3, 100.0),
            load=(one, five, fifteen),
            memory_percent=_within(memory_percent, 1.0, 97.0),
            swap_percent=round(max(0.0, self._swap), 1),
            disk_percent=_within(disk_percent, 1.0, _DISK_FULL_PERCENT),
            temperature_c=self.temperature_c(now_s, uptime_s),
            throttled=throttled,
            rx_bytes=int(work * self._rx_per_work),
            tx_bytes=int(work * self._tx_per_work),
            disk_written_bytes=int(work * self._written_per_work),
        )

    def temperature_c(self, now_s: float, uptime_s: float) -> float:
        """Returns the processor's temperature in °C; it follows the load slowly."""
        heat = self._load.lagged(now_s, HEAT_LAG_S) * self._rise_c_per_percent
        warmth = 1.0 - 0.5 * math.exp(-uptime_s / HEAT_LAG_S)
        rise = (self._idle_rise_c + heat) * warmth
        return round(self._ambient_c + rise + self._noise(now_s, 0.3), 1)

    def _noise(self, now_s: float, width: float) -> float:
        return between(-width, width, self._seed, 30, int(now_s * 1000.0))


def _within(value: float, low: float, high: float) -> float:
    return round(max(low, min(high, value)), 1)


class SimulatedBoard:
    """A ``Board`` made of formulas, from one boot to the next.

    Args:
        booted_s: When its kernel started, on the clock of ``now``.
        now: Seconds since the simulated rack began.
        wall: The right time, Unix seconds.
    """

    def __init__(
        self,
        facts: MachineFacts,
        seed: int,
        *,
        booted_s: float,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.skew_s = 0.0
        """How far its clock is ahead, seconds; assign it to make the clock wrong."""
        self._facts = facts
        self._model = VitalsModel(seed, facts.cpu_count)
        self._booted_s = booted_s
        self._now = now
        self._wall = wall
        self._under_voltage = False
        self._was_under_voltage = False

    def set_under_voltage(self, *, on: bool) -> None:
        """Makes the supply sag or recover; since-boot bits stay until the next boot."""
        self._under_voltage = on
        self._was_under_voltage |= on

    def facts(self) -> MachineFacts:
        """Returns what changes rarely; a wrong clock is one that was never set."""
        return msgspec.structs.replace(self._facts, clock_synced=self.skew_s == 0.0)

    def vitals(self) -> Vitals:
        """Returns what it would measure now."""
        throttled = Throttled(
            now=_UNDER_VOLTAGE if self._under_voltage else (),
            since_boot=_UNDER_VOLTAGE if self._was_under_voltage else (),
        )
        return self._model.vitals(self._now(), self._booted_s, throttled)

    def wall_time(self) -> float:
        """Returns its own idea of the time, Unix seconds."""
        return self._wall() + self.skew_s
