"""Whether the kernel says that its clock is set.

A Pi without a clock battery boots with a time of its own until NTP has answered; what
it believes to be the time must not decide whether an order is too old.
"""

_TIME_ERROR = 5
"""What ``adjtimex(2)`` returns while the clock is not synchronised."""
_FAILED = -1
_TIMEX_BYTES = 512
"""More than ``struct timex`` has on any Linux; zeroed, it asks and changes nothing."""


def synced() -> bool | None:
    """Return whether the clock is synchronised; None where the kernel does not say."""
    # Only here: ctypes is the one import of the agent that not every process needs.
    import ctypes  # noqa: PLC0415

    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state == _FAILED else bool(state != _TIME_ERROR)
