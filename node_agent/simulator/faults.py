"""What can be made to go wrong, and how a person asks for it.

The same words serve the command line (``crash s03n2 for=30 after=10``) and MQTT, where
the fault stands in the topic (``P/sim/cmd/crash``).
"""

import enum
import math

import msgspec

from broker.common.errors import ConfigError

_MAX_S = 31_536_000.0


class Fault(enum.StrEnum):
    """A fault, or its cure."""

    CRASH = "crash"
    """The agent dies without a goodbye; the board lives and answers echo."""
    HANG = "hang"
    """The agent stays connected but says and does nothing; the board answers echo."""
    FREEZE = "freeze"
    """The whole board stops: its connection stays open and silent, no echo."""
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


CURED_BY_BOOT = frozenset({Fault.CRASH, Fault.HANG, Fault.FREEZE})
"""Faults of software: a reboot or a power cycle ends them, as in a real rack."""

_DEFAULT_SECONDS = {Fault.SLOW_BOOT: 30.0, Fault.CLOCK_SKEW: 3600.0}
_USAGE = "write <fault> <target> [for=<seconds>] [after=<seconds>] [seconds=<seconds>]"


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One fault asked for.

    Args:
        fault: What to do.
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

    @property
    def cures(self) -> bool:
        """Whether it ends faults instead of beginning one."""
        return self.fault is Fault.HEAL


def parse_line(line: str) -> FaultRequest:
    """Read a fault as it is written on the command line or in ``pirack.toml``.

    Raises:
        ConfigError: The line is not understood; the text says what would be right.
    """
    words = line.split()
    if not words:
        text = f"empty fault; {_USAGE}"
        raise ConfigError(text)
    return parse_words(words[0], words[1:])


def parse_words(name: str, words: list[str]) -> FaultRequest:
    """Read a fault whose name is already known, as on MQTT.

    Args:
        name: The fault.
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
    if fault is Fault.BROWN_OUT and not _is_group(target):
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
    known = _options_of(fault)
    if key not in known:
        text = f"{fault} does not know {word[:64]!r}; options: {', '.join(known)}"
        raise ConfigError(text)
    lowest = -_MAX_S if fault is Fault.CLOCK_SKEW and key == "seconds" else 0.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not lowest <= seconds <= _MAX_S:
        text = f"{key}={value[:64]!r} is no number of seconds from {lowest:g}"
        raise ConfigError(text)
    return key, seconds


def _options_of(fault: Fault) -> tuple[str, ...]:
    """Return the options a fault takes, as they are written."""
    common = ("after=",) if fault is Fault.HEAL else ("for=", "after=")
    extra = ("seconds=",) if fault in _DEFAULT_SECONDS else ()
    return tuple(text.rstrip("=") for text in common + extra)


def _is_group(target: str) -> bool:
    return target == "rack" or target.startswith("stack/")
