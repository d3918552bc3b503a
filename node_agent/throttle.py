"""The Raspberry Pi firmware's throttle bits: under-voltage, capping, throttling, heat.

Source of the bits: raspberrypi.com/documentation/computers/os.html#get_throttled.
Read from sysfs where the kernel offers it (cheap); else ``vcgencmd`` is started once a
minute and its answer collected at a later reading, so that no reading ever waits.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from broker.messages import Throttled, ThrottleFlag

SYSFS = "sys/devices/platform/soc/soc:firmware/get_throttled"
VCGENCMD = ("vcgencmd", "get_throttled")
ASK_EVERY_S = 60.0

_FLAGS = (
    ThrottleFlag.UNDER_VOLTAGE,
    ThrottleFlag.FREQUENCY_CAPPED,
    ThrottleFlag.THROTTLED,
    ThrottleFlag.SOFT_TEMPERATURE_LIMIT,
)
_SINCE_BOOT_SHIFT = 16
_BITS = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})\s*")
_NO_PERMISSION = "no permission: add the agent's user to the group video"


class Answer(Protocol):
    """A program that was started and may have ended."""

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""

    def communicate(self) -> tuple[str, str]:
        """Return output and errors of one that has ended."""


Ask = Callable[[], Answer]


def ask_firmware() -> Answer:
    """Start ``vcgencmd``.

    Raises:
        OSError: It is not installed or may not be run.
    """
    return subprocess.Popen(  # noqa: S603  # a constant; closed by communicate
        VCGENCMD,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def decode(text: str, seen: int = 0) -> tuple[Throttled, int]:
    """Read the bits: ``50005`` from sysfs, ``throttled=0x50005`` from vcgencmd.

    Args:
        text: What was read.
        seen: Bits of earlier readings of this boot: some kernels clear the firmware's
            memory when they read it themselves.

    Returns:
        The bits in words, and all that have been seen in this boot.
    """
    match = _BITS.fullmatch(text.strip())
    if match is None:
        return Throttled(unknown=f"the firmware answered {text.strip()[:64]!r}"), seen
    bits = int(match[1], 16)
    now = bits & 0xF
    seen |= now | (bits >> _SINCE_BOOT_SHIFT & 0xF)
    return Throttled(now=_words(now), since_boot=_words(seen)), seen


def _words(bits: int) -> tuple[ThrottleFlag, ...]:
    return tuple(flag for bit, flag in enumerate(_FLAGS) if bits >> bit & 1)


class Throttle:
    """Reads the bits of one board.

    Args:
        root: Where the file systems are; ``/`` but in tests.
        raspberry: Whether the board is a Raspberry Pi; others without the sysfs file
            have no such firmware.
        clock: Monotonic clock, seconds.
        ask: Starts the program that asks the firmware.
    """

    def __init__(
        self,
        *,
        root: Path,
        raspberry: bool,
        clock: Callable[[], float],
        ask: Ask = ask_firmware,
    ) -> None:
        self._sysfs = root / SYSFS
        self._raspberry = raspberry
        self._clock = clock
        self._ask = ask
        self._asked: Answer | None = None
        self._ask_at = clock()
        self._seen = 0
        self._known: Throttled | None = (
            Throttled(unknown="not read yet") if raspberry else None
        )

    def read(self) -> Throttled | None:
        """Return the bits as last known; None on a machine without that firmware."""
        try:
            text = self._sysfs.read_text(encoding="ascii")
        except PermissionError:
            return Throttled(unknown=_NO_PERMISSION)
        except (OSError, UnicodeDecodeError):
            return self._asked_firmware() if self._raspberry else None
        self._known, self._seen = decode(text, self._seen)
        return self._known

    def _asked_firmware(self) -> Throttled | None:
        """Collect the answer to an earlier question, and ask again when it is time."""
        if self._asked is not None and self._asked.poll() is not None:
            self._take(self._asked)
            self._asked = None
        if self._asked is None and self._clock() >= self._ask_at:
            self._ask_at = self._clock() + ASK_EVERY_S
            self._start()
        return self._known

    def _start(self) -> None:
        try:
            self._asked = self._ask()
        except PermissionError:
            self._known = Throttled(unknown=_NO_PERMISSION)
        except OSError as error:
            text = f"{VCGENCMD[0]} cannot be started: {error.strerror}"
            self._known = Throttled(unknown=text)

    def _take(self, answer: Answer) -> None:
        output, errors = answer.communicate()
        if answer.poll() == 0:
            self._known, self._seen = decode(output, self._seen)
            return
        # As a user outside the group, vcgencmd says that it cannot open /dev/vcio.
        if "/dev/v" in errors or "ermission" in errors:
            self._known = Throttled(unknown=_NO_PERMISSION)
        else:
            self._known = Throttled(unknown=f"vcgencmd: {errors.strip()[-200:]}")
