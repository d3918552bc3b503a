"""How several boards are named in a sentence; pure."""

from collections.abc import Iterable

from broker.contract.messages import Verdict
from master_service.rack.node import Node
from master_service.rack.registry import Registry

SILENT = frozenset({Verdict.LATE, Verdict.HUNG, Verdict.LOST, Verdict.UNPOWERED})
"""Verdicts of a board that should speak and does not."""
NAMED = 4


def listed(registry: Registry, nodes: Iterable[Node]) -> str:
    """Name boards, whole stacks as such: ``stack 3 (4 boards), s05n1``.

    Args:
        registry: All nodes.
        nodes: Those to name.
    """
    meant = {node.id: node for node in nodes}
    said = []
    for stack in sorted({n.stack for n in meant.values() if n.stack is not None}):
        mates = registry.in_stack(stack)
        if len(mates) > 1 and all(mate.id in meant for mate in mates):
            said.append(f"stack {stack} ({len(mates)} boards)")
            for mate in mates:
                del meant[mate.id]
    said += sorted(node.name for node in meant.values())
    more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return ", ".join(said[:NAMED]) + more
