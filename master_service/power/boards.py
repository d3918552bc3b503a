"""What a board's state means for its outlet; pure."""

from collections.abc import Iterable

from broker.messages import Power, Verdict
from master_service.commands.reach import absence, reachable
from master_service.commands.run import Row
from master_service.node import Node
from master_service.power.choice import given_up

NOTHING_TO_LOSE = frozenset(
    {Verdict.LOST, Verdict.OFF, Verdict.UNPOWERED, Verdict.UNSEEN}
)
"""Such boards answer neither agent nor ping: there is nobody to ask."""


def standing(node: Node, args: Iterable[str]) -> tuple[bool, str]:
    """Return whether a board counts as down already, and why it cannot be asked to go.

    Args:
        node: The board.
        args: Words of the command, which may give a board up.
    """
    if node.verdict in NOTHING_TO_LOSE:
        return True, ""
    if reachable(node):
        return False, ""
    if given_up(node, args):
        return True, ""
    return False, f"cannot be asked to shut down: {absence(node)}"


def cannot_come(node: Node, level: Power) -> str:
    """Say why switching on does not bring a board back; empty if it may."""
    if not node.halted_by or level is not Power.ON:
        return ""
    return (
        f"its outlet is on, but it was shut down by {node.halted_by}; "
        "`power cycle` brings it back"
    )


def came(row: Row, *, rebooted: bool) -> bool:
    """Return whether a board speaks.

    Args:
        row: Its row, with the boot it ran before.
        rebooted: It must be another boot than that.
    """
    node = row.node
    if node is None or node.verdict is not Verdict.ONLINE or not node.boot_id:
        return False
    return not rebooted or node.boot_id != row.boot_id
