"""The life of a board as a pure state machine: off, booting, running, halted.

    off ──power on──▶ booting ──boot time over──▶ running ──shutdown──▶ halted
     ▲                   ▲                           │
     └─ power off, from  └────────── reboot ─────────┘
        any of them

A halted board has power and does nothing until the power goes and comes back.
"""

import enum

import msgspec


class Phase(enum.StrEnum):
    """What a board is doing."""

    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    HALTED = "halted"


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Where a board stands in its life.

    Args:
        phase: What it is doing.
        boot: Number of the present boot, or of the last one; every boot has its own.
        booted_s: When the kernel of that boot started, seconds.
        ready_s: When a booting board will run, seconds.
    """

    phase: Phase
    boot: int = 0
    booted_s: float = 0.0
    ready_s: float = 0.0


def off() -> Life:
    """Return the life of a board that never had power."""
    return Life(phase=Phase.OFF)


def running_since(booted_s: float) -> Life:
    """Return the life of a board that was running before the simulation began."""
    return Life(phase=Phase.RUNNING, booted_s=booted_s, ready_s=booted_s)


def power(life: Life, *, on: bool, now_s: float, boot_s: float) -> Life:
    """Follow the supply: a cut stops everything at once, its return boots.

    Args:
        life: As it was.
        on: Whether there is power now.
        now_s: The moment, seconds.
        boot_s: How long this board takes to boot, seconds.
    """
    if on is (life.phase is not Phase.OFF):
        return life
    if on:
        return _boot(life, now_s, boot_s)
    return msgspec.structs.replace(life, phase=Phase.OFF)


def reboot(life: Life, *, now_s: float, boot_s: float) -> Life:
    """Go down and come back, if it runs."""
    return _boot(life, now_s, boot_s) if life.phase is Phase.RUNNING else life


def halt(life: Life) -> Life:
    """Shut down for good, if it runs."""
    if life.phase is not Phase.RUNNING:
        return life
    return msgspec.structs.replace(life, phase=Phase.HALTED)


def advance(life: Life, now_s: float) -> Life:
    """Let time pass: a booting board whose time is over runs."""
    if life.phase is not Phase.BOOTING or now_s < life.ready_s:
        return life
    return msgspec.structs.replace(life, phase=Phase.RUNNING)


def _boot(life: Life, now_s: float, boot_s: float) -> Life:
    return Life(
        phase=Phase.BOOTING,
        boot=life.boot + 1,
        booted_s=now_s,
        ready_s=now_s + boot_s,
    )
