"""What the install run left for a deployment: its folder, and who stands where."""

from pathlib import Path
from typing import Any

from broker.common.config import load
from pirack.house import House
from provisioning.clock import LoopClock
from provisioning.journal import SqliteJournal
from provisioning.plan import Place

JOURNAL = "install.sqlite"
MASTER = "master.toml"
"""What `pirack up` gives its master, beside its description of the rack."""


def folder(house: House) -> Path:
    """Return the folder of our SSH key, host keys and the install run's journal.

    ``[install] data_dir``, as the master has it; where nothing says it, beside what the
    master keeps.

    Raises:
        ConfigError: The rack's description cannot be read.
    """
    described = [house.source, house.source.with_name(MASTER)]
    tables = [load(path).tables for path in described if path.exists()]
    for one in tables:
        given = _word(one, "install", "data_dir")
        if given:
            return Path(given).absolute()
    kept = [_word(one, "master", "data_dir") for one in tables]
    beside = next(filter(None, kept), str(house.source.parent))
    return Path(beside).absolute() / "install"


def _word(tables: dict[str, Any], table: str, key: str) -> str:
    found = tables.get(table, {})
    return str(found.get(key, "")) if isinstance(found, dict) else ""


def places(directory: Path) -> tuple[Place, ...]:
    """Return who stands where; nothing where there was no install run yet.

    Raises:
        JournalError: The journal cannot be read.
    """
    path = directory / JOURNAL
    if not path.exists():
        return ()
    journal = SqliteJournal(path, LoopClock())
    journal.open()
    try:
        return journal.places()
    finally:
        journal.close()
