"""What interrupts several boards must be meant: the scope is said twice; pure."""

from collections.abc import Sequence

from broker.contract.messages import Phase, RowCode, TargetRow
from master_service.commands.effects import Asked, RefusedError
from master_service.rack.layout import FoundBoard
from master_service.rack.node import Node

SEVERAL = 2
NAMED = 16
"""Boards named in the sentence; the rows of the refusal name every one."""


def require(asked: Asked, nodes: list[Node], found: Sequence[FoundBoard] = ()) -> None:
    """Refuse what interrupts several boards unless ``confirm`` is the scope.

    Args:
        asked: The command.
        nodes: The nodes that are hit.
        found: Boards without an agent that are hit, too.

    Raises:
        RefusedError: It is not; text and rows name who is hit.
    """
    hit = [(node.id, node.name) for node in nodes]
    hit += [("", board.name) for board in found]
    if len(hit) < SEVERAL or asked.command.confirm == str(asked.scope):
        return
    names = ", ".join(name for _, name in hit[:NAMED])
    more = ", …" if len(hit) > NAMED else ""
    text = (
        f"{asked.verb} interrupts {len(hit)} boards ({names}{more}); "
        f"repeat it with confirm={asked.scope}"
    )
    raise RefusedError(
        text,
        (
            TargetRow(
                node=node_id,
                name=name,
                phase=Phase.REFUSED,
                code=RowCode.NEEDS_CONFIRM,
            )
            for node_id, name in hit
        ),
    )
