"""When the next heartbeat is due; pure."""


def next_beat(due: float, now: float, interval_s: float) -> float:
    """Return when to beat next, so that beats keep their pace whatever each one costs.

    After a pause longer than an interval (a stopped process, a sleeping machine) the
    missed beats are skipped, not sent in a burst.

    Args:
        due: When the last beat was due, seconds of a monotonic clock.
        now: The same clock now.
        interval_s: Seconds between beats.
    """
    following = due + interval_s
    return following if following > now else now + interval_s
