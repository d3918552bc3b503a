"""The Raspberry Pi firmware's throttle bits: under-voltage, capping, throttling, heat.

Source of the bits: raspberrypi.com/documentation/computers/os.html#get_throttled.
Read from sysfs where the kernel offers it (cheap); else ``vcgencmd`` is started once a
minute and its answer collected at a later reading, so that no reading ever waits. Some
kernels have a file that always says 0, so where it does ``vcgencmd`` is asked as well.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from broker.contract.messages import Throttled, ThrottleFlag

SYSFS = "sys/devices/platform/soc/soc:firmware/get_throttled"
VCGENCMD = ("vcgencmd", "get_throttled")
ASK_EVERY_S = 60.0
ANSWER_WITHIN_S = 30.0
"""After this the program is killed: where the firmware hangs, it waits for ever."""

_FLAGS = (
    ThrottleFlag.UNDER_VOLTAGE,
    ThrottleFlag.FREQUENCY_CAPPED,
    ThrottleFlag.THROTTLED,
    ThrottleFlag.SOFT_TEMPERATURE_LIMIT,
)
_SINCE_BOOT_SHIFT = 16
_BITS = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})\s*")
_NO_PERMISSION = "no permission: add the agent's user to the group video"


class FirmwareQuery(Protocol):
    """A program that was started to ask the firmware, and may have ended."""

    def poll(self) -> int | None:
        """Returns the exit code, or None while it runs."""

    def communicate(self) -> tuple[str, str]:
        """Returns output and errors of one that has ended."""

    def kill(self) -> None:
        """Ends it at once."""


Ask = Callable[[], FirmwareQuery]


class Vcgencmd(subprocess.Popen[str]):
    """``vcgencmd``, started.

    Raises:
        OSError: It is not installed or may not be run.
    """

    def __init__(self) -> None:
        super().__init__(
            VCGENCMD,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kills its group: a child of a wrapper script would keep the pipes open."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()


def decode(text: str, seen: int = 0) -> tuple[Throttled, int]:
    """Reads the bits: ``50005`` from sysfs, ``throttled=0x50005`` from vcgencmd.

    Args:
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
        raspberry: Whether the board is a Raspberry Pi; others without the sysfs file
            have no such firmware.
        ask: Starts the program that asks the firmware.
    """

    def __init__(
        self,
        *,
        root: Path,
        raspberry: bool,
        clock: Callable[[], float],
        ask: Ask = Vcgencmd,
    ) -> None:
        self._sysfs = root / SYSFS
        self._raspberry = raspberry
        self._clock = clock
        self._ask = ask
        self._asked: FirmwareQuery | None = None
        self._asked_at = 0.0
        self._killed = False
        self._installed = True
        self._ask_at = clock()
        self._seen = 0
        self._known: Throttled | None = (
            Throttled(unknown="not read yet") if raspberry else None
        )
        """What the program answered."""

    def read(self) -> Throttled | None:
        """Returns the bits as last known; None on a machine without that firmware."""
        try:
            text = self._sysfs.read_text(encoding="utf-8")
        except PermissionError:
            return Throttled(unknown=_NO_PERMISSION)
        except (OSError, UnicodeDecodeError):
            return self._asked_firmware() if self._raspberry else None
        found, self._seen = decode(text, self._seen)
        if found.unknown or found.now or not self._installed:
            return found
        also = self._asked_firmware()
        if also is None or also.unknown:
            return found
        return Throttled(now=also.now, since_boot=_words(self._seen))

    def _asked_firmware(self) -> Throttled | None:
        """Collects the answer to an earlier question, and asks again when it is due."""
        now = self._clock()
        if self._asked is not None and self._asked.poll() is not None:
            if not self._killed:
                self._take(self._asked)
            self._asked = None
        elif self._asked is not None and now - self._asked_at >= ANSWER_WITHIN_S:
            self._give_up(self._asked)
        if self._asked is None and now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            self._start()
        return self._known

    def _start(self) -> None:
        self._asked_at, self._killed = self._clock(), False
        try:
            self._asked = self._ask()
        except PermissionError:
            self._known = Throttled(unknown=_NO_PERMISSION)
        except OSError as error:
            self._installed = not isinstance(error, FileNotFoundError)
            text = f"{VCGENCMD[0]} cannot be started: {error.strerror}"
            self._known = Throttled(unknown=text)

    def _give_up(self, answer: FirmwareQuery) -> None:
        """Ends a program that hangs; the next starts only when it is gone."""
        self._known = Throttled(unknown=f"{VCGENCMD[0]} does not answer")
        if not self._killed:
            self._killed = True
            self._ask_at = self._clock() + ASK_EVERY_S
            answer.kill()

    def _take(self, answer: FirmwareQuery) -> None:
        output, errors = answer.communicate()
        if answer.poll() == 0:
            self._known, self._seen = decode(output, self._seen)
            return
        # As a user outside the group, vcgencmd says that it cannot open /dev/vcio.
        if "/dev/v" in errors or "ermission" in errors:
            self._known = Throttled(unknown=_NO_PERMISSION)
        else:
            self._known = Throttled(unknown=f"vcgencmd: {errors.strip()[-200:]}")
