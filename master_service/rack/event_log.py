"""The event log on disk: appended to, asked, and cut at its old end; never changed.

Nothing here does I/O: it makes statements for the store's own thread, and says which
lines a query means.
"""

import msgspec

from broker.contract.messages import Event, EventKind

Statement = tuple[str, tuple[object, ...]]

TABLE = """
CREATE TABLE IF NOT EXISTS event (
  seq INTEGER PRIMARY KEY, ts REAL NOT NULL, node TEXT NOT NULL, record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS event_by_time ON event (ts);
"""
DAY_S = 86_400.0
FROM_THE_LOUDEST = """
DELETE FROM event WHERE seq IN (
  SELECT seq FROM event
  WHERE node = (SELECT node FROM event GROUP BY node ORDER BY count(*) DESC LIMIT 1)
  ORDER BY seq LIMIT max(0, (SELECT count(*) FROM event) - ?)
)
"""
"""Drops the oldest lines of the board with most of them: no board's history is lost to
the noise of another."""
KEPT_ANYWAY = 1_000
"""Newest lines that no clock makes too old."""
MOST_LINES = 5_000
"""A query is answered with no more: at 16 KiB a part these are a hundred messages."""


class Retention(msgspec.Struct, frozen=True):
    """How much history is kept; what is older by either measure goes.

    Args:
        rows: Lines.
        days: Age, days.
    """

    rows: int = 100_000
    days: float = 365.0


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are asked for; what is left out does not matter.

    Args:
        since: Unix time of the oldest, seconds.
        until: Unix time of the newest, seconds.
        before: Only numbers below this: how to turn back a page.
        nodes: Ids; None: everything, also what is about no node.
        stacks: Also what is about one of these stacks as a whole.
        kinds: What it is about.
        incident: Id of the incident it belongs to.
        correlation: Id of the command that caused it.
        limit: How many at most; the newest are taken.
    """

    since: float | None = None
    until: float | None = None
    before: int | None = None
    nodes: frozenset[str] | None = None
    stacks: frozenset[int] = frozenset()
    kinds: frozenset[EventKind] = frozenset()
    incident: str = ""
    correlation: str = ""
    limit: int = 200

    def means(self, event: Event) -> bool:
        """Whether a line is asked for, apart from its time and number."""
        return (
            self._about(event)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.incident or event.incident == self.incident)
            and (not self.correlation or event.correlation == self.correlation)
        )

    def _about(self, event: Event) -> bool:
        if self.nodes is None:
            return True
        if event.node:
            return event.node in self.nodes
        return event.stack in self.stacks


def of_last_day(kind: EventKind, wall: float) -> EventQuery:
    """Return the query for every line of a kind within 24 hours."""
    kinds = frozenset({kind})
    return EventQuery(since=wall - DAY_S, kinds=kinds, limit=MOST_LINES)


def insert(event: Event) -> Statement:
    """Return the statement that appends a line."""
    sql = "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?)"
    return sql, (event.seq, event.ts, event.node, msgspec.json.encode(event))


def prune(retention: Retention, *, seq: int, wall: float | None) -> list[Statement]:
    """Return the statements that drop what is too old.

    Args:
        retention: How much is kept.
        seq: Number of the newest line.
        wall: Unix time, seconds; None: it is not known, so nothing is too old.
    """
    statements: list[Statement] = [(FROM_THE_LOUDEST, (retention.rows,))]
    if wall is not None:
        # The newest stay whatever their time says: they may have been written before
        # the clock was set.
        newest, oldest = seq - KEPT_ANYWAY, wall - retention.days * DAY_S
        sql = "DELETE FROM event WHERE ts < ? AND seq <= ?"
        statements.append((sql, (oldest, newest)))
    return statements


def select(query: EventQuery) -> Statement:
    """Return the statement for the lines of a time, newest first.

    What it leaves is for ``EventQuery.means``: a hundred thousand lines are read in a
    fraction of a second, and an index for every question would cost the card a write
    for every line.
    """
    asked = {
        "ts >= ?": query.since,
        "ts <= ?": query.until,
        "seq < ?": query.before,
    }
    given = {text: value for text, value in asked.items() if value is not None}
    where = f" WHERE {' AND '.join(given)}" if given else ""
    return f"SELECT record FROM event{where} ORDER BY seq DESC", tuple(given.values())  # noqa: S608  # only the words above
