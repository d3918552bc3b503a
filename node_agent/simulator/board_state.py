"""What a simulated board is doing, and the faults it has: pure.

    off ──power on──▶ booting ──boot time over──▶ running ──shutdown──▶ halted
     ▲                   ▲                           │
     └─ power off, from  └────────── reboot ─────────┘
        any of them

A halted board has power and does nothing until the power goes and comes back. Faults
are asked for in the same words on the command line (``crash s03n2 for=30 after=10``)
and by MQTT, where the fault stands in the topic (``P/sim/cmd/crash``).
"""

import enum
import math
from collections.abc import Collection

import msgspec

from broker.common.errors import ConfigError

_MAX_S = 31_536_000.0


class BoardPhase(enum.StrEnum):
    """What a board is doing."""

    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    HALTED = "halted"


class BoardState(msgspec.Struct, frozen=True, kw_only=True):
    """What a board is doing, and since when; each method returns what follows.

    Args:
        boot: Number of the present boot, or of the last one; every boot has its own.
        booted_s: When the kernel of that boot started, seconds.
        ready_s: When a booting board will run, seconds.
    """

    phase: BoardPhase = BoardPhase.OFF
    boot: int = 0
    booted_s: float = 0.0
    ready_s: float = 0.0

    def powered(self, *, on: bool, now_s: float, boot_s: float) -> "BoardState":
        """Follows the supply: a cut stops everything at once, its return boots.

        Args:
            on: Whether there is power now.
            boot_s: How long this board takes to boot, seconds.
        """
        if on is (self.phase is not BoardPhase.OFF):
            return self
        return self._booting(now_s, boot_s) if on else self._in(BoardPhase.OFF)

    def rebooted(self, *, now_s: float, boot_s: float) -> "BoardState":
        """Shuts down and boots, if it runs."""
        running = self.phase is BoardPhase.RUNNING
        return self._booting(now_s, boot_s) if running else self

    def halted(self) -> "BoardState":
        """Shuts down until its power is cycled, if it runs."""
        running = self.phase is BoardPhase.RUNNING
        return self._in(BoardPhase.HALTED) if running else self

    def advanced(self, now_s: float) -> "BoardState":
        """Runs, if it was booting and its boot time is over."""
        if self.phase is not BoardPhase.BOOTING or now_s < self.ready_s:
            return self
        return self._in(BoardPhase.RUNNING)

    def _in(self, phase: BoardPhase) -> "BoardState":
        return msgspec.structs.replace(self, phase=phase)

    def _booting(self, now_s: float, boot_s: float) -> "BoardState":
        return BoardState(
            phase=BoardPhase.BOOTING,
            boot=self.boot + 1,
            booted_s=now_s,
            ready_s=now_s + boot_s,
        )


class Fault(enum.StrEnum):
    """A fault, or its cure."""

    CRASH = "crash"
    """The agent dies without a goodbye; the board lives and answers pings."""
    HANG = "hang"
    """The agent stays connected but says and does nothing; the board answers pings."""
    FREEZE = "freeze"
    """The whole board stops: its connection stays open and silent, no ping answered."""
    NETWORK_CUT = "network-cut"
    """No packet in or out; the agent runs on and is back when the cable is."""
    BROWN_OUT = "brown-out"
    """A stack's supply fails although its outlet is on; the cure boots the boards."""
    UNDER_VOLTAGE = "under-voltage"
    """The firmware complains of the supply, now and from then on since boot."""
    DUPLICATE = "duplicate"
    """A second board with the same id and password."""
    SLOW_BOOT = "slow-boot"
    """The next boots take ``seconds=``."""
    CLOCK_SKEW = "clock-skew"
    """The board's clock is wrong by ``seconds=``."""
    HEAL = "heal"
    """Ends every fault of the target."""


SOFTWARE_FAULTS = frozenset({Fault.CRASH, Fault.HANG, Fault.FREEZE})
"""They need a running board, and a reboot or a power cycle ends them."""

_DEFAULT_SECONDS = {Fault.SLOW_BOOT: 30.0, Fault.CLOCK_SKEW: 3600.0}
_USAGE = "write <fault> <target> [for=<seconds>] [after=<seconds>] [seconds=<seconds>]"


class LinkFault(enum.Enum):
    """What a fault keeps from an agent's connection."""

    NONE = enum.auto()
    """Nothing."""
    HUNG = enum.auto()
    """All that the agent says and hears; the connection stays alive: a hung program."""
    SILENT = enum.auto()
    """Every packet, on a connection left open: a frozen board, a cut cable."""
    DEAD = enum.auto()
    """Everything: the program has ended."""


def agent_runs(state: BoardState, faults: Collection[Fault]) -> bool:
    """Returns whether the agent's program exists, be it hung or frozen."""
    return state.phase is BoardPhase.RUNNING and Fault.CRASH not in faults


def answers_ping(state: BoardState, faults: Collection[Fault]) -> bool:
    """Returns whether the board answers a ping."""
    return state.phase is BoardPhase.RUNNING and not _silent(faults)


def link_fault(faults: Collection[Fault]) -> LinkFault:
    """Returns what faults do to the connection of a running agent."""
    if _silent(faults):
        return LinkFault.SILENT
    return LinkFault.HUNG if Fault.HANG in faults else LinkFault.NONE


def _silent(faults: Collection[Fault]) -> bool:
    return Fault.FREEZE in faults or Fault.NETWORK_CUT in faults


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One fault asked for.

    Args:
        target: Node id or name, ``stack/<n>`` or ``rack``; not resolved yet.
        for_s: Seconds until it ends by itself; None: it stays until it is healed.
        after_s: Seconds until it begins.
        amount_s: Boot time of ``slow-boot``, offset of ``clock-skew``, seconds.
    """

    fault: Fault
    target: str
    for_s: float | None = None
    after_s: float = 0.0
    amount_s: float = 0.0


def parse_line(line: str) -> FaultRequest:
    """Reads a fault as it is written on the command line or in ``pirack.toml``.

    Raises:
        ConfigError: The line is not understood; the text says what would be right.
    """
    words = line.split()
    if not words:
        text = f"empty fault; {_USAGE}"
        raise ConfigError(text)
    return parse_words(words[0], words[1:])


def parse_words(name: str, words: list[str]) -> FaultRequest:
    """Reads a fault whose name is already known, as on MQTT.

    Args:
        words: Target first, then options in any order.

    Raises:
        ConfigError: Something is not understood; the text says what would be right.
    """
    fault = _fault(name)
    if not words or "=" in words[0]:
        text = f"{fault} needs a target: a node's id or name, stack/<n> or rack"
        raise ConfigError(text)
    target, *rest = words
    options = dict(_option(fault, word) for word in rest)
    is_group = target == "rack" or target.startswith("stack/")
    if fault is Fault.BROWN_OUT and not is_group:
        text = f"brown-out takes stack/<n> or rack, not {target[:64]!r}"
        raise ConfigError(text)
    return FaultRequest(
        fault=fault,
        target=target,
        for_s=options.get("for"),
        after_s=options.get("after", 0.0),
        amount_s=options.get("seconds", _DEFAULT_SECONDS.get(fault, 0.0)),
    )


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        text = f"unknown fault {name[:64]!r}; known: {', '.join(Fault)}"
        raise ConfigError(text) from None


def _option(fault: Fault, word: str) -> tuple[str, float]:
    key, _, value = word.partition("=")
    known = ("after",) if fault is Fault.HEAL else ("for", "after")
    if fault in _DEFAULT_SECONDS:
        known = (*known, "seconds")
    if key not in known:
        text = f"{fault} does not know {word[:64]!r}; options: {', '.join(known)}"
        raise ConfigError(text)
    lowest = -_MAX_S if fault is Fault.CLOCK_SKEW and key == "seconds" else 0.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not lowest <= seconds <= _MAX_S:
        text = f"{key}={value[:64]!r} is not a number of seconds from {lowest:g}"
        raise ConfigError(text)
    return key, seconds
