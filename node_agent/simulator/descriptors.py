"""Room for thousands of connections in one process."""

import logging
import resource

log = logging.getLogger(__name__)

SPARE = 128
"""Files beside the connections: the loop's own, logs, the resolver's."""


def make_room(connections: int) -> None:
    """Raise the soft limit of open files as far as needed and allowed.

    Args:
        connections: How many sockets will be open at once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < needed:
        log.warning(
            "simulator: %d connections need %d open files, the hard limit is %d; "
            "raise it with ulimit -Hn or LimitNOFILE=",
            connections,
            needed,
            hard,
        )
