"""A command's receipt, put together from the replies as they arrive; pure."""

import re
from collections.abc import Iterable

from broker.common.log import printable
from broker.contract.messages import Event, Phase, Reply, TargetRow
from master_service.rack import times as spans

_SYMBOL = {
    Phase.DONE: "✓",
    Phase.ACCEPTED: "·",
    Phase.RUNNING: "…",
}
_NOT_DONE = "✗"
_OF_ROWS = re.compile(r"\d+ of \d+ not done: ")
"""How an error begins that only repeats what the rows say."""
_NAME_WIDTH = 12
_PHASE_WIDTH = 13
_TOOK_WIDTH = 7
_MILLISECOND_FROM_S = 0.0005
_MILLISECONDS_BELOW_S = 0.9995
_TENTHS_BELOW_S = 9.95
"""From here on a tenth more would be said as a second more."""


class Receipt:
    """What is known so far about one command.

    Args:
        command_id: Id the command was sent with; replies to others are ignored.
    """

    def __init__(self, command_id: str) -> None:
        self._id = command_id
        self._rows: dict[str, TargetRow] = {}
        self._parts: set[int] = set()
        self._events: dict[int, Event] = {}
        self._last: Reply | None = None
        self._complete = False

    @property
    def answered(self) -> bool:
        """Whether anything at all came back."""
        return self._last is not None

    @property
    def complete(self) -> bool:
        """Whether the last word is said and nothing more will come."""
        return self._complete

    @property
    def rows(self) -> tuple[TargetRow, ...]:
        """The newest row of each target, by name."""
        return tuple(sorted(self._rows.values(), key=lambda row: row.name))

    @property
    def events(self) -> tuple[Event, ...]:
        """Lines of history that were asked for, oldest first."""
        return tuple(self._events[seq] for seq in sorted(self._events))

    @property
    def ok(self) -> bool:
        """Whether it is over and every target is done."""
        return self.complete and self._last is not None and self._last.ok is True

    @property
    def why(self) -> str:
        """Why it is not ok; empty where it is."""
        if self.ok:
            return ""
        return printable(self._last.error if self._last else "") or self.summary()

    def add(self, reply: Reply) -> tuple[TargetRow, ...]:
        """Takes one reply in; returns the rows it changed, in its own order.

        A final reply may come in numbered parts in any order; the receipt is complete
        when all have arrived.
        """
        if reply.id != self._id or self.complete:
            return ()
        changed = tuple(
            row for row in reply.targets if self._rows.get(_key(row)) != row
        )
        self._rows.update((_key(row), row) for row in changed)
        self._events.update((event.seq, event) for event in reply.events)
        self._last = reply
        if reply.phase.final:
            self._parts.add(reply.part)
            self._complete = len(self._parts) >= reply.parts
        return changed

    def whole(self) -> Reply | None:
        """Returns everything as one reply; None when nothing came back."""
        if self._last is None:
            return None
        fields = {name: getattr(self._last, name) for name in Reply.__struct_fields__}
        return Reply(**fields | self._gathered)

    @property
    def _gathered(self) -> dict[str, object]:
        """What came in parts, put together."""
        return {"targets": self.rows, "events": self.events, "part": 1, "parts": 1}

    def summary(self, *, below_rows: bool = False) -> str:
        """Returns in one line where it stands.

        Args:
            below_rows: The rows are read above it: what they say is not said again.
        """
        if self._last is None:
            return "no answer"
        reply = self._last
        done = sum(row.phase is Phase.DONE for row in self._rows.values())
        counted = f"{done} of {len(self._rows)} done" if self._rows else ""
        verified = "verified" if reply.verified else ""
        told = below_rows and self._rows and _OF_ROWS.match(reply.error)
        error = "" if told else reply.error
        lasted = took(reply.duration_s) if reply.phase.final else ""
        words = [part for part in (counted, verified, lasted, error) if part]
        said = f"{reply.scope} {reply.verb}: {reply.phase}"
        return printable(f"{said} ({', '.join(words)})" if words else said)


def _key(row: TargetRow) -> str:
    """Returns what tells targets apart: an outlet without a board has only a name."""
    return row.node or row.name


def tells(row: TargetRow) -> bool:
    """Whether a row says more than the last line does: a refusal of all names them."""
    said = row.error or row.stdout or row.stderr
    return row.phase is not Phase.REFUSED or bool(said)


def row_lines(row: TargetRow) -> Iterable[str]:
    """Returns the result of one target in words; more lines only for more output."""
    symbol = _SYMBOL.get(row.phase, _NOT_DONE)
    said = [*_output(row.stdout), *_output(row.stderr)]
    rest = [row.error, f"exit code {row.exit_code}" if row.exit_code else ""]
    if len(said) == 1:
        rest.append(said.pop())
    if row.truncated:
        rest.append("(output cut)")
    text = "  ".join(printable(part, "\t") for part in rest if part)
    name = printable(row.name, "")
    ended = row.phase.final and row.duration_s
    lasted = took(row.duration_s) if ended else ""
    yield (
        f"  {symbol} {name:<{_NAME_WIDTH}} {row.phase:<{_PHASE_WIDTH}}"
        f"{lasted:>{_TOOK_WIDTH}}  {text}"
    ).rstrip()
    yield from (f"      {printable(line)}" for line in said)


def took(duration_s: float) -> str:
    """Returns how long a command took, as the page does: ``12 ms``, ``2.4 s``."""
    if duration_s < _MILLISECOND_FROM_S:
        return "< 1 ms"
    if duration_s < _MILLISECONDS_BELOW_S:
        return f"{duration_s * 1000:.0f} ms"
    if duration_s < _TENTHS_BELOW_S:
        return f"{duration_s:.1f} s"
    return spans.words(duration_s)


def _output(text: str) -> list[str]:
    return text.rstrip().splitlines()
