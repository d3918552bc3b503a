"""What is on disk about the rack: one struct for each row, and what a start finds.

A row that ends or removes another one is a row too: ``Persist`` takes any of them.
"""

import sqlite3
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from broker.contract.messages import Lock, Phase, Power, Verdict
from master_service.rack.locks import restored

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


class NodeRecord(msgspec.Struct, frozen=True):
    """What is on disk about one node.

    Args:
        id: Node id.
        name: Display name.
        stack: Stack number, if it has a place.
        slot: Position in the stack, likewise.
        tags: Sorted.
        known: It was heard at some time.
        boot_s: Seconds it needs to boot; None: not learnt.
        edited: A person gave it name, place or tags: these outweigh the configuration.
        halted_by: Who had it shut down, with proof; empty: nobody.
        seated: An install run gave it name and place.
        told: The verdict that the history has of it last.
        told_since: Unix time it began, seconds.
        pinged_boot: The boot in which it answered a ping while its agent was connected.
    """

    id: str
    name: str
    stack: int | None = None
    slot: int | None = None
    tags: tuple[str, ...] = ()
    known: bool = False
    boot_s: float | None = None
    edited: bool = False
    halted_by: str = ""
    seated: bool = False
    told: Verdict = Verdict.UNSEEN
    told_since: float = 0.0
    pinged_boot: str = ""


class TargetRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One target of a command.

    Args:
        key: Of its row: the node's id, or the outlet that feeds no board.
        name: What people call it.
        boot_id: The boot it ran when it was told; what proves another one.
        told: It was told already.
        phase: Where it stands.
        error: Why it is not done.
        verified: Its effect was seen.
        unproven: Why it is cut without evidence that it is down; empty: there is some.
    """

    key: str
    name: str
    boot_id: str = ""
    told: bool = False
    phase: Phase = Phase.ACCEPTED
    error: str = ""
    verified: bool = False
    unproven: str = ""


class PartRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command, or the share of a power command that one outlet is.

    Args:
        id: Of the command.
        verb: Of the command.
        scope: As asked.
        args: As asked.
        asked: Unix time it was received, seconds.
        by: Who asked.
        inbox: MQTT 5 response topic of the asker.
        correlation: MQTT 5 correlation data of the asker.
        outlet: Of this share; empty: this is the whole command.
        action: What is asked of the outlet.
        step: How far the outlet is.
        before: The level the outlet had.
        wanted: What the outlet should have been before; empty: as ``before``.
        alone: Whether it comes on only when no other outlet is coming on.
        targets: Its targets.
        asked_at: When it was received, monotonic seconds of that boot of the machine;
            None: an earlier release wrote it.
    """

    id: str
    verb: str
    scope: str
    args: tuple[str, ...] = ()
    asked: float = 0.0
    by: str = ""
    inbox: str = ""
    correlation: bytes = b""
    outlet: str = ""
    action: str = ""
    step: str = ""
    before: str = ""
    wanted: str = ""
    alone: bool = False
    targets: tuple[TargetRecord, ...] = ()
    asked_at: float | None = None

    @property
    def key(self) -> str:
        """What it is stored under."""
        return f"{self.id}/{self.outlet}"


class OutletRecord(msgspec.Struct, frozen=True):
    """What is on disk about one outlet.

    Args:
        name: Of the outlet.
        wanted: What it should be.
        level: What it was last read as; unknown after a switching without an answer.
        changed: Unix time it was last switched, seconds; 0: never.
        owed: It must come on, and is tried until it is on.
        switched: The master has switched it. Only then is its level claimed at a start;
            one that was merely read is left as it is.
    """

    name: str
    wanted: Power
    level: Power = Power.UNKNOWN
    changed: float = 0.0
    owed: bool = False
    switched: bool = False


class CommandBegun(msgspec.Struct, frozen=True):
    """The id of a destructive command, which must not run a second time."""

    id: str


class CommandEnded(msgspec.Struct, frozen=True):
    """Removes every ``PartRecord`` of a command that has had its last word."""

    id: str


class Tombstone(msgspec.Struct, frozen=True):
    """A node that was forgotten.

    Args:
        lifted: The node may come back: the tombstone is removed.
    """

    node: str
    lifted: bool = False


class LockEnd(msgspec.Struct, frozen=True):
    """Removes the lock on a node or a stack."""

    scope: str


class BootRecord(msgspec.Struct, frozen=True):
    """Which boot of this machine the master runs in."""

    boot_id: str


class LockRecord(Lock, frozen=True, kw_only=True):
    """A lock on disk.

    Args:
        left_s: How much of it was left when this was written, seconds: what it ends at
            is told by a clock that may be set meanwhile.
    """

    left_s: float | None = None


Record = (
    NodeRecord
    | OutletRecord
    | PartRecord
    | Lock
    | CommandBegun
    | CommandEnded
    | Tombstone
    | LockEnd
    | BootRecord
)


class Saved(msgspec.Struct, frozen=True):
    """Everything that was on disk at start.

    Args:
        nodes: Every node ever known, those that were forgotten lately among them.
        outlets: Wanted and last level of each.
        done: Ids of destructive commands that were begun.
        locks: Locks that had not been taken back.
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


def load(
    database: sqlite3.Connection, *, wall: float = 0.0, clock_synced: bool = True
) -> Saved:
    """Reads everything; the tables are there.

    Args:
        database: Of the store.
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
