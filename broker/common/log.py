"""One logging set-up for every process: standard error, a file only if asked."""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from broker.common.printable import printable

FORMAT = "%(levelname)-7s %(name)s [%(threadName)s]: %(message)s"
FORMAT_WITH_TIME = "%(asctime)s " + FORMAT


class PrintableFormatter(logging.Formatter):
    """Shows the characters that a terminal would obey: a log holds foreign text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback where there is one."""
        return printable(super().format(record))


def set_up(*, level: str = "info", file: Path | None = None) -> None:
    """Send the log to standard error, and to ``file`` too if one is given.

    Standard error carries the time only on a terminal: the journal adds its own.

    Args:
        level: debug, info, warning or error.
        file: Appended to; its directory must exist.
    """
    stream = logging.StreamHandler(sys.stderr)
    timed = sys.stderr.isatty()
    stream.setFormatter(PrintableFormatter(FORMAT_WITH_TIME if timed else FORMAT))
    handlers: list[logging.Handler] = [stream]
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(PrintableFormatter(FORMAT_WITH_TIME))
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)


class RateLimited:
    """Logs what may repeat without end: at most one line in a while, with a count.

    Args:
        log: Of the module that speaks.
        level: As ``logging.WARNING``.
        every_s: Seconds between two lines.
        clock: Monotonic clock, seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        level: int = logging.WARNING,
        *,
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.count = 0
        """How often there was something to say, since start."""
        self._log = log
        self._level = level
        self._every_s = every_s
        self._clock = clock
        self._said_at: float | None = None
        self._held_back = 0

    def say(
        self, text: str, *args: object, exc_info: BaseException | None = None
    ) -> None:
        """Log one line, or count it; the next line tells how many were held back.

        Args:
            text: With ``%s``, as for ``logging``.
            args: For the text.
            exc_info: Its traceback is logged too.
        """
        self.count += 1
        now = self._clock()
        if self._said_at is not None and now - self._said_at < self._every_s:
            self._held_back += 1
            return
        if self._held_back:
            text, args = f"{text} (and %d more, held back)", (*args, self._held_back)
        self._log.log(self._level, text, *args, exc_info=exc_info)
        self._said_at, self._held_back = now, 0
