"""What the master must not forget, in SQLite: ``docs/decisions/master-store.md``.

One thread of its own does all writing, another reads the history, so that the loop
never waits for a card, and no commit waits for a question.
Callers on the loop only queue rows; ``commit`` hands the queue over and returns when it
is on disk. A transaction is there as a whole or not at all, whenever the process ends.
"""

import asyncio
import contextlib
import errno
import itertools
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from broker.common.errors import ConfigError, PiRackError
from broker.common.tasks import run_to_end
from broker.contract.messages import Event, EventKind, Lock
from master_service.rack import events
from master_service.rack.events import DAY_S, EventQuery, Retention, Statement
from master_service.rack.records import (
    BOOT_ID,
    FORGOTTEN_FOR_GOOD,
    TABLES,
    BootRecord,
    CommandBegun,
    CommandEnded,
    LockEnd,
    LockRecord,
    NodeRecord,
    OutletRecord,
    PartRecord,
    Record,
    Saved,
    Tombstone,
    load,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

MIGRATIONS = ((1, TABLES + events.TABLE),)
"""What leads to each version of the schema from the one before; only ever appended to.
The number is kept in the file, as ``PRAGMA user_version``."""
SCHEMA_VERSION = MIGRATIONS[-1][0]
SEQ_BLOCK = 1_000
"""Event numbers are reserved in blocks, so that none is ever given twice although the
events themselves are written later."""
IDS_KEPT = 10_000
"""Destructive command ids that are remembered."""
WAITING_AT_MOST = 50_000
"""Queued statements from which history is lost: the card has been full for long."""
PRUNE_EVERY = 200
"""Lines of history after which the old end is cut."""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""Errors of a disk that may be gone at the next attempt."""


class StoreError(PiRackError):
    """The database cannot be used now, but perhaps later: the disk is full or fails."""


class Store:
    """The master's database.

    Args:
        path: Of the file; its folder is made if it is missing.
        retention: How much history is kept.
        wall: Wall clock, Unix seconds.
        clock_synced: Whether that clock is known to be right; what is old by a clock
            that may be wrong is kept.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention = Retention(),  # noqa: B008  # frozen
        wall: Callable[[], float] = time.time,
        clock_synced: Callable[[], bool] = lambda: True,
    ) -> None:
        self._path = path
        self._wall = wall
        self._clock_synced = clock_synced
        self._retention = retention
        self._queue: list[Statement] = []
        self._turn = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None
        self._reserved = 0
        self._next_seq = 1

    async def open(self) -> Saved:
        """Opens the database and returns what is in it.

        A file that is none any more is put aside, loudly, and a new one begun.

        Raises:
            ConfigError: The folder or the file cannot be written, or a newer release
                wrote it.
            StoreError: The disk is full, or does not answer.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="master-store")
        saved = await self._run(self._open)
        self._next_seq = saved.seq
        self._reserve(saved.seq + SEQ_BLOCK)
        try:
            await self.commit()
        except sqlite3.OperationalError as error:
            text = f"{self._path}: cannot be written: {error}"
            raise StoreError(text) from error
        return saved

    async def close(self) -> None:
        """Writes what is queued and closes; twice is fine."""
        if self._thread is None:
            return
        self._reserve(self._next_seq)
        try:
            await self.commit()
        finally:
            await self._run(self._close)
            self._thread.shutdown()
            self._thread = None
            if self._reader is not None:
                self._reader.shutdown(wait=False, cancel_futures=True)
                self._reader = None

    def put(self, row: Record) -> None:
        """Queues a row of any kind."""
        match row:
            case NodeRecord(id=key):
                self._put("node", key, msgspec.json.encode(row))
            case OutletRecord(name=key):
                self._put("outlet", key, msgspec.json.encode(row))
            case PartRecord():
                sql = "INSERT OR REPLACE INTO part VALUES (?, ?, ?)"
                blob = msgspec.json.encode(row)
                self._queue.append((sql, (row.key, row.id, blob)))
            case CommandBegun(command_id):
                self._put("done", command_id, self._wall())
                oldest = "SELECT rowid FROM done ORDER BY rowid DESC LIMIT -1 OFFSET ?"
                prune = f"DELETE FROM done WHERE rowid IN ({oldest})"  # noqa: S608  # both halves are constants
                self._queue.append((prune, (IDS_KEPT,)))
            case CommandEnded(command_id):
                self._queue.append(("DELETE FROM part WHERE run = ?", (command_id,)))
            case BootRecord(boot_id):
                self._put("word", BOOT_ID, boot_id)
            case Lock():
                left_s = max(0.0, row.until - self._wall())
                record = LockRecord(**msgspec.structs.asdict(row), left_s=left_s)
                self._put("lock", row.scope, msgspec.json.encode(record))
            case LockEnd(scope):
                self._queue.append(("DELETE FROM lock WHERE scope = ?", (scope,)))
            case Tombstone(node, lifted=False):
                # What was known of it stays for a while.
                self._put("tombstone", node, self._wall())
            case Tombstone(node):
                self._queue.append(("DELETE FROM tombstone WHERE id = ?", (node,)))

    def keep_event(self, event: Event) -> None:
        """Queues a line of history, unless too much waits for a full card already."""
        self._next_seq = event.seq + 1
        if len(self._queue) >= WAITING_AT_MOST:
            return
        self._queue.append(events.insert(event))
        if event.seq % PRUNE_EVERY == 0:
            wall = self._wall() if self._clock_synced() else None
            self._queue += events.prune(self._retention, seq=event.seq, wall=wall)
            if wall is not None:
                oldest = wall - self._retention.days * DAY_S
                self._queue.append((FORGOTTEN_FOR_GOOD, (oldest,)))
        if event.seq >= self._reserved - SEQ_BLOCK // 2:
            self._reserve(event.seq + SEQ_BLOCK)

    async def detach(self, saved: Saved, text: str) -> None:
        """Forgets what is true of one machine only, so that another switches nothing.

        Names, places, wanted power, locks and history stay. Gone are the levels of
        outlets, which were those of that machine's relays, what was under way there,
        and its boot, so that the next start is not taken for a mains cut.
        ``docs/decisions/backup.md``.

        Args:
            saved: As ``open`` returned it.
            text: A line for the history.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        for outlet in saved.outlets:
            self.put(OutletRecord(outlet.name, outlet.wanted))
        self._queue.append(("DELETE FROM part", ()))
        self._queue.append(("DELETE FROM word WHERE key = ?", (BOOT_ID,)))
        line = Event(
            seq=self._next_seq, ts=self._wall(), kind=EventKind.SERVICE, text=text
        )
        self.keep_event(line)
        await self.commit()

    @property
    def waiting(self) -> int:
        """Statements that are not on disk yet."""
        return len(self._queue)

    async def commit(self) -> None:
        """Returns when everything queued until now is on disk.

        Raises:
            sqlite3.Error: It cannot be written, for example because the card is full;
                the statements stay queued.
        """
        # A caller may be cancelled; what is being written then is finished.
        await run_to_end("write to the disk", self._commit())

    async def events(self, query: EventQuery) -> list[Event]:
        """Returns the events on disk that are asked for, newest first.

        Raises:
            sqlite3.Error: They cannot be read.
        """
        # By a thread of its own: a long question must not stand before a commit.
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="master-history")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._events, query)

    async def _commit(self) -> None:
        # One at a time: what another is writing is not on disk yet, and if that fails
        # it must come before what was queued since.
        async with self._turn:
            statements, self._queue = self._queue, []
            if not statements:
                return
            try:
                await self._run(lambda: self._write(statements))
            except sqlite3.Error:
                self._queue[:0] = statements
                raise

    def _put(self, table: str, key: str, value: object) -> None:
        sql = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"  # noqa: S608  # table is one of this file's own words
        self._queue.append((sql, (key, value)))

    def _reserve(self, seq: int) -> None:
        self._reserved = seq
        self._put("meta", "seq", seq)

    async def _run(self, work: Callable[[], T]) -> T:
        """Does work on the store's own thread.

        A SQLite connection belongs to the thread that made it, and one thread is what
        keeps the order of the commits.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work)

    def _open(self) -> Saved:
        """Opens, and puts a broken file aside; on the store's thread."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and not self._path.stat().st_size:
                # What a power cut can leave; SQLite would take it for a new one.
                return self._begin_anew("it is empty")
            return self._load()
        except OSError as error:
            text = f"{self._path}: cannot be written: {error.strerror}"
            kind = StoreError if error.errno in _NO_ROOM else ConfigError
            raise kind(text) from error
        except sqlite3.OperationalError as error:
            self._close()
            text = f"{self._path}: cannot be opened: {error}"
            kind = StoreError if _may_pass(error) else ConfigError
            raise kind(text) from error
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            self._close()
            return self._begin_anew(str(error))

    def _begin_anew(self, why: str) -> Saved:
        """Puts the file aside, says so loudly, and begins a new one."""
        problem = f"{self._path} is broken ({why}); kept as {self._put_aside()}"
        log.error("%s; names, places and wanted power are lost", problem)
        return msgspec.structs.replace(self._load(), problem=problem)

    def _load(self) -> Saved:
        self._database = database = sqlite3.connect(self._path, isolation_level=None)
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            self._close()
            text = (
                f"{self._path}: a newer release of PiRack wrote it (schema {version}, "
                f"this one knows up to {SCHEMA_VERSION}); it is left as it is. Install "
                "that release again, or restore a backup"
            )
            raise ConfigError(text)
        self._path.chmod(0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            database.execute(f"PRAGMA {pragma}")
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        for number, script in MIGRATIONS:
            if number > version:
                step = f"BEGIN; {script} PRAGMA user_version={number}; COMMIT;"
                database.executescript(step)
        (newest,) = database.execute("SELECT ifnull(max(seq), 0) FROM event").fetchone()
        # What is old by the clock goes later: at a start it may be wrong.
        for statement in events.prune(self._retention, seq=newest, wall=None):
            database.execute(*statement)
        return load(database, wall=self._wall(), clock_synced=self._clock_synced())

    def _write(self, statements: list[Statement]) -> None:
        """Puts statements on disk as one transaction; on the store's thread."""
        database = self._open_database()
        database.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                database.execute(sql, values)
            database.execute("COMMIT")
        except BaseException:
            # When the disk is full SQLite has ended it by itself.
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _events(self, query: EventQuery) -> list[Event]:
        """Reads lines, on the thread that only reads."""
        database = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro", uri=True
        )
        with contextlib.closing(database):
            rows = database.execute(*events.select(query))
            lines = filter(None, (_line(row[0]) for row in rows))
            return list(itertools.islice(filter(query.means, lines), query.limit))

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            text = "the store is not open; call open() first"
            raise RuntimeError(text)
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _put_aside(self) -> Path:
        """Moves the broken file and its journals away; returns its new name."""
        aside = self._path.with_name(f"{self._path.name}.broken-{time.time_ns()}")
        self._path.replace(aside)
        for suffix in ("-wal", "-shm"):
            journal = self._path.with_name(self._path.name + suffix)
            if journal.exists():
                journal.replace(aside.with_name(aside.name + suffix))
        return aside


def _may_pass(error: sqlite3.OperationalError) -> bool:
    """Returns whether another attempt may succeed: the disk is full or slow."""
    kind = (error.sqlite_errorcode or 0) & 0xFF
    passing = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY)
    return kind in passing


def _line(text: str) -> Event | None:
    """Returns a line of the history; None, and a warning, if it cannot be read."""
    try:
        return msgspec.json.decode(text, type=Event)
    except (msgspec.MsgspecError, UnicodeError) as error:
        log.warning("a line of the history cannot be read: %s", error)
        return None
