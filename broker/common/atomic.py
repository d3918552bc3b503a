"""Replaces state files, never rewrites them: a crash leaves the old or the new one."""

import contextlib
import logging
import os
import secrets
from pathlib import Path

log = logging.getLogger(__name__)


def replace(
    path: Path, content: bytes, *, mode: int = 0o600, shared: bool = False
) -> None:
    """Replaces a file by one with this content, durably.

    Args:
        path: The file; its directory must exist.
        content: All of it.
        mode: Permission bits of the new file.
        shared: Root may write it for the user its directory belongs to.

    Raises:
        OSError: The directory cannot be written.
    """
    # Not tempfile: that module would cost every node half a megabyte of memory.
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(new, flags, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if shared:
                hand_over(file.fileno(), path.parent)
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise
    _sync_directory(path.parent)


def put_aside(path: Path, why: object, lost: str = "") -> None:
    """Renames a damaged file, for a person to look at, and logs that as an error.

    Args:
        path: The file; its new name ends in ``.broken``. What SQLite keeps beside it
            goes with it.
        why: What is wrong with it.
        lost: What follows from that.
    """
    aside = path.with_suffix(".broken")
    tail = f"; {lost}" if lost else ""
    log.error("%s: is broken (%s): put aside as %s%s", path, why, aside, tail)
    try:
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(f"{aside}{suffix}")
    except OSError as error:
        log.warning("%s: cannot be put aside (%s)", path, error.strerror)


def hand_over(handle: int, directory: Path) -> None:
    """Gives a file that root has open to the user its directory belongs to.

    By its handle, never by name: the owner of the directory could put a link there
    meanwhile, and would be given what it leads to.

    Raises:
        OSError: It cannot be given away.
    """
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _sync_directory(path: Path) -> None:
    """Makes the rename itself survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
