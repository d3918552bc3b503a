"""What browsers are sent of boards, stacks and events; parts/store.js reads it.

What changes often is a row of values, what changes rarely an object. Times are Unix
seconds of this machine; the page counts ages up from ``now`` by its own monotonic
clock, so a browser with a wrong clock still tells the right age.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from broker.contract.messages import Ability, Askable, Event, NodeState, StackState
from dashboard.live.model import Record
from dashboard.live.tile import Tile

Row = tuple[int, ...]
Note = tuple[str, float, str]


def tile_row(index: int, tile: Tile) -> Row:
    """Returns ``index, state, cpu, memory, temperature, levels, working``."""
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
    """Returns ``words, since, reason``.

    Args:
        seen_since: Unix time this dashboard saw the state begin, seconds.
    """
    since = tile.since if tile.since is not None else seen_since
    return (tile.words, round(since), tile.reason)


def meta_row(record: Record, abilities: int) -> list[Any]:
    """Returns ``index, id, name, stack, slot, tags, abilities`` and what holds it now.

    That is ``power, outlet, running, lock, unasked``; ``unasked`` is why it cannot be
    asked to shut down, None if it can or need not be.

    Args:
        abilities: Number of its set of abilities.
    """
    state = record.state
    head = [record.index, record.id, record.name]
    if state is None:
        return [*head, None, None, [], abilities, None, "", None, None, None]
    return [
        *head,
        state.stack,
        state.slot,
        list(state.tags),
        abilities,
        state.power,
        state.outlet,
        state.running,
        state.lock,
        _unasked(state),
    ]


def _unasked(state: NodeState) -> str | None:
    cannot = state.askable is Askable.CANNOT_BE_ASKED
    return state.askable_why if cannot else None


def stack_object(stack: StackState) -> dict[str, Any]:
    """Returns a stack's fields; its number as ``number``."""
    found = msgspec.structs.asdict(stack)
    del found["totals"], found["worst"]  # the page counts its boards itself
    found["number"] = found.pop("stack")
    return found


def event_object(event: Event) -> dict[str, Any]:
    """Returns an event's fields, its time in whole seconds."""
    return msgspec.structs.asdict(event) | {"ts": round(event.ts)}


def ability_rows(abilities: tuple[Ability, ...]) -> list[list[Any]]:
    """Returns ``verb, placeholders, note`` for each ability."""
    return [[each.verb, list(each.placeholders), each.note] for each in abilities]


class AbilitySets:
    """Numbers the different sets of abilities: hundreds of nodes share a few."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Ability, ...], int] = {}
        self.latest = 0
        """The highest number given; none is given twice."""

    def number(self, record: Record) -> int:
        """Returns the number of a node's set; 0 where it has said nothing yet."""
        if record.details is None:
            return 0
        abilities = record.details.abilities
        if abilities not in self._numbers:
            self.latest += 1
            self._numbers[abilities] = self.latest
        return self._numbers[abilities]

    def keep(self, records: Iterable[Record]) -> None:
        """Forgets the sets that none of these nodes has."""
        used = {each.details.abilities for each in records if each.details is not None}
        self._numbers = {
            key: number for key, number in self._numbers.items() if key in used
        }

    def rows(self) -> dict[int, list[list[Any]]]:
        """Returns every set by number."""
        return {number: ability_rows(key) for key, number in self._numbers.items()}


def vitals(record: Record, now: float, wall: float) -> dict[str, Any]:
    """Returns what the panel of an open node shows and changes often.

    Args:
        now: Monotonic time, seconds.
        wall: Unix time, seconds.
    """
    heard = None if record.heard_at is None else wall - (now - record.heard_at)
    return {
        "id": record.id,
        "index": record.index,
        "beat": record.beat,
        "state": record.state,
        "status": record.status,
        "heard": heard,
        "history": list(record.history),
    }


def details(record: Record) -> dict[str, Any] | None:
    """Returns what the panel shows and hardly ever changes; abilities go elsewhere."""
    if record.details is None:
        return None
    found: dict[str, Any] = msgspec.to_builtins(record.details)
    found.pop("abilities", None)
    return found
