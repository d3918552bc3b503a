"""Runs and places on disk: one SQLite file, one transaction for each turn of a run.

Written in a thread, for a card may take a second to sync, and waited for: the actions
that follow must not begin before the bytes are on disk. Read at the start, on the loop.
"""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from broker.common.atomic import put_aside
from broker.contract.messages import InstallVerdict
from provisioning.common.errors import JournalError
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun

SCHEMA = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, begun REAL NOT NULL, ended REAL, state BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS place (
    stack INTEGER NOT NULL, slot INTEGER NOT NULL,
    address TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
    mac TEXT UNIQUE, serial TEXT NOT NULL, model TEXT NOT NULL,
    verdict TEXT NOT NULL, reserved INTEGER NOT NULL,
    PRIMARY KEY (stack, slot)
) STRICT;
"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(InstallRun).decode


class SqliteJournal:
    """The journal in one file.

    Args:
        path: The file; made when it is missing, as is its folder.
        now: Returns Unix time, seconds, which dates the runs.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._database: sqlite3.Connection | None = None
        self._busy = threading.Lock()
        self._places: tuple[Place, ...] | None = None
        """As they are on disk; None: not read yet."""

    def open(self) -> None:
        """Opens the file; calling it twice is fine.

        An empty or damaged one is put aside, with a line in the log: the next install
        run finds the boards, which keep their addresses as long as the DHCP server has
        their reservations.

        Raises:
            JournalError: It cannot be opened, or has a version we cannot read.
        """
        if self._database is not None:
            return
        try:
            self._mend()
            self._open_file()
        except JournalError:
            self.close()
            raise

    def _mend(self) -> None:
        with self._translated():
            why = _damage(self._path)
            if why:
                put_aside(self._path, why, "the slots of boards are not known any more")

    def _open_file(self) -> None:
        with self._translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )
            self._database = database
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in {0, SCHEMA}:
                text = f"{self._path} has version {version}; this PiRack reads {SCHEMA}"
                raise JournalError(text)
            database.executescript(_TABLES)
            database.execute(f"PRAGMA user_version = {SCHEMA}")

    def close(self) -> None:
        """Closes the file; calling it twice is fine."""
        with self._busy:  # a write whose waiter was cancelled ends first
            if self._database is not None:
                self._database.close()
                self._database = self._places = None

    def last(self) -> InstallRun | None:
        """Returns the latest run, over or not; None: there was none."""
        # Not by time: a Pi without a clock may begin a run "before" the last one.
        query = "SELECT state FROM run ORDER BY rowid DESC LIMIT 1"
        with self._translated():
            row = self._open.execute(query).fetchone()
            if row is None:
                return None
            return _decode(row[0]).with_(places=self.places())

    def places(self) -> tuple[Place, ...]:
        """Returns every place of the rack."""
        if self._places is not None:
            return self._places  # asked for at each publication, on the loop
        query = (
            "SELECT stack, slot, address, name, mac, serial, model, verdict, reserved "
            "FROM place ORDER BY stack, slot"
        )
        with self._translated():
            self._places = tuple(map(_place, self._open.execute(query)))
        return self._places

    async def save(self, run: InstallRun) -> None:
        """Writes a run and its places, both or neither."""
        await asyncio.to_thread(self._save, run, self._now())

    def _save(self, run: InstallRun, now: float) -> None:
        # Places live in their own table: one truth, and the file checks it.
        state = _encode(run.with_(places=()))
        with self._transaction() as database:
            database.execute(
                "INSERT INTO run (id, begun, ended, state) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, "
                "state = excluded.state",
                (run.id, now, now if run.over else None, state),
            )
            _write(database, run.places)
        self._places = _in_order(run.places)

    async def keep(self, places: tuple[Place, ...]) -> None:
        """Writes places that a person changed between two runs."""
        await asyncio.to_thread(self._keep, places)

    def _keep(self, places: tuple[Place, ...]) -> None:
        with self._transaction() as database:
            _write(database, places)
        self._places = _in_order(places)

    @property
    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            text = f"the journal {self._path} is not open"
            raise JournalError(text)
        return self._database

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._busy, self._translated():
            database = self._open
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # a full disk ended it already
                    database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, msgspec.MsgspecError) as error:
            text = f"the journal {self._path} cannot be used: {error}"
            raise JournalError(text) from error


def _damage(path: Path) -> str:
    """Returns why a file is not a database any more; empty: it is, or is missing.

    Raises:
        OSError: It cannot be read.
        sqlite3.OperationalError: It cannot be read, or another program holds it.
    """
    if not path.exists():
        return ""
    if not path.stat().st_size:
        return "it is empty"
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if verdict == "ok" else str(verdict)


def _write(database: sqlite3.Connection, places: tuple[Place, ...]) -> None:
    """Replaces all places, so that boards that change places never collide."""
    database.execute("DELETE FROM place")
    database.executemany(
        "INSERT INTO place VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row, places)
    )


def _in_order(places: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda place: (place.stack, place.slot)))


def _row(place: Place) -> tuple[object, ...]:
    return (
        place.stack,
        place.slot,
        place.address,
        place.name,
        place.mac or None,
        place.serial,
        place.model,
        place.verdict.value,
        int(place.reserved),
    )


def _place(row: tuple[int, int, str, str, str | None, str, str, str, int]) -> Place:
    return Place(
        stack=row[0],
        slot=row[1],
        address=row[2],
        name=row[3],
        mac=row[4] or "",
        serial=row[5],
        model=row[6],
        verdict=InstallVerdict(row[7]),
        reserved=bool(row[8]),
    )
