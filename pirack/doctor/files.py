"""Checks of the configuration file: every table read by the package that owns it."""

from collections.abc import Iterator
from pathlib import Path

from broker.common.config import load
from broker.common.errors import ConfigError, PiRackError
from pirack.configuration import check
from pirack.doctor.finding import Finding, fail, ok


def configuration(path: Path | None) -> Iterator[Finding]:
    """Checks a configuration file, each table by its owner."""
    if path is None:
        yield ok("configuration", "none given: built-in values")
        return
    try:
        document = load(path)
    except ConfigError as error:
        other = "name another file with --config"
        advice = "correct it in the file" if path.exists() else other
        yield fail("configuration", str(error), advice)
        return
    try:
        check(document)
    except PiRackError as error:
        yield fail("configuration", str(error), "correct that key in the file")
    else:
        yield ok("configuration", f"{path}: every table and key is known")
