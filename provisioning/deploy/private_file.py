"""Files for their owner only, in a folder that may be another user's."""

from pathlib import Path

from broker.atomic import replace


def write(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, in one step, for whom its folder belongs to.

    ``sudo pirack deploy`` and the master, a user of its own, share them.

    Args:
        path: The file; its folder is made when it is missing.
        content: All of it.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(path, content, mode=0o600, shared=True)
