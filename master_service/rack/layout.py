"""Where stacks and boards stand, decided here and nowhere else; pure.

A stack stands where ``[rack]`` counts it, unless its ``[[stack]]`` row says otherwise.
A board stands where a person said, else where its ``[[node]]`` row says, else where an
install run found it, else nowhere: ``docs/decisions/who-names-a-board.md``.
"""

from collections.abc import Iterable, Sequence

import msgspec

from broker.contract.messages import EventKind, Verdict
from master_service.rack.events import Outbox
from master_service.rack.node import RackNode
from master_service.rack.records import NodeRecord
from master_service.rack.registry import Registry
from master_service.rack.settings import NodeRow, Settings, StackRow
from provisioning.common.hardware import normal_mac
from provisioning.run.plan import Place, StackPlan


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
    """Returns every stack by number: counted, configured, or named by a board's row."""
    rows = {row.number: row for row in settings.stacks}
    numbers = set(range(1, settings.rack.stacks + 1)) | set(rows)
    numbers |= {row.stack for row in settings.nodes if row.stack is not None}
    numbers |= {row.stack for row in settings.outlets if row.stack is not None}
    return {
        number: _stack(settings, rows.get(number, StackRow(number=number)))
        for number in sorted(numbers)
    }


def _stack(settings: Settings, row: StackRow) -> Stack:
    """Returns a stack with what its row leaves open filled in.

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


def plans(stacks: dict[int, Stack]) -> tuple[StackPlan, ...]:
    """Returns the stacks as provisioning counts them."""
    return tuple(StackPlan(one.number, one.slots) for one in stacks.values())


def at_start(
    rows: Iterable[NodeRow], records: Iterable[NodeRecord]
) -> list[NodeRecord]:
    """Returns every board with its name and place, those of the configuration first.

    Args:
        rows: From ``pirack.toml``.
        records: From disk; one that a person edited outweighs its row.
    """
    saved = {record.id: record for record in records}
    configured = [_from_row(row, saved.pop(row.id, None)) for row in rows]
    return [*configured, *saved.values()]


def _from_row(row: NodeRow, record: NodeRecord | None) -> NodeRecord:
    if record is not None and record.edited:
        return record
    return msgspec.structs.replace(
        record or NodeRecord(row.id, row.id),
        name=row.name or row.id,
        stack=row.stack,
        slot=row.slot,
        tags=tuple(sorted(set(row.tags))),
    )


class Placement:
    """Gives boards the names and places in which install runs found them.

    Args:
        registry: The boards, with what a person said.
        rows: The boards that the configuration names: these keep what it says.
    """

    def __init__(
        self, registry: Registry, rows: Iterable[NodeRow], outbox: Outbox
    ) -> None:
        self.found: tuple[FoundBoard, ...] = ()
        """Boards that install runs found."""
        self._registry = registry
        self._configured = {row.id for row in rows}
        self._outbox = outbox
        self._places: dict[str, Place] = {}
        self._noted: Sequence[Place] = ()

    def note(self, places: Sequence[Place]) -> None:
        """Notes which boards were found where, also in the middle of a run."""
        if places is self._noted:
            return
        self._noted = places
        self._places = {place.mac: place for place in places if place.mac}
        self.found = tuple(
            FoundBoard(mac, place.name, place.stack, place.slot, place.address)
            for mac, place in self._places.items()
        )

    def seat(self, places: Sequence[Place]) -> list[RackNode]:
        """Gives boards name and place of the slots they were found in.

        Returns:
            The boards that changed.
        """
        self.note(places)
        nodes = self._registry.nodes
        theirs = {
            node.id: self._places.get(mac_of(node))
            for node in nodes.values()
            if self._free(node) and mac_of(node)
        }
        before = {node_id: _seat_of(nodes[node_id]) for node_id in theirs}
        wrong = [
            nodes[node_id]
            for node_id, place in theirs.items()
            if before[node_id] != (place and (place.name, place.stack, place.slot))
        ]
        # All give theirs back before any takes another: two boards may change places.
        for node in wrong:
            if node.seated:
                self._registry.unseat(node)
        for node in wrong:
            place = theirs[node.id]
            if place is not None:
                self._registry.seat(node, place.name, place.stack, place.slot)
        moved = [node for node in wrong if _seat_of(node) != before[node.id]]
        for node in moved:
            self._tell(node)
        return moved

    def _tell(self, node: RackNode) -> None:
        where = "no place" if node.stack is None else f"{node.stack}/{node.slot}"
        text = f"{node.id} is {node.name}, at {where}: its board was found there"
        self._outbox.note(EventKind.REGISTRY, text, node.id, stack=node.stack)
        for news in (self._outbox.changed, self._outbox.learnt, self._outbox.moved):
            news.add(node.id)

    def concerns(self, node: RackNode) -> bool:
        """Returns whether a board was found in a place that it has not.

        One look-up: when a whole rack comes, each of its boards asks this.
        """
        place = self._places.get(mac_of(node))
        if place is None or not self._free(node):
            return False
        return _seat_of(node) != (place.name, place.stack, place.slot)

    def pins(self) -> dict[str, tuple[int, int]]:
        """Returns where the configuration and people say that boards stand.

        Returns:
            Stack and slot by hardware address.
        """
        return {
            mac: (node.stack, node.slot)
            for node in self._registry.nodes.values()
            for mac in [mac_of(node)]
            if mac and node.stack and node.slot and not self._free(node)
        }

    def talking(self) -> set[str]:
        """Returns the hardware addresses of the boards whose agents talk."""
        nodes = self._registry.nodes.values()
        return {mac_of(n) for n in nodes if n.verdict is Verdict.ONLINE}

    def node_of(self, mac: str) -> str:
        """Returns the id of the board with a hardware address; empty: not known."""
        nodes = self._registry.nodes.values()
        return next((n.id for n in nodes if mac and mac_of(n) == mac), "")

    def _free(self, node: RackNode) -> bool:
        """Returns whether nothing but an install run said its name and place."""
        bare = node.stack is None and node.name == node.id
        return node.id not in self._configured and (node.seated or bare)


def mac_of(node: RackNode) -> str:
    """Returns the wired hardware address of a board; empty if it told none."""
    try:
        return normal_mac(node.details.macs[0]) if node.details else ""
    except (IndexError, ValueError):
        return ""


def _seat_of(node: RackNode) -> tuple[str, int | None, int | None] | None:
    return (node.name, node.stack, node.slot) if node.seated else None
