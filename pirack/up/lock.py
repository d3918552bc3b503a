"""One ``pirack up`` for each data directory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from broker.common.errors import ConfigError

LOCK_FILE = "lock"


@contextlib.contextmanager
def held(data: Path) -> Iterator[None]:
    """Holds the data directory for as long as the block runs.

    The kernel lets go when the process ends, however it ends; a file left behind
    means nothing.

    Raises:
        ConfigError: Another process holds it, or the directory cannot be written.
    """
    path = data / LOCK_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        text = f"{path}: cannot be written: {error.strerror}"
        raise ConfigError(text) from error
    try:
        _take(handle, data)
        yield
    finally:
        os.close(handle)


def _take(handle: int, data: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        text = (
            f"another `pirack up` (process {holder or 'unknown'}) uses {data}; "
            "stop it, or give this one a directory of its own with --data DIR"
        )
        raise ConfigError(text) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
