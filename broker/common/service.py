"""Runs a service process until SIGINT or SIGTERM, then stops it cleanly."""

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from broker.common.config import Document, load
from broker.common.errors import ConfigError, PiRackError
from broker.common.log import set_up

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
EXIT_NO_BROKER = 4

TABLES = (
    "agent",
    "broker",
    "dashboard",
    "enrol",
    "heal",
    "install",
    "master",
    "node",
    "outlet",
    "power",
    "rack",
    "simulator",
    "stack",
    "up",
)
"""Every top-level table of ``pirack.toml``, whichever package owns it."""

LOG_LEVELS = ("debug", "info", "warning", "error")
COMMON: dict[str, Any] = {"config": None, "log_level": "info", "log_file": None}
"""What ``add_common`` adds, and the values of what is not given."""

Given: TypeAlias = "argparse.Namespace | SimpleNamespace"
"""Options by name; an agent that is a service has them without argparse."""


class Service(Protocol):
    """Anything that is started, lives, and is stopped."""

    async def start(self) -> None:
        """Begins to work and returns; raises a PiRackError if that cannot be."""

    async def stop(self) -> None:
        """Undoes ``start``; twice is fine."""


async def serve(service: Service) -> None:
    """Runs a service until the process is told to end.

    Raises:
        PiRackError: The service could not start.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        await service.start()
        await ended.wait()
    finally:
        await service.stop()


def run(service: Service) -> int:
    """Runs a service as this process and returns its exit code.

    A configuration error is a sentence on standard error, never a traceback.
    """
    try:
        asyncio.run(serve(service))
    except PiRackError as error:
        sys.stderr.write(f"pirack: {error}\n")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    return EXIT_OK


def add_common(parser: "argparse.ArgumentParser") -> None:
    """Adds the options that all services share."""
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="pirack.toml to read (without it: built-in values)",
    )
    group.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default=COMMON["log_level"],
        help="how much to say on standard error (default: info)",
    )
    group.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="append the log to this file too (by default nothing is written)",
    )


def parse(
    parser: "argparse.ArgumentParser", words: Sequence[str] | None = None
) -> "argparse.Namespace":
    """Returns the options given.

    After ``--help`` the program ends. When the reader of that text (``| head``) is gone
    by then, it ends silently: Python 3.13 complains at its exit otherwise.

    Args:
        parser: The program's.
        words: From the command line; None for all of it.
    """
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    options = parser.parse_args(words)
    signal.signal(signal.SIGPIPE, before)  # a service must outlive a closed socket
    return options


def load_common(args: Given) -> Document:
    """Sets up logging and reads the configuration the common options name.

    Args:
        args: What a parser with ``add_common`` returned.

    Raises:
        ConfigError: The file cannot be read, is not valid TOML, has an unknown table,
            or the log file cannot be written.
    """
    log_file: Path | None = args.log_file
    try:
        set_up(level=args.log_level, file=log_file)
    except OSError as error:
        text = f"--log-file {log_file}: cannot be written: {error.strerror}"
        raise ConfigError(text) from error
    document = load(args.config)
    document.require_known(TABLES)
    return document


def overlaid(
    document: Document, args: Given, options: Mapping[str, tuple[str, ...]]
) -> Document:
    """Returns the configuration, overridden by the options that were given.

    Args:
        document: As it was read.
        args: Options by name; None is one that was not given.
        options: Which keys of which table an option of the same name overrides.
    """
    tables = document.tables
    for table, keys in options.items():
        given = {key: getattr(args, key) for key in keys}
        chosen = {key: value for key, value in given.items() if value is not None}
        tables[table] = {**tables.get(table, {}), **chosen}
    return Document(tables, str(args.config or "command line"))
