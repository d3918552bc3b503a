"""Logging: its set-up, foreign text made printable, and lines that would repeat."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

FORMAT = "%(levelname)-7s %(name)s [%(threadName)s]: %(message)s"
FORMAT_WITH_TIME = "%(asctime)s " + FORMAT
KEPT = "\n\t"
"""Control characters that text of several lines needs."""
_LINE_ENDS = "\r\n\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def printable(text: str, keep: str = KEPT) -> str:
    r"""Returns a text with every character visible that a terminal would obey or hide.

    Text from a node or another program could retitle the window, clear the screen, or
    show a line that reads otherwise than it is (bidirectional overrides).

    Args:
        text: Anything.
        keep: Control characters that stay; empty for text of one line.

    Returns:
        The text, with escapes such as ``\x1b`` and ``\u202e`` in their place.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else _visible(char) for char in text
    )


def printable_json(text: str) -> str:
    """Returns JSON that means the same and has no character that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in KEPT else _escaped(char) for char in text
    )


def _visible(char: str) -> str:
    if char.isspace() and char not in _LINE_ENDS:
        return " "  # a space of another width, or one that does not break
    return char.encode("unicode_escape").decode("ascii")


def _escaped(char: str) -> str:
    """Returns a character as JSON escapes it: UTF-16 units."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


class PrintableFormatter(logging.Formatter):
    """Shows the characters that a terminal would obey: a log holds foreign text."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, and the traceback where there is one."""
        return printable(super().format(record))


def set_up(*, level: str = "info", file: Path | None = None) -> None:
    """Sends the log to standard error, and to ``file`` too if one is given.

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
        log: Of the module that logs.
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
        """How often there was something to log, since start."""
        self._log = log
        self._level = level
        self._every_s = every_s
        self._clock = clock
        self._said_at: float | None = None
        self._held_back = 0

    def say(
        self, text: str, *args: object, exc_info: BaseException | None = None
    ) -> None:
        """Logs one line, or counts it; the next line tells how many were held back.

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


class Rejections:
    """Counts bad input from outside by its kind, and logs each kind once.

    Args:
        who: The service that refuses, for the log.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, text: str) -> None:
        """Counts one refused input.

        Args:
            kind: A word from a small closed set, for example ``heartbeat``: it is
                counted and logged once, so it must not come from outside.
            text: What was wrong, the value, what would be right.
        """
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            log.warning("%s: refused %s: %s (logged once)", self._who, kind, text)

    def value(self, field: str, text: str) -> None:
        """Counts one value that read as its default, because it could not be read.

        Args:
            field: Of the contract, for example ``Heartbeat.cpu_percent``.
            text: What was wrong.
        """
        self.add(field, f"{text}; the rest of the message is used")

    @property
    def counts(self) -> dict[str, int]:
        """Refused inputs by kind, since start."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """Refused inputs since start."""
        return self._counts.total()
