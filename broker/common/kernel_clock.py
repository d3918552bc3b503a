"""Tells whether the machine's clock is set.

A Pi without a clock battery boots with a time of its own until NTP has answered; what
it believes to be the time must not decide whether an order is too old.
"""

from pathlib import Path

TIMESYNCD = Path("/run/systemd/timesync/synchronized")
"""There once systemd-timesyncd has set the clock since boot; systemd-timesyncd(8)."""
_TIME_ERROR = 5
"""What ``adjtimex(2)`` returns while the clock is not synchronised."""
_FAILED = -1
_TIMEX_BYTES = 512
"""More than ``struct timex`` has on any Linux; zeroed, it asks and changes nothing."""


def synced(timesyncd: Path = TIMESYNCD) -> bool | None:
    """Returns whether the clock was set; None where that is not known.

    Args:
        timesyncd: File that answers without asking the kernel; others, like chrony,
            have none.
    """
    if timesyncd.exists():
        return True
    import ctypes  # noqa: PLC0415  # 0.4 MB that most Pis never need

    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state == _FAILED else bool(state != _TIME_ERROR)
