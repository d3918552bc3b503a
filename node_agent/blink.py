"""Blinks the board's ACT light so that a person finds it.

``python3 -m node_agent.blink`` needs no shell and no sudo: the light's files must be
writable for the agent's group. The trigger that was set (the SD card, on a Pi) is put
back at the end.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LEDS = ("ACT", "led0", "led1", "PWR")
"""In order of preference; ``led0`` is ACT on kernels before 6.1."""
HALF_PERIOD_S = 0.25


def find(root: Path = Path("/")) -> Path | None:
    """Returns the directory of the light to blink, or None where there is none."""
    leds = root / "sys/class/leds"
    return next((leds / name for name in LEDS if (leds / name).is_dir()), None)


def _may_write(file: Path) -> bool:
    return os.access(file, os.W_OK)


def why_not(led: Path | None, *, may_write: Callable[[Path], bool] = _may_write) -> str:
    """Returns why a light cannot be blinked; empty when it can."""
    if led is None:
        return "this machine has no ACT light in /sys/class/leds"
    for name in ("trigger", "brightness"):
        if not may_write(led / name):
            return f"no permission to write {led / name}"
    return ""


def blink(led: Path, seconds: float, sleep: Callable[[float], None]) -> None:
    """Blinks a light and puts its trigger back in any case."""
    with _borrowed(led):
        for _ in range(max(1, round(seconds / (2 * HALF_PERIOD_S)))):
            (led / "brightness").write_text("255")
            sleep(HALF_PERIOD_S)
            (led / "brightness").write_text("0")
            sleep(HALF_PERIOD_S)


@contextlib.contextmanager
def _borrowed(led: Path) -> Iterator[None]:
    """Disables the trigger of the light for a while."""
    trigger = led / "trigger"
    before = _chosen(trigger.read_text(encoding="ascii"))
    trigger.write_text("none")
    try:
        yield
    finally:
        trigger.write_text(before)


def _chosen(triggers: str) -> str:
    """Returns the one in brackets: ``none [mmc0] timer``."""
    words = triggers.split()
    return next((word[1:-1] for word in words if word.startswith("[")), "none")


def main() -> int:
    """Blinks, or with ``--check`` only says whether that would work."""
    parser = argparse.ArgumentParser(description="Blink the board's ACT light.")
    parser.add_argument("--check", action="store_true", help="only say if it can work")
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    led = find()
    obstacle = why_not(led)
    if obstacle or led is None:
        sys.stderr.write(f"{obstacle}\n")
        return 1
    # The agent ends what takes too long; the light must get its trigger back then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not asked.check:
        blink(led, asked.seconds, time.sleep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
