"""From the places an install run found to the names and places of nodes; pure.

See ``docs/decisions/who-names-a-board.md``: the configuration and a person outweigh it.
"""

from collections.abc import Collection, Iterable, Mapping

from master_service.rack.node import Node
from master_service.rack.registry import Registry
from provisioning.hardware import normal_mac
from provisioning.plan import Place


def seat(
    registry: Registry, places: Iterable[Place], configured: Collection[str]
) -> list[Node]:
    """Give nodes the stack, slot and name of the place where their board was found.

    Args:
        registry: The nodes.
        places: Every place of the rack.
        configured: Ids of the nodes that have a ``[[node]]`` row.

    Returns:
        The nodes that changed.
    """
    found = {place.mac: place for place in places if place.mac}
    theirs = {
        node.id: found.get(mac_of(node))
        for node in registry.nodes.values()
        if _free(node, configured) and mac_of(node)
    }
    before = {node_id: _seat_of(registry.nodes[node_id]) for node_id in theirs}
    wrong = [
        registry.nodes[node_id]
        for node_id, place in theirs.items()
        if before[node_id] != (place and (place.name, place.stack, place.slot))
    ]
    # All give theirs back before any takes another: two boards may change places.
    for node in wrong:
        if node.seated:
            registry.unseat(node)
    for node in wrong:
        place = theirs[node.id]
        if place is not None:
            registry.seat(node, place.name, place.stack, place.slot)
    return [node for node in wrong if _seat_of(node) != before[node.id]]


def pins(registry: Registry, configured: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return hardware address to stack and slot, as the configuration or a person says.

    Args:
        registry: The nodes.
        configured: Ids of the nodes that have a ``[[node]]`` row.
    """
    return {
        mac: (node.stack, node.slot)
        for node in registry.nodes.values()
        for mac in [mac_of(node)]
        if mac and node.stack and node.slot and not _free(node, configured)
    }


def stray(node: Node, places: Mapping[str, Place], configured: Collection[str]) -> bool:
    """Whether a node's board was found in a place that the node has not.

    Args:
        node: The node.
        places: Every place with a board, by its hardware address.
        configured: Ids of the nodes that have a ``[[node]]`` row.
    """
    place = places.get(mac_of(node))
    if place is None or not _free(node, configured):
        return False
    return _seat_of(node) != (place.name, place.stack, place.slot)


def mac_of(node: Node) -> str:
    """Return the wired hardware address of a node; empty if it told none."""
    try:
        return normal_mac(node.details.macs[0]) if node.details else ""
    except (IndexError, ValueError):
        return ""


def _free(node: Node, configured: Collection[str]) -> bool:
    """Whether nobody but an install run said where it stands and what it is called."""
    bare = node.stack is None and node.name == node.id
    return node.id not in configured and (node.seated or bare)


def _seat_of(node: Node) -> tuple[str, int | None, int | None] | None:
    return (node.name, node.stack, node.slot) if node.seated else None
