"""Which orders were already seen: the last 256, and the destructive ones on disk.

A reboot must not be obeyed again after the reboot it caused. Nothing else that the
agent does is written to disk, for cards wear out. A card that takes no writes must not
forbid the reboot that may repair it: the id is kept in memory below ``/run`` then.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from broker.common import atomic

log = logging.getLogger(__name__)

REMEMBERED = 256
KEPT_ON_DISK = 16
FILE_NAME = "orders.json"


class _File(msgspec.Struct, frozen=True):
    """The file: ids of destructive orders, oldest first."""

    destructive: tuple[str, ...] = ()


class OrderMemory:
    """The ids of orders, by when they were last seen.

    Args:
        path: Where destructive ids are kept; None keeps them in memory only.
        kept: Ids found there, oldest first.
        volatile: Where they are kept until the next boot if ``path`` cannot be written;
            None: nowhere.
    """

    def __init__(
        self,
        path: Path | None = None,
        kept: tuple[str, ...] = (),
        replace: Callable[[Path, bytes], None] = atomic.replace,
        volatile: Path | None = None,
    ) -> None:
        self._path = path
        self._kept = list(kept)
        self._replace = replace
        self._volatile = volatile
        self._writing = threading.Lock()
        self._seen: dict[str, None] = dict.fromkeys(kept)

    @classmethod
    def load(cls, path: Path, volatile: Path | None = None) -> "OrderMemory":
        """Reads what an earlier process kept; a broken file is put aside, loudly.

        Args:
            volatile: The file that stands in for it where it cannot be written.
        """
        kept = (*_read(path), *(_read(volatile) if volatile is not None else ()))
        return cls(path, tuple(dict.fromkeys(kept)), volatile=volatile)

    def seen(self, order_id: str) -> bool:
        """Whether an order was seen before; it counts as seen from now on."""
        known = order_id in self._seen
        self._seen.pop(order_id, None)
        self._seen[order_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return known

    def keep(self, order_id: str) -> str:
        """Writes a destructive order's id to disk; blocks, so call it in a thread.

        Returns:
            Why it could be kept until the next boot only; empty when it is on disk.

        Raises:
            OSError: It could not be written at all.
        """
        # Two at once, each in its thread: the older list must not land on the newer.
        with self._writing:
            self._kept = [*self._kept, order_id][-KEPT_ON_DISK:]
            if self._path is None:
                return ""
            try:
                self._write(self._path)
            except OSError as error:
                if self._volatile is None:
                    raise
                self._write(self._volatile)
                return f"{self._path}: {error.strerror or error}"
            return ""

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._replace(path, msgspec.json.encode(_File(tuple(self._kept))))


def volatile_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Returns the file below ``/run`` that stands in for one on disk; None if none can.

    Args:
        environment: Of the process; systemd names the directory of the unit there.
    """
    ours = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if ours:
        return Path(ours) / FILE_NAME
    base = environment.get("XDG_RUNTIME_DIR") or ("" if os.geteuid() else "/run")
    return Path(base) / "pirack-agent" / FILE_NAME if base else None


def _read(path: Path) -> tuple[str, ...]:
    """Returns the ids in a file; a broken one is put aside, loudly."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        log.error(  # noqa: TRY400  # a person needs the sentence, not the traceback
            "%s: cannot be read (%s): a reboot may be obeyed twice",
            path,
            error.strerror,
        )
        return ()
    try:
        return msgspec.json.decode(content, type=_File).destructive
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        atomic.put_aside(path, str(error))
        return ()
