"""A command that is being carried out: its rows, and the receipts it gives; pure."""

from typing import TYPE_CHECKING

import msgspec

from broker.contract.messages import Phase, Reply, Result, RowCode, Running, TargetRow
from broker.contract.verbs import DESTRUCTIVE, Verb
from master_service.commands.effects import Answer, Asked, Effects
from master_service.commands.lines import way
from master_service.commands.receipt import parts
from master_service.rack.events import Outbox
from master_service.rack.layout import FoundBoard
from master_service.rack.node import Node

if TYPE_CHECKING:
    from master_service.commands.waves import Waves  # which imports this file

PROGRESS_EVERY_S = 0.25
"""Least time between two progress replies of one command, seconds."""
NAMED_IN_ERROR = 3
MAX_ERROR = 600
_QUIET = frozenset({Verb.PING, Verb.REFRESH})
"""Verbs so short that a node's state does not mention them."""


class Row:
    """One target of a command; the run's own, mutable record.

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
        self, node: Node | None, name: str, began: float, deadline: float
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
        """Return the row as it stands in a receipt."""
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


class Run:
    """One command under way.

    Args:
        asked: The command.
        outbox: Told of the nodes whose state mentions it.
    """

    def __init__(self, asked: Asked, outbox: Outbox) -> None:
        self.asked = asked
        self._outbox = outbox
        self.waves: Waves | None = None
        """Its targets that have not begun; None for what needs no orders."""
        self.kept = False
        """Whether it is on disk, to be found again by a restart."""
        self.rows: dict[str, Row] = {}
        self._open = 0
        self._changed: set[str] = set()
        self._said_at = asked.at.now

    @property
    def id(self) -> str:
        """The command's id."""
        return self.asked.id

    @property
    def destructive(self) -> bool:
        """Whether it interrupts its targets."""
        return self.asked.verb in DESTRUCTIVE

    @property
    def open(self) -> bool:
        """Whether any target is not at its end."""
        return self._open > 0

    def add(self, key: str, row: Row) -> None:
        """Take in a target that is at its beginning."""
        self.rows[key] = row
        self._open += 1

    def sent(self, key: str) -> None:
        """Say that a target is being told; nothing is, of one that only waits."""
        row = self.rows[key]
        row.told = True
        self.show(row)

    def mark(self, key: str, phase: Phase, now: float) -> None:
        """Say that a target got on."""
        row = self.rows[key]
        if row.phase is phase:
            return
        row.phase = phase
        self.news(key, now)
        self.show(row)

    def news(self, key: str, now: float) -> None:
        """Say that there is more to read in a row; the next reply has it."""
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
        """Say how it ended for a target; only the first word counts."""
        row = self.rows[key]
        if not row.open:
            return
        row.error, row.verified, row.code = error[:MAX_ERROR], verified, code
        self._open -= 1
        self.mark(key, phase, now)

    def progress(self, now: float) -> Effects:
        """Return the replies about what changed, if it is time for them."""
        if not self._changed or now - self._said_at < PROGRESS_EVERY_S:
            return []
        self._said_at = now
        rows = [self.rows[key].view() for key in self.rows if key in self._changed]
        self._changed.clear()
        return self._answers(self._reply(Phase.RUNNING, now), rows)

    def accepted(self) -> Effects:
        """Return the first reply; it names every board that will be interrupted.

        Where nothing is begun there is none: the last reply is the first.
        """
        if not self.open and self.outcome is Phase.REFUSED:
            return []
        reply = self._reply(Phase.ACCEPTED, self.asked.at.now)
        rows = self.rows.values() if self.destructive else ()
        return self._answers(reply, [row.view() for row in rows])

    def final(self, now: float) -> Effects:
        """Return the last replies, with every row."""
        reply = msgspec.structs.replace(
            self._reply(self.outcome, now),
            ok=self.outcome is Phase.DONE,
            verified=all(row.verified for row in self.rows.values()),
            error=self.error,
        )
        return self._answers(reply, [row.view() for row in self.rows.values()])

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
        said = [f"{_few(names)}: {error}" for error, names in same.items()]
        return _few(said, "; ")

    def show(self, row: Row) -> None:
        """Let the node's state say what it is doing."""
        if row.node is None or self.asked.verb in _QUIET:
            return
        self._outbox.changed.add(row.node.id)
        if row.open:
            row.node.running = Running(
                id=self.id,
                verb=self.asked.verb,
                phase=row.phase,
                by=self.asked.command.by,
                word=way(self.asked),
            )
        elif row.node.running is not None and row.node.running.id == self.id:
            row.node.running = None

    def _reply(self, phase: Phase, now: float) -> Reply:
        took_s = round(max(0.0, now - self.asked.at.now), 3)
        return self.asked.reply(phase, duration_s=took_s)

    def _answers(self, reply: Reply, rows: list[TargetRow]) -> Effects:
        return [Answer(part, self.asked.route) for part in parts(reply, rows)]


def _few(texts: list[str], between: str = ", ") -> str:
    """Return the first few of some texts, and how many more there are."""
    more = len(texts) - NAMED_IN_ERROR
    tail = [f"and {more} more"] if more > 0 else []
    return between.join([*texts[:NAMED_IN_ERROR], *tail])
