"""The history of the rack: what happened, how much of it is kept, how it is asked for.

The pure parts leave lines in the ``Outbox``; ``EventLog`` numbers, keeps and publishes
them. On disk they are appended to, asked, and cut at their old end; never changed.
Nothing here does I/O: statements are made for the store's own thread.
"""

from collections.abc import Callable

import msgspec

from broker.contract.messages import Event, EventKind
from master_service.rack.rate_limit import RateLimit

Statement = tuple[str, tuple[object, ...]]

LINES_AT_ONCE, LINES_AN_HOUR = 12, 5
"""Lines of history about what one board does by itself."""
COMMAND_LINES_AT_ONCE, COMMAND_LINES_AN_HOUR = 300, 300
"""Lines of history about the commands of one asker."""
ALL_COMMAND_LINES_AT_ONCE, ALL_COMMAND_LINES_AN_HOUR = 3_000, 1_500
"""Lines about all commands: an asker names itself, and may do so differently."""
_ALL = "all commands"
_OF_A_BOARD = frozenset(
    {EventKind.VERDICT, EventKind.FAULT, EventKind.REGISTRY, EventKind.INCIDENT}
)
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


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as the pure parts say it; ``EventLog`` numbers and dates it.

    Args:
        kind: What it is about.
        text: A sentence a person reads.
        node: Node id, where it concerns one.
        stack: Stack number, where it concerns one.
        verb: Of the command, where there is one.
        by: Who caused it; empty for the system itself.
        correlation: Id of the command that caused it.
        incident: Id of the incident it belongs to.
    """

    kind: EventKind
    text: str
    node: str = ""
    stack: int | None = None
    verb: str = ""
    by: str = ""
    correlation: str = ""
    incident: str = ""

    def event(self, *, seq: int, ts: float) -> Event:
        """Returns the event as it is published."""
        return Event(seq=seq, ts=ts, **msgspec.structs.asdict(self))


class Outbox:
    """Sets and lists that the pure parts fill and the service empties."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        """Ids of nodes whose state may have to be published."""
        self.moved: set[str] = set()
        """Ids of nodes that running commands want to look at again."""
        self.learnt: set[str] = set()
        """Ids of nodes about which something belongs on disk."""
        self.drafts: list[Draft] = []
        """History that has no number yet."""

    @property
    def waiting(self) -> bool:
        """Whether anything is in it."""
        return bool(self.moved or self.changed or self.drafts or self.learnt)

    def note(
        self,
        kind: EventKind,
        text: str,
        node: str = "",
        *,
        stack: int | None = None,
        incident: str = "",
    ) -> None:
        """Adds a line of history that no command caused."""
        self.drafts.append(
            Draft(kind=kind, text=text, node=node, stack=stack, incident=incident)
        )


class HistoryLimit:
    """Holds back lines of history of a board or an asker that has too many.

    The first line held back is replaced by one that says so; from then on a line now
    and then says how many there were, and which was the last.
    """

    def __init__(self) -> None:
        self._boards = RateLimit(LINES_AT_ONCE, LINES_AN_HOUR / 3600)
        self._askers = RateLimit(COMMAND_LINES_AT_ONCE, COMMAND_LINES_AN_HOUR / 3600)
        self._commands = RateLimit(
            ALL_COMMAND_LINES_AT_ONCE, ALL_COMMAND_LINES_AN_HOUR / 3600
        )
        self._held: dict[str, tuple[int, Draft, RateLimit]] = {}

    def passed(self, drafts: list[Draft], now: float) -> list[Draft]:
        """Returns what goes into the history."""
        out: list[Draft] = []
        for draft in drafts:
            key, limit = self._key(draft)
            if key in self._held or (limit and not limit.take(key, now)):
                out += self._hold(draft, key, limit)
            elif draft.kind is EventKind.COMMAND and (
                _ALL in self._held or not self._commands.take(_ALL, now)
            ):
                out += self._hold(draft, _ALL, self._commands)
            else:
                out.append(draft)
        out += self._told(now)
        return out

    def _hold(self, draft: Draft, key: str, limit: RateLimit | None) -> list[Draft]:
        """Counts a line that is held back; returns the one that says so first."""
        before = self._held.get(key)
        if before is not None:
            self._held[key] = (before[0] + 1, draft, before[2])
            return []
        if limit is None:
            return [draft]
        self._held[key] = (1, draft, limit)
        who = _who(draft, key)
        return [_about(draft, f"{who}: too many lines; from here on they are counted")]

    def _told(self, now: float) -> list[Draft]:
        told: list[Draft] = []
        for key, (count, last, limit) in list(self._held.items()):
            if limit.take(key, now):
                del self._held[key]
                lines = "line was" if count == 1 else "lines were"
                who = _who(last, key)
                text = f"{who}: {count} {lines} held back; the last: {last.text}"
                told.append(_about(last, text))
        return told

    def _key(self, draft: Draft) -> tuple[str, RateLimit | None]:
        if draft.kind is EventKind.COMMAND:
            return f"by {draft.by}", self._askers
        asked = draft.by or draft.correlation
        if draft.kind in _OF_A_BOARD and draft.node and not asked:
            return draft.node, self._boards
        return "", None


def _who(draft: Draft, key: str) -> str:
    if key == _ALL:
        return "commands of all askers"
    if draft.kind is not EventKind.COMMAND:
        return draft.node
    return f"commands by {draft.by}" if draft.by else "commands without a name"


def _about(draft: Draft, text: str) -> Draft:
    command = draft.kind is EventKind.COMMAND
    return Draft(
        kind=draft.kind,
        text=text,
        node="" if command else draft.node,
        stack=None if command else draft.stack,
        by=draft.by,
    )


class EventLog:
    """Numbers, keeps and publishes what happened.

    Args:
        keep: Puts a line on disk, soon.
        publish: Publishes a line; without a broker it is on disk all the same.
    """

    def __init__(
        self,
        seq: int,
        keep: Callable[[Event], None],
        publish: Callable[[Event], None],
    ) -> None:
        self._seq = seq
        self._keep = keep
        self._publish = publish
        self._limit = HistoryLimit()

    def write(self, drafts: list[Draft], now: float, wall: float) -> None:
        """Writes lines, and empties the list."""
        for draft in self._limit.passed(drafts, now):
            event = draft.event(seq=self._seq, ts=wall)
            self._seq += 1
            self._keep(event)
            self._publish(event)
        drafts.clear()


class Retention(msgspec.Struct, frozen=True):
    """How much history is kept; what is older by either measure goes."""

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
        """Returns whether a line is asked for, apart from its time and number."""
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
    """Returns the query for every line of a kind within 24 hours."""
    kinds = frozenset({kind})
    return EventQuery(since=wall - DAY_S, kinds=kinds, limit=MOST_LINES)


def insert(event: Event) -> Statement:
    """Returns the statement that appends a line."""
    sql = "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?)"
    return sql, (event.seq, event.ts, event.node, msgspec.json.encode(event))


def prune(retention: Retention, *, seq: int, wall: float | None) -> list[Statement]:
    """Returns the statements that drop what is too old.

    Args:
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
    """Returns the statement for the lines of a time, newest first.

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
