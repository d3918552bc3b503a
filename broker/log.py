"""One logging set-up for every process: standard error, a file only if asked."""

import logging
import sys
from pathlib import Path

FORMAT = "%(levelname)-7s %(name)s [%(threadName)s]: %(message)s"
FORMAT_WITH_TIME = "%(asctime)s " + FORMAT


def set_up(*, level: str = "info", file: Path | None = None) -> None:
    """Send the log to standard error, and to ``file`` too if one is given.

    Standard error carries the time only on a terminal: the journal adds its own.

    Args:
        level: debug, info, warning or error.
        file: Appended to; its directory must exist.
    """
    stream = logging.StreamHandler(sys.stderr)
    timed = sys.stderr.isatty()
    stream.setFormatter(logging.Formatter(FORMAT_WITH_TIME if timed else FORMAT))
    handlers: list[logging.Handler] = [stream]
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter(FORMAT_WITH_TIME))
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
