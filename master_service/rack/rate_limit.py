"""How often one board or one asker may do a thing, and what is held back then.

Pure: told what time it is, in monotonic seconds.
"""

from collections import OrderedDict

from broker.contract.messages import EventKind
from master_service.rack.events import Draft

KEYS_AT_MOST = 10_000
"""Askers and boards that are told apart; the longest unheard of is forgotten."""
LINES_AT_ONCE, LINES_AN_HOUR = 12, 5
"""Lines of history about what one board does by itself."""
COMMAND_LINES_AT_ONCE, COMMAND_LINES_AN_HOUR = 300, 300
"""Lines of history about the commands of one asker."""
ALL_COMMAND_LINES_AT_ONCE, ALL_COMMAND_LINES_AN_HOUR = 3_000, 1_500
"""Lines about all commands: an asker names itself, each time anew if it likes."""
COMMANDS_AT_ONCE, COMMANDS_A_SECOND = 600, 20
"""Commands of one asker that are carried out."""
REFUSALS_AT_ONCE, REFUSALS_A_SECOND = 400, 50
"""Commands beyond these that are still answered; the broker's queue is finite."""
_ALL = "all commands"
_OF_A_BOARD = frozenset(
    {EventKind.VERDICT, EventKind.FAULT, EventKind.REGISTRY, EventKind.INCIDENT}
)


class RateLimit:
    """A bucket of tokens for each key: it fills with time, and each use takes one.

    Args:
        at_once: Tokens of a full bucket.
        a_second: Tokens that come back, a second.
    """

    def __init__(self, at_once: float, a_second: float) -> None:
        self._at_once = at_once
        self._a_second = a_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Takes a token of a key; returns False if there is none.

        Args:
            key: Who, or what.
            now: Monotonic seconds.
        """
        tokens, at = self._buckets.pop(key, (self._at_once, now))
        tokens = min(self._at_once, tokens + (now - at) * self._a_second)
        enough = tokens >= 1
        self._buckets[key] = (tokens - 1 if enough else tokens, now)
        while len(self._buckets) > KEYS_AT_MOST:
            self._buckets.popitem(last=False)
        return enough


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
        """Returns what goes into the history.

        Args:
            drafts: What happened.
            now: Monotonic seconds.
        """
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
