"""What a tile shows: verdict, vitals and thresholds become one state and a few words.

Pure: everything comes in as arguments, so the whole vocabulary is a table of tests.
"""

import enum
import math

import msgspec

from broker.contract.messages import (
    Details,
    Heartbeat,
    NodeState,
    Phase,
    Power,
    Status,
    ThrottleFlag,
    Verdict,
)
from broker.contract.verbs import DESTRUCTIVE, Verb
from dashboard.server.settings import Thresholds

NO_VALUE = -1
"""A vital that is not known; every real one is shown as an integer from 0."""

_HYSTERESIS = 2.0


class State(enum.IntEnum):
    """What a tile can be; the numbers go over the wire (vocabulary.py)."""

    OK = 0
    WARN = 1
    CRIT = 2
    BUSY = 3
    STALE = 4
    OFFLINE = 5
    OFF = 6
    UNSEEN = 7
    FROZEN = 8


class TileLevel(enum.IntEnum):
    """How bad one vital is."""

    OK = 0
    WARN = 1
    CRIT = 2


class Levels(msgspec.Struct, frozen=True):
    """How bad each vital is."""

    cpu: TileLevel = TileLevel.OK
    memory: TileLevel = TileLevel.OK
    temperature: TileLevel = TileLevel.OK
    disk: TileLevel = TileLevel.OK

    @property
    def packed(self) -> int:
        """Two bits each: processor lowest, then memory, temperature, disk."""
        return self.cpu | self.memory << 2 | self.temperature << 4 | self.disk << 6


class Tile(msgspec.Struct, frozen=True):
    """Everything a tile draws.

    Args:
        cpu: Percent, or NO_VALUE.
        memory: Percent, or NO_VALUE.
        temperature: °C, or NO_VALUE.
        working: A harmless command runs; a hint, no state.
        words: A few, for the place of the bars; empty when all is well.
        reason: A sentence, for the panel and the attention list.
        since: Unix time the state began by the master's clock, seconds; None: it
            began when the dashboard saw it.
    """

    state: State
    cpu: int = NO_VALUE
    memory: int = NO_VALUE
    temperature: int = NO_VALUE
    levels: Levels = Levels()
    working: bool = False
    words: str = ""
    reason: str = ""
    since: float | None = None


_VERDICTS: dict[Verdict, tuple[State, str]] = {
    Verdict.LATE: (State.STALE, "no heartbeat"),
    Verdict.BOOTING: (State.BUSY, "Booting"),
    Verdict.REBOOTING: (State.BUSY, "Rebooting"),
    Verdict.STOPPING: (State.BUSY, "Shutting down"),
    Verdict.HUNG: (State.OFFLINE, "agent hung"),
    Verdict.LOST: (State.OFFLINE, "no answer"),
    Verdict.UNPOWERED: (State.OFFLINE, "no contact"),
    Verdict.OFF: (State.OFF, "powered off"),
    Verdict.UNSEEN: (State.UNSEEN, "never heard"),
    Verdict.UNKNOWN: (State.FROZEN, "not known yet"),
    Verdict.OTHER: (State.FROZEN, "not understood"),
}
_WORKING = {
    Verb.UPDATE: "Updating",
    Verb.INSTALL: "Installing",
    Verb.REBOOT: "Rebooting",
    Verb.SHUTDOWN: "Shutting down",
    Verb.POWER: "Switching",
}
_STEPS = {Verdict.STOPPING: "Shutting down", Verdict.BOOTING: "Booting"}
"""What a board is at within a longer command, for example a power cycle."""


def grade(
    value: float | None, warn: float, crit: float, before: TileLevel = TileLevel.OK
) -> TileLevel:
    """Returns how bad a value is; a level once reached is left two units lower.

    Args:
        value: What was measured; None is not bad.
        warn: From here on it is a warning.
        crit: From here on it is critical.
        before: The level it had, so that a value on the line does not flicker.
    """
    if value is None:
        return TileLevel.OK
    if value >= crit - (_HYSTERESIS if before is TileLevel.CRIT else 0):
        return TileLevel.CRIT
    if value >= warn - (_HYSTERESIS if before is not TileLevel.OK else 0):
        return TileLevel.WARN
    return TileLevel.OK


def grade_vitals(
    beat: Heartbeat, limits: Thresholds, before: Levels, cpu_mean: float | None
) -> Levels:
    """Returns how bad each vital of a heartbeat is.

    Args:
        cpu_mean: Processor use over the last three minutes, percent; None while that
            is not known.
    """
    memory = limits.memory_warn_percent, limits.memory_crit_percent
    temperature = limits.temperature_warn_c, limits.temperature_crit_c
    disk = limits.disk_warn_percent, limits.disk_crit_percent
    return Levels(
        grade(cpu_mean, limits.cpu_warn_percent, math.inf, before.cpu),
        grade(beat.memory_percent, *memory, before.memory),
        grade(beat.temperature_c, *temperature, before.temperature),
        grade(beat.disk_percent, *disk, before.disk),
    )


def make_tile(
    *,
    state: NodeState | None,
    details: Details | None,
    status: Status | None,
    beat: Heartbeat | None,
    limits: Thresholds,
    before: Levels = Levels(),  # noqa: B008  # a frozen struct is a value
    cpu_mean: float | None = None,
    confirmed: bool = True,
) -> Tile:
    """Returns what a node's tile shows.

    Args:
        before: The levels of the last tile.
        cpu_mean: Processor use over the last three minutes, percent, if known.
        confirmed: False until something of the node was heard since the broker came
            back: what is known may be old.
    """
    from_verdict = _from_verdict(state, details, status)
    if from_verdict is not None:
        return from_verdict
    if not confirmed:
        return Tile(State.FROZEN, words="not known yet", reason="not heard again yet")
    if beat is None:
        return Tile(State.OK, words="no heartbeat yet")
    levels = grade_vitals(beat, limits, before, cpu_mean)
    worst, reasons = _judge(state, details, beat, levels, cpu_mean)
    return Tile(
        State(worst),
        _shown(beat.cpu_percent),
        _shown(beat.memory_percent),
        _shown(beat.temperature_c),
        levels,
        working=state is not None and state.running is not None,
        words=_name(reasons[0]) if reasons else _missing(beat),
        reason=" · ".join(reasons),
    )


def _shown(value: float | None) -> int:
    return NO_VALUE if value is None else max(round(value), 0)


def _missing(beat: Heartbeat) -> str:
    """Returns the words in place of the bars that a tile cannot draw."""
    return "no vitals" if beat.cpu_percent is None else ""


def _from_verdict(
    state: NodeState | None, details: Details | None, status: Status | None
) -> Tile | None:
    """Returns the tile of a node that is not simply online; None if it is."""
    if state is None:
        return _without_master(details, status)
    running = state.running
    if running is not None and running.verb in DESTRUCTIVE:
        words = _WORKING.get(Verb(running.verb), running.verb)
        waiting = running.phase is Phase.ACCEPTED
        reason = f"{words}, asked by {running.by}" if running.by else words
        return Tile(
            State.BUSY,
            words="Waiting" if waiting else _STEPS.get(state.verdict, words),
            reason=reason,
            since=state.since if state.verdict is not Verdict.ONLINE else None,
        )
    if state.verdict is Verdict.ONLINE:
        # The verdict is old while the master is away; a board's own word is not.
        return _without_master(details, status) if status is Status.OFFLINE else None
    kind, words = _VERDICTS[state.verdict]
    if state.verdict is Verdict.UNPOWERED and state.power is Power.OFF:
        words = "no power"  # the outlet says so; silence alone may be the network
    heard = state.last_seen if kind in {State.STALE, State.OFFLINE} else None
    return Tile(
        kind,
        words=words,
        reason=state.reason or words,
        since=heard if heard is not None else state.since,
    )


def _without_master(details: Details | None, status: Status | None) -> Tile | None:
    """Judges by the node's own words while no master has said anything."""
    if status is Status.ONLINE:
        return None
    if status is Status.OFFLINE:
        reason = details.reason if details is not None else ""
        return Tile(
            State.OFFLINE, words="said offline", reason=reason or "said offline"
        )
    return Tile(State.UNSEEN, words="never heard", reason="never heard")


def _judge(
    state: NodeState | None,
    details: Details | None,
    beat: Heartbeat,
    levels: Levels,
    cpu_mean: float | None,
) -> tuple[TileLevel, list[str]]:
    """Returns the worst level and the reasons, worst first."""
    now = beat.throttled.now if beat.throttled is not None else ()
    faults = state.faults if state is not None else ()
    disk_errors = (details.disk_errors or 0) if details is not None else 0
    if not (now or faults or beat.disk_read_only or levels.packed or disk_errors):
        return TileLevel.OK, []  # the usual case, a thousand times a second
    found = [(TileLevel.CRIT, fault) for fault in faults]
    if beat.disk_read_only:
        found.append((TileLevel.CRIT, "disk is read-only"))
    if disk_errors:
        found.append((TileLevel.WARN, f"disk errors: {disk_errors} recorded"))
    named = {_name(fault) for fault in faults}
    found += [
        (_flag_level(flag), flag.replace("-", " ")) for flag in now if flag not in named
    ]
    found += [
        (levels.temperature, f"{beat.temperature_c or 0:.0f} °C"),
        (levels.memory, f"memory {beat.memory_percent or 0:.0f} %"),
        (levels.disk, f"disk {beat.disk_percent or 0:.0f} % full"),
        (levels.cpu, f"CPU {cpu_mean or 0:.0f} % for 3 min"),
    ]
    bad = sorted((row for row in found if row[0]), key=lambda row: -row[0])
    return (bad[0][0] if bad else TileLevel.OK), [text for _, text in bad]


def _flag_level(flag: ThrottleFlag) -> TileLevel:
    """Under-voltage corrupts cards; the other flags only make a board slow."""
    return TileLevel.CRIT if flag is ThrottleFlag.UNDER_VOLTAGE else TileLevel.WARN


def _name(reason: str) -> str:
    """``duplicate identity`` of ``duplicate identity: two boards say pi-1``."""
    return reason.partition(":")[0]
