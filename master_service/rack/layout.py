"""Where the stacks stand: the shape of ``[rack]``, bent by ``[[stack]]`` rows."""

import msgspec

from master_service.rack.settings import Settings, StackRow


class Stack(msgspec.Struct, frozen=True):
    """One stack of the picture.

    Args:
        number: As in its topic.
        name: What people call it.
        x: Column, from 0.
        y: Row, from 0, top first.
        slots: Boards it holds.
    """

    number: int
    name: str
    x: int
    y: int
    slots: int


class FoundBoard(msgspec.Struct, frozen=True):
    """A board that an install run found in a slot, whether its agent speaks or not.

    Args:
        mac: Its hardware address.
        name: Of the slot.
        stack: Number of the stack.
        slot: Position in it, from 1.
        address: The address of the slot.
    """

    mac: str
    name: str
    stack: int
    slot: int
    address: str


def stacks(settings: Settings) -> dict[int, Stack]:
    """Return every stack by number: counted, configured, or named by a node's place."""
    rows = {row.number: row for row in settings.stacks}
    numbers = set(range(1, settings.rack.stacks + 1)) | set(rows)
    numbers |= {row.stack for row in settings.nodes if row.stack is not None}
    numbers |= {row.stack for row in settings.outlets if row.stack is not None}
    return {
        number: place(settings, rows.get(number, StackRow(number=number)))
        for number in sorted(numbers)
    }


def place(settings: Settings, row: StackRow) -> Stack:
    """Return one stack with what its row leaves open filled in.

    Stacks stand from left to right in ``columns`` columns, then in the next row. A
    stack has at least as many slots as the highest a node was put in.
    """
    columns = settings.rack.columns
    highest = max(
        (n.slot for n in settings.nodes if n.stack == row.number and n.slot), default=0
    )
    return Stack(
        number=row.number,
        name=row.name or f"stack {row.number}",
        x=(row.number - 1) % columns if row.x is None else row.x,
        y=(row.number - 1) // columns if row.y is None else row.y,
        slots=max(row.slots or settings.rack.boards, highest),
    )
