"""A command that is being carried out: its rows, its receipts, its records; pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from broker.contract.messages import (
    Command,
    Phase,
    Result,
    RowCode,
    Running,
    TargetRow,
)
from broker.contract.topics import Scope
from broker.contract.verbs import DESTRUCTIVE, Verb
from master_service.rack.command import AskedCommand
from master_service.rack.effects import Effects, Route
from master_service.rack.events import Outbox
from master_service.rack.layout import FoundBoard
from master_service.rack.node import NEVER, RackNode
from master_service.rack.records import PartRecord, TargetRecord
from master_service.rack.registry import Registry
from master_service.rack.times import Moment

PROGRESS_EVERY_S = 0.25
"""Least time between two progress replies of one command, seconds."""
NAMED_IN_ERROR = 3
MAX_ERROR = 600
NOT_STARTED = "not started: the master was restarted"
NOT_SEEN = "it was told, and the master was restarted before the effect was seen"
_QUIET = frozenset({Verb.PING, Verb.REFRESH})
"""Verbs so short that a node's state does not mention them."""


class CommandRow:
    """One target of a command; a mutable record that only its command writes.

    Args:
        node: The target; None for an outlet that feeds no known board.
        name: What people call it.
        began: Monotonic second.
        deadline: Monotonic second by which something must have happened.
    """

    __slots__ = (
        "began",
        "board_asked",
        "boot_id",
        "code",
        "deadline",
        "down_at",
        "duration_s",
        "error",
        "found",
        "name",
        "node",
        "phase",
        "pinged_at",
        "pings",
        "result",
        "session",
        "text",
        "told",
        "unproven",
        "verified",
    )

    def __init__(
        self, node: RackNode | None, name: str, began: float, deadline: float
    ) -> None:
        self.node = node
        self.name = name
        self.began = began
        self.deadline = deadline
        self.phase = Phase.ACCEPTED
        self.verified = False
        self.error = ""
        self.result: Result | None = None
        self.duration_s = 0.0
        self.boot_id = node.boot_id if node is not None else ""
        self.session = ""
        self.text = ""
        self.told = False
        self.board_asked = False
        self.code = RowCode.NONE
        self.found: FoundBoard | None = None
        """The board without an agent that this row is about."""
        self.pings = 0
        self.pinged_at = 0.0
        """When its board was last pinged for this command, monotonic seconds."""
        self.down_at: float | None = None
        """When there was evidence that it is down, monotonic seconds; None: none."""
        self.unproven = ""
        """Why it is cut without such evidence, by force; empty: it is not."""

    @property
    def open(self) -> bool:
        """Whether something is still to come."""
        return not self.phase.final

    def view(self) -> TargetRow:
        """Returns the row as it stands in a receipt."""
        result = self.result
        row = TargetRow(
            node=self.node.id if self.node is not None else "",
            name=self.name,
            phase=self.phase,
            verified=self.verified,
            error=self.error,
            code=self.code,
            stdout=self.text,
            duration_s=self.duration_s,
        )
        if result is None:
            return row
        return msgspec.structs.replace(
            row,
            exit_code=result.exit_code,
            stdout=result.stdout,
            stderr=result.stderr,
            truncated=result.truncated,
        )

    def record(self, key: str) -> TargetRecord:
        """Returns what belongs on disk about it."""
        return TargetRecord(
            key=key,
            name=self.name,
            boot_id=self.boot_id,
            told=self.told,
            phase=self.phase,
            error=self.error,
            verified=self.verified,
            unproven=self.unproven,
        )


class CommandRun:
    """One command under way.

    Args:
        outbox: Told of the nodes whose state mentions it.
    """

    def __init__(self, asked: AskedCommand, outbox: Outbox) -> None:
        self.asked = asked
        self._outbox = outbox
        self.kept = False
        """Whether it is on disk, to be found again by a restart."""
        self.rows: dict[str, CommandRow] = {}
        self._open = 0
        self._changed: set[str] = set()
        self._said_at = asked.at.now

    @property
    def id(self) -> str:
        """The command's id."""
        return self.asked.id

    @property
    def verb(self) -> str:
        """What is asked."""
        return self.asked.verb

    @property
    def destructive(self) -> bool:
        """Whether it interrupts its targets."""
        return self.verb in DESTRUCTIVE

    @property
    def open(self) -> bool:
        """Whether any target is not at its end."""
        return self._open > 0

    def add(self, key: str, row: CommandRow) -> None:
        """Adds a target that is at its beginning."""
        self.rows[key] = row
        self._open += 1

    def add_done(self, key: str, row: CommandRow, text: str) -> None:
        """Adds a target that is done and verified; the text is its output."""
        self.add(key, row)
        row.text = text
        self.end(key, Phase.DONE, row.began, verified=True)

    def sent(self, key: str) -> None:
        """Marks a target as told; one that only waits is not."""
        row = self.rows[key]
        row.told = True
        self.show(row)

    def mark(self, key: str, phase: Phase, now: float) -> None:
        """Moves a target to a phase."""
        row = self.rows[key]
        if row.phase is phase:
            return
        row.phase = phase
        self.news(key, now)
        self.show(row)

    def news(self, key: str, now: float) -> None:
        """Marks a row as changed, so that the next reply has it."""
        row = self.rows[key]
        row.duration_s = round(max(0.0, now - row.began), 3)
        self._changed.add(key)

    def end(
        self,
        key: str,
        phase: Phase,
        now: float,
        *,
        error: str = "",
        verified: bool = False,
        code: RowCode = RowCode.NONE,
    ) -> None:
        """Ends a target; only the first end counts."""
        row = self.rows[key]
        if not row.open:
            return
        row.error, row.verified, row.code = error[:MAX_ERROR], verified, code
        self._open -= 1
        self.mark(key, phase, now)

    def progress(self, now: float) -> Effects:
        """Returns the replies about what changed, if it is time for them."""
        if not self._changed or now - self._said_at < PROGRESS_EVERY_S:
            return []
        self._said_at = now
        rows = [self.rows[key].view() for key in self.rows if key in self._changed]
        self._changed.clear()
        reply = self.asked.reply(Phase.RUNNING, duration_s=self._took_s(now))
        return self.asked.replies(reply, rows)

    def accepted(self) -> Effects:
        """Returns the first reply; it names every board that will be interrupted.

        Where nothing is begun there is none: the last reply is the first.
        """
        if not self.open and self.outcome is Phase.REFUSED:
            return []
        rows = self.rows.values() if self.destructive else ()
        reply = self.asked.reply(Phase.ACCEPTED)
        return self.asked.replies(reply, (row.view() for row in rows))

    def final(self, now: float) -> Effects:
        """Returns the last replies, with every row."""
        reply = self.asked.reply(
            self.outcome,
            ok=self.outcome is Phase.DONE,
            error=self.error,
            verified=all(row.verified for row in self.rows.values()),
            duration_s=self._took_s(now),
        )
        return self.asked.replies(reply, (row.view() for row in self.rows.values()))

    @property
    def outcome(self) -> Phase:
        """How it ended as a whole: done only if every target is."""
        phases = {row.phase for row in self.rows.values()}
        if len(phases) > 1:
            return Phase.FAILED
        return phases.pop() if phases else Phase.DONE

    @property
    def beginning(self) -> str:
        """How it began, for the history."""
        plural = "" if len(self.rows) == 1 else "s"
        return f"began on {len(self.rows)} target{plural}"

    @property
    def summary(self) -> str:
        """How it ended, for the history."""
        done = sum(row.phase is Phase.DONE for row in self.rows.values())
        counted = f"{self.outcome}, {done} of {len(self.rows)} done"
        return "; ".join(filter(None, (counted, self._reasons)))

    @property
    def error(self) -> str:
        """Which targets are not done, and why; empty if all are."""
        count = sum(row.phase is not Phase.DONE for row in self.rows.values())
        return f"{count} of {len(self.rows)} not done: {self._reasons}" if count else ""

    @property
    def _reasons(self) -> str:
        """Why some targets are not done: each reason once, the first few."""
        same: dict[str, list[str]] = {}
        for row in self.rows.values():
            if row.phase is not Phase.DONE:
                same.setdefault(row.error, []).append(row.name)
        said = [f"{few(names)}: {error}" for error, names in same.items()]
        return few(said, between="; ")

    def show(self, row: CommandRow) -> None:
        """Writes what is under way with a target into its node's state."""
        if row.node is None or self.verb in _QUIET:
            return
        self._outbox.changed.add(row.node.id)
        if row.open:
            row.node.running = Running(
                id=self.id,
                verb=self.verb,
                phase=row.phase,
                by=self.asked.command.by,
                word=self.asked.power_word,
            )
        elif row.node.running is not None and row.node.running.id == self.id:
            row.node.running = None

    def record(self, keys: Iterable[str] | None = None, **share: Any) -> PartRecord:  # noqa: ANN401  # fields by name
        """Returns what belongs on disk about it.

        Args:
            keys: Rows that are part of the record; None: all.
            share: The fields of ``PartRecord`` about one outlet.
        """
        asked = self.asked
        mine = self.rows if keys is None else keys
        return PartRecord(
            id=asked.id,
            verb=asked.verb,
            scope=str(asked.scope),
            args=asked.command.args,
            asked=asked.at.wall,
            by=asked.command.by,
            inbox=asked.route.response_topic,
            correlation=asked.route.correlation,
            targets=tuple(self.rows[key].record(key) for key in mine),
            asked_at=asked.at.now,
            **share,
        )

    def report_interrupted(
        self, record: PartRecord, registry: Registry, now: float
    ) -> None:
        """Fills the receipt of orders that were under way when the master ended.

        They are never sent again, which could interrupt a board twice: what became of
        one that had been told is seen in its verdict.
        """
        for target in record.targets:
            node = registry.nodes.get(target.key)
            self.add(target.key, CommandRow(node, target.name, now, NEVER))
            phase, error = target.phase, target.error
            if not phase.final:
                phase = Phase.FAILED if target.told else Phase.NOT_DELIVERED
                error = NOT_SEEN if target.told else NOT_STARTED
            self.end(target.key, phase, now, error=error, verified=target.verified)

    def _took_s(self, now: float) -> float:
        return round(max(0.0, now - self.asked.at.now), 3)


def by_command(records: Iterable[PartRecord]) -> list[list[PartRecord]]:
    """Returns the records of each command together."""
    found: dict[str, list[PartRecord]] = {}
    for record in records:
        found.setdefault(record.id, []).append(record)
    return list(found.values())


def asked_before(record: PartRecord, at: Moment) -> AskedCommand:
    """Returns a command from disk as it was let in."""
    age_s = _age_s(record, at)
    return AskedCommand(
        record.id,
        Command(id=record.id, args=record.args, by=record.by),
        Route(Scope.parse(record.scope), record.verb, record.inbox, record.correlation),
        Moment(at.now - age_s, record.asked),
    )


def few(texts: list[str], between: str = ", ", most: int = NAMED_IN_ERROR) -> str:
    """Returns the first few of some texts, and how many more there are."""
    more = len(texts) - most
    tail = [f"and {more} more"] if more > 0 else []
    return between.join([*texts[:most], *tail])


def _age_s(record: PartRecord, at: Moment) -> float:
    """Returns for how long a command has been under way, seconds.

    The wall clock may have been set meanwhile, by years; the monotonic one began again
    if the machine did. Neither is believed above the other: the shorter span counts.
    """
    by_wall = at.wall - record.asked
    if record.asked_at is None:
        return max(0.0, by_wall)
    by_monotonic = at.now - record.asked_at
    if by_monotonic < 0:  # another boot, which has lasted for `now` seconds
        return by_wall if by_wall > 0 else at.now
    return min(by_monotonic, by_wall) if by_wall > 0 else by_monotonic
