"""What the master finds on disk when it starts."""

import sqlite3
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from broker.contract.messages import Lock
from master_service.rack.locks import restored
from master_service.rack.records import OutletRecord, PartRecord
from master_service.rack.registry import NodeRecord

T = TypeVar("T")

BOOT_ID = "boot_id"
TABLES = """
CREATE TABLE IF NOT EXISTS node (id TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tombstone (id TEXT PRIMARY KEY, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS outlet (name TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS done (id TEXT PRIMARY KEY, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS part (
  key TEXT PRIMARY KEY, run TEXT NOT NULL, record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS word (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS lock (scope TEXT PRIMARY KEY, record BLOB NOT NULL);
"""
FORGOTTEN_FOR_GOOD = (
    "DELETE FROM node WHERE id IN (SELECT id FROM tombstone WHERE ts < ?)"
)
"""Drops what was known of nodes that were forgotten before a time, Unix seconds."""


class Saved(msgspec.Struct, frozen=True):
    """Everything that was on disk at start.

    Args:
        nodes: Every node ever known, those that were forgotten lately among them.
        tombstones: Ids that were forgotten.
        outlets: Wanted and last level of each.
        done: Ids of destructive commands that were begun.
        locks: Reservations that had not been taken back.
        parts: Commands that were under way.
        boot_id: Of this machine when the master ran last; empty: it never did.
        seq: First event number that was never given.
        problem: What was wrong with the file, in words; empty: nothing.
    """

    nodes: tuple[NodeRecord, ...] = ()
    tombstones: tuple[str, ...] = ()
    outlets: tuple[OutletRecord, ...] = ()
    done: tuple[str, ...] = ()
    parts: tuple[PartRecord, ...] = ()
    boot_id: str = ""
    locks: tuple[Lock, ...] = ()
    seq: int = 1
    problem: str = ""


class LockRecord(Lock, frozen=True, kw_only=True):
    """A lock on disk.

    Args:
        left_s: How much of it was left when this was written, seconds: what it ends at
            is told by a clock that may be set meanwhile.
    """

    left_s: float | None = None


def load(
    database: sqlite3.Connection, *, wall: float = 0.0, clock_synced: bool = True
) -> Saved:
    """Read everything; the tables are there.

    Args:
        database: Of the store.
        wall: Unix time, seconds.
        clock_synced: Whether that is right.
    """

    def column(sql: str) -> Iterable[object]:
        return (row[0] for row in database.execute(sql))

    def records(table: str, kind: type[T]) -> tuple[T, ...]:
        sql = f"SELECT record FROM {table} ORDER BY rowid"  # noqa: S608  # table is one of this file's own words
        rows = database.execute(sql)
        return tuple(msgspec.json.decode(row[0], type=kind) for row in rows)

    sql = (
        "SELECT max(v) FROM (SELECT value AS v FROM meta WHERE key = 'seq' "
        "UNION SELECT seq + 1 FROM event UNION SELECT 1)"
    )
    boot_ids = database.execute("SELECT value FROM word WHERE key = ?", (BOOT_ID,))
    return Saved(
        nodes=records("node", NodeRecord),
        tombstones=tuple(map(str, column("SELECT id FROM tombstone"))),
        outlets=records("outlet", OutletRecord),
        done=tuple(map(str, column("SELECT id FROM done ORDER BY rowid"))),
        parts=records("part", PartRecord),
        locks=tuple(
            restored(lock, lock.left_s, wall, clock_synced=clock_synced)
            for lock in records("lock", LockRecord)
        ),
        boot_id=next((str(row[0]) for row in boot_ids), ""),
        seq=int(database.execute(sql).fetchone()[0]),
    )
