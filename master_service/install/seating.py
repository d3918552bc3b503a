"""Nodes and the places that install runs found: who stands where, who talks."""

from collections.abc import Sequence

from broker.contract.messages import EventKind, Verdict
from master_service.install import naming
from master_service.presence.rack import Rack
from master_service.rack.layout import FoundBoard
from master_service.rack.node import Node
from provisioning.plan import Place


class Seating:
    """Joins what the network showed with what the registry knows.

    Args:
        rack: The rack.
    """

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._configured = {row.id for row in rack.settings.nodes}
        self._found: dict[str, Place] = {}
        self._noted: Sequence[Place] = ()

    def pins(self) -> dict[str, tuple[int, int]]:
        """Return where the configuration and people say that boards stand."""
        return naming.pins(self._rack.registry, self._configured)

    def talking(self) -> set[str]:
        """Return the hardware addresses of the boards whose agents talk."""
        nodes = self._rack.registry.nodes.values()
        return {naming.mac_of(n) for n in nodes if n.verdict is Verdict.ONLINE}

    def node_of(self, mac: str) -> str:
        """Return the id of the node with a hardware address; empty: none is known."""
        nodes = self._rack.registry.nodes.values()
        return next((n.id for n in nodes if mac and naming.mac_of(n) == mac), "")

    def concerns(self, node: Node) -> bool:
        """Whether something is to be seated, now that a node spoke.

        One look-up: when a whole rack comes, each of its boards asks this.
        """
        return naming.stray(node, self._found, self._configured)

    def note(self, places: Sequence[Place]) -> None:
        """Note which boards were found where, also in the middle of a run.

        Args:
            places: Every place of the rack.
        """
        if places is self._noted:
            return
        self._noted = places
        self._found = {place.mac: place for place in places if place.mac}
        self._rack.found = tuple(
            FoundBoard(mac, place.name, place.stack, place.slot, place.address)
            for mac, place in self._found.items()
        )

    def seat(self, places: Sequence[Place], now: float) -> None:
        """Give nodes the names and places that were found for their boards.

        Args:
            places: Every place of the rack.
            now: Monotonic seconds.
        """
        self.note(places)
        for node in naming.seat(
            self._rack.registry, self._found.values(), self._configured
        ):
            where = "no place" if node.stack is None else f"{node.stack}/{node.slot}"
            text = f"{node.id} is {node.name}, at {where}: its board was found there"
            outbox = self._rack.outbox
            outbox.note(EventKind.REGISTRY, text, node.id, stack=node.stack)
            outbox.changed.add(node.id)
            outbox.learnt.add(node.id)
            outbox.moved.add(node.id)
            self._rack.judging.judge(node, now)
