"""What a board's state means for its outlet; pure."""

from broker.messages import Power, Verdict
from master_service.commands.run import Row
from master_service.node import Node

NOTHING_TO_LOSE = frozenset(
    {Verdict.LOST, Verdict.OFF, Verdict.UNPOWERED, Verdict.UNSEEN}
)
"""Such boards answer neither agent nor ping: there is nobody to ask."""


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
