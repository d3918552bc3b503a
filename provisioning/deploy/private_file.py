"""Files for their owner only, in a folder that may be another user's."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from broker.common.atomic import replace


def write(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, in one step, for whom its folder belongs to.

    ``sudo pirack deploy`` and the master, a user of its own, share them.

    Args:
        path: The file; its folder is made when it is missing.
        content: All of it.

    Raises:
        OSError: It cannot be written.
    """
    _make(path.parent)
    replace(path, content, mode=0o600, shared=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other `pirack deploy` write there between our look and our write.

    The folder is locked, not a file in it: nothing is left behind that another user
    could not open. It is for one small write, so waiting here is short.

    Args:
        folder: Made when it is missing.

    Raises:
        OSError: It cannot be made or opened.
    """
    _make(folder)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
