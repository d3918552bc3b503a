"""Which orders were already seen: the last 256, and the destructive ones on disk.

A reboot must not be obeyed again after the reboot it caused. Nothing else that the
agent does is written to disk, for cards wear out.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from broker import atomic

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
        replace: Puts new content in the place of a file.
    """

    def __init__(
        self,
        path: Path | None = None,
        kept: tuple[str, ...] = (),
        replace: Callable[[Path, bytes], None] = atomic.replace,
    ) -> None:
        self._path = path
        self._kept = list(kept)
        self._replace = replace
        self._writing = threading.Lock()
        self._seen: dict[str, None] = dict.fromkeys(kept)

    @classmethod
    def load(cls, path: Path) -> "OrderMemory":
        """Read what an earlier process kept; a broken file is put aside, loudly."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            log.error(  # noqa: TRY400  # a person needs the sentence, not the traceback
                "%s: cannot be read (%s): a reboot may be obeyed twice",
                path,
                error.strerror,
            )
            return cls(path)
        try:
            return cls(path, msgspec.json.decode(content, type=_File).destructive)
        except msgspec.MsgspecError as error:
            aside = path.with_suffix(".broken")
            log.error("%s: is broken (%s): put aside as %s", path, error, aside)  # noqa: TRY400  # as above
            path.replace(aside)
            return cls(path)

    def seen(self, order_id: str) -> bool:
        """Whether an order was seen before; it counts as seen from now on."""
        known = order_id in self._seen
        self._seen.pop(order_id, None)
        self._seen[order_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return known

    def keep(self, order_id: str) -> None:
        """Put a destructive order's id on disk; blocks, so call it in a thread.

        Raises:
            OSError: It could not be written; the order must not be obeyed.
        """
        # Two at once, each in its thread: the older list must not land on the newer.
        with self._writing:
            self._kept = [*self._kept, order_id][-KEPT_ON_DISK:]
            if self._path is None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(self._path, msgspec.json.encode(_File(tuple(self._kept))))
