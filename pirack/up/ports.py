"""Which ports to listen on: the wanted ones, else the next that are free."""

import contextlib
import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Self

from broker.common.errors import ConfigError

TRIES = 200
"""How many ports are tried; beyond that a person should name one."""
HIGHEST = 65535


class Promises:
    """Ports that a rack has chosen and that no other one is to choose, for a block.

    A port is chosen seconds before a part listens there, and the mere look whether it
    is free keeps others from it for that moment. So a name that stands for it is taken
    first, in the abstract namespace (unix(7)): the kernel forgets it with this process,
    however that ends, and each network has names of its own, as it has ports.
    """

    def __init__(self) -> None:
        self._kept = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def make(self, port: str, is_free: Callable[[], bool]) -> bool:
        """Promises a port to this rack, and returns whether it could be.

        Args:
            port: Its protocol and number.
            is_free: Looks whether one could listen there now.
        """
        with contextlib.ExitStack() as until_kept:
            name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            until_kept.enter_context(name)
            try:
                name.bind(f"\0pirack up {port}")
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                # No abstract names here, as on macOS: the look alone must do.
            if not is_free():
                return False
            self._kept.push(until_kept.pop_all())
        return True


def is_free(host: str, port: int) -> bool:
    """Returns whether one could listen there now.

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


def choose(
    host: str, wanted: int, promises: Promises, *, taken: frozenset[int] = frozenset()
) -> int:
    """Returns ``wanted``, or the next port that is free, and promises it.

    Args:
        taken: Ports of another part that are not promised.

    Raises:
        ConfigError: None is free, or the address cannot be used.
    """
    last = min(wanted + TRIES, HIGHEST)
    for port in range(wanted, last + 1):
        free = partial(is_free, host, port)
        if port not in taken and promises.make(f"tcp {port}", free):
            return port
    text = f"no port from {wanted} to {last} is free on {host}; name another"
    raise ConfigError(text)


def choose_echo(host: str, wanted: int, promises: Promises) -> int:
    """Returns a UDP port on which simulated boards can answer, and promises it.

    Args:
        host: Address of one of the boards.

    Raises:
        ConfigError: None is free.
    """
    last = min(wanted + TRIES, HIGHEST)
    for port in range(wanted, last + 1):
        if promises.make(f"udp {port}", partial(_is_free_for_echo, host, port)):
            return port
    text = f"no UDP port from {wanted} to {last} is free; set [simulator] echo_port"
    raise ConfigError(text)


def _is_free_for_echo(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _advice(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "ports below 1024 need root; use 1024 or above"
    return "use an address of this machine, 127.0.0.1, or 0.0.0.0 for all"
