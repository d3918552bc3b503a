"""Ports for what tests start: handed out once, and to one worker alone.

What the kernel gives for port 0 is anybody's again until somebody listens there, and
always while a broker is down: another test's, or a client's own end of a connection.
These are below all that it gives (``ip_local_port_range``, ip(7)).
"""

import itertools
import os
import secrets
import socket

FIRST, EACH, WORKERS = 10_000, 1_000, 16


def _ours() -> "itertools.cycle[int]":
    """Go round the ports of this worker, from anywhere: another run has the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST + worker % WORKERS * EACH
    begin = secrets.randbelow(EACH)
    return itertools.cycle(first + (begin + n) % EACH for n in range(EACH))


_next = _ours()


def free_port(
    kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1"
) -> int:
    """Return a port nobody has.

    Args:
        kind: For TCP or UDP.
        host: Where it will be listened on; empty for all addresses.
    """
    return next(port for port in _next if _is_free(kind, host, port))


def _is_free(kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
