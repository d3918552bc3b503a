"""The compact rows a browser is sent; components/parts/store.js reads them.

Times are Unix seconds of this machine; the page counts ages up from ``now`` by its own
monotonic clock, so a browser with a wrong clock still tells the right age.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from broker.contract.messages import (
    Ability,
    Askable,
    Event,
    Lock,
    NodeState,
    StackState,
)
from dashboard.live.record import Record
from dashboard.live.tile import Tile

Row = tuple[int, ...]
Note = tuple[str, float, str]


def tile_row(index: int, tile: Tile) -> Row:
    """Return ``index, state, cpu, memory, temperature, levels, working``."""
    return (
        index,
        tile.state,
        tile.cpu,
        tile.memory,
        tile.temperature,
        tile.levels.packed,
        int(tile.working),
    )


def tile_note(tile: Tile, seen_since: float) -> Note:
    """Return ``words, since, reason``.

    Args:
        tile: What the node shows.
        seen_since: Unix time this dashboard saw the state begin, seconds.
    """
    since = tile.since if tile.since is not None else seen_since
    return (tile.words, round(since), tile.reason)


def meta_row(record: Record, abilities: int) -> list[Any]:
    """Return ``index, id, name, stack, slot, tags, abilities`` and what holds it now.

    That is ``power, outlet, running, lock, unasked``; ``running`` is ``id, verb, phase,
    by`` and the word that says which way a ``power`` goes; ``unasked`` is why it cannot
    be asked to shut down, null if it can or need not be.

    Args:
        record: The node.
        abilities: Number of its set of abilities.
    """
    state = record.state
    return [
        record.index,
        record.id,
        record.name,
        state.stack if state else None,
        state.slot if state else None,
        list(state.tags) if state else [],
        abilities,
        state.power if state else None,
        state.outlet if state else "",
        _running(state),
        lock_row(state.lock) if state else None,
        _unasked(state),
    ]


def _unasked(state: NodeState | None) -> str | None:
    if state is None or state.askable is not Askable.CANNOT_BE_ASKED:
        return None
    return state.askable_why


def _running(state: NodeState | None) -> list[str] | None:
    if state is None or state.running is None:
        return None
    now = state.running
    return [now.id, now.verb, now.phase.value, now.by, now.word]


def lock_row(lock: Lock | None) -> list[Any] | None:
    """Return ``scope, by, until, reason``; None where nobody holds it."""
    if lock is None:
        return None
    # Cut, not rounded: the master, too, tells the minute in which it ends.
    return [lock.scope, lock.by, int(lock.until), lock.reason]


def stack_row(stack: StackState) -> list[Any]:
    """Return ``number, name, x, y, slots, power, wanted, lock, fault, found``."""
    return [
        stack.stack,
        stack.name,
        stack.x,
        stack.y,
        stack.slots,
        stack.power,
        stack.wanted,
        lock_row(stack.lock),
        stack.fault,
        list(stack.found),
    ]


def event_row(event: Event) -> list[Any]:
    """Return ``seq, ts, kind, text, node, stack, by, verb, incident, correlation``."""
    return [
        event.seq,
        round(event.ts),
        event.kind.value,
        event.text,
        event.node,
        event.stack,
        event.by,
        event.verb,
        event.incident,
        event.correlation,
    ]


def ability_rows(abilities: tuple[Ability, ...]) -> list[list[Any]]:
    """Return ``verb, placeholders, note`` for each ability."""
    return [[each.verb, list(each.placeholders), each.note] for each in abilities]


class AbilitySets:
    """Numbers the different sets of abilities: hundreds of nodes share a few."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Ability, ...], int] = {}
        self.latest = 0
        """The highest number given; none is given twice."""

    def number(self, record: Record) -> int:
        """Return the number of a node's set; 0 where it has said nothing yet."""
        if record.details is None:
            return 0
        abilities = record.details.abilities
        if abilities not in self._numbers:
            self.latest += 1
            self._numbers[abilities] = self.latest
        return self._numbers[abilities]

    def keep(self, records: Iterable[Record]) -> None:
        """Forget the sets that none of these nodes has."""
        used = {each.details.abilities for each in records if each.details is not None}
        self._numbers = {
            key: number for key, number in self._numbers.items() if key in used
        }

    def rows(self) -> dict[int, list[list[Any]]]:
        """Return every set by number."""
        return {number: ability_rows(key) for key, number in self._numbers.items()}


def vitals(record: Record, now: float, wall: float) -> dict[str, Any]:
    """Return what the panel of an open node shows and changes often.

    Args:
        record: The node.
        now: Monotonic time, seconds.
        wall: Unix time, seconds.
    """
    heard = None if record.heard_at is None else wall - (now - record.heard_at)
    return {
        "id": record.id,
        "index": record.index,
        "beat": msgspec.to_builtins(record.beat),
        "state": msgspec.to_builtins(record.state),
        "status": record.status,
        "heard": heard,
        "history": list(record.history),
    }


def details(record: Record) -> dict[str, Any] | None:
    """Return what the panel shows and hardly ever changes; abilities go elsewhere."""
    if record.details is None:
        return None
    found: dict[str, Any] = msgspec.to_builtins(record.details)
    found.pop("abilities", None)
    return found
