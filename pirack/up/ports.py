"""Which TCP port to listen on: the wanted one, else the next that is free."""

import errno
import socket

from broker.errors import ConfigError

TRIES = 200
"""How far to look; whoever has this many ports in a row taken should name one."""
HIGHEST = 65535


def is_free(host: str, port: int) -> bool:
    """Return whether one could listen there now.

    Raises:
        ConfigError: It can never be: a privileged port, or no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A port in TIME_WAIT after a restart is free for us, as it is for the service.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            text = f"cannot listen on {host}:{port}: {error.strerror}; {_advice(error)}"
            raise ConfigError(text) from error
    return True


def choose(host: str, wanted: int, *, taken: frozenset[int] = frozenset()) -> int:
    """Return ``wanted``, or the next port that is free.

    Args:
        host: Address to listen on.
        wanted: Port to try first.
        taken: Ports promised to another part already.

    Raises:
        ConfigError: None is free, or the address cannot be used.
    """
    last = min(wanted + TRIES, HIGHEST)
    for port in range(wanted, last + 1):
        if port not in taken and is_free(host, port):
            return port
    text = f"no port from {wanted} to {last} is free on {host}; name another"
    raise ConfigError(text)


def choose_echo(host: str, wanted: int) -> int:
    """Return a UDP port on which simulated boards can answer: ``wanted`` or the next.

    Args:
        host: Address of one of the boards.
        wanted: Port to try first; 0 for none, which is free always.

    Raises:
        ConfigError: None is free.
    """
    last = min(wanted + TRIES, HIGHEST)
    for port in range(wanted, last + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    text = f"no UDP port from {wanted} to {last} is free; set [simulator] echo_port"
    raise ConfigError(text)


def _advice(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "ports below 1024 need root; use 1024 or above"
    return "use an address of this machine, 127.0.0.1, or 0.0.0.0 for all"
