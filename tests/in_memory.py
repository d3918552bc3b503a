"""Folders in memory, for tests that are not about what a disk takes to be sure."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # Linux's own; elsewhere it is a disk after all


def temporary() -> tempfile.TemporaryDirectory[str]:
    """Make a folder, to be cleaned up; the name is how ``run_cleanup`` finds it."""
    where = MEMORY if MEMORY.is_dir() else None
    return tempfile.TemporaryDirectory(prefix=f"pirack{os.getpid()}-", dir=where)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards."""
    with temporary() as name:
        yield Path(name)
