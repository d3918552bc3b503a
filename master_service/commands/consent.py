"""What interrupts several boards must be meant: the scope is said twice; pure."""

from broker.messages import Phase, TargetRow
from master_service.commands.effects import Asked, RefusedError
from master_service.node import Node

SEVERAL = 2
NAMED = 16
"""Boards named in the sentence; the rows of the refusal name every one."""


def require(asked: Asked, nodes: list[Node]) -> None:
    """Refuse what interrupts several boards unless ``confirm`` is the scope.

    Raises:
        RefusedError: It is not; text and rows name who is hit.
    """
    if len(nodes) < SEVERAL or asked.command.confirm == str(asked.scope):
        return
    names = ", ".join(node.name for node in nodes[:NAMED])
    more = ", …" if len(nodes) > NAMED else ""
    text = (
        f"{asked.verb} interrupts {len(nodes)} boards ({names}{more}); "
        f"repeat it with confirm={asked.scope}"
    )
    raise RefusedError(
        text,
        (TargetRow(node=n.id, name=n.name, phase=Phase.REFUSED) for n in nodes),
    )
