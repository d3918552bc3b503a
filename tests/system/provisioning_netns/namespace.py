"""Moves a thread into a network namespace; Python 3.11 has no ``os.setns``."""

import ctypes
from pathlib import Path

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    """Move the calling thread into a namespace; its children are born there."""
    with Path(f"/run/netns/{namespace}").open() as file:
        if _libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
