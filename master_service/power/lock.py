"""One process switches the outlets: a lock that ends with whoever holds it."""

import fcntl
import os
from pathlib import Path

from broker.common.atomic import hand_over
from master_service.power.outlets import PowerFatalError

FILE = "outlets.lock"


class OutletLock:
    """A lock on the outlets of a rack; the kernel opens it when its process ends.

    Args:
        folder: The master's data folder; made when it is missing.
        who: What the holder is called in the other's error.
    """

    def __init__(self, folder: Path, who: str) -> None:
        self._path = folder / FILE
        self._who = who
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock; twice is fine.

        Raises:
            PowerFatalError: Another process has it, or there can be none.
        """
        if self._handle is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # As root we would write to whatever a link leads to.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self._path, flags, 0o600)
            hand_over(handle, self._path.parent)
        except OSError as error:
            text = f"{self._path}: the outlets cannot be locked: {error.strerror}"
            raise PowerFatalError(text) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 100).decode("utf-8", "replace").strip()
            os.close(handle)
            text = f"the outlets are in use by {holder or 'another process'}"
            raise PowerFatalError(text) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{self._who}, process {os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; twice is fine."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
