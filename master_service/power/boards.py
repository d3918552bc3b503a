"""What a board's state means for its outlet; pure."""

from collections.abc import Iterable

import msgspec

from broker.contract.messages import Askable, Power, Status, Verdict
from broker.contract.verbs import Verb
from master_service.commands.reach import inability, reachable
from master_service.commands.run import Row
from master_service.power.evidence import BoardFacts, Ruling, rule
from master_service.presence.identity import DUPLICATE_ID
from master_service.presence.rack import Rack
from master_service.rack.layout import FoundBoard
from master_service.rack.node import NEVER, Node
from master_service.rack.outlet_state import Fed


def ruling(rack: Rack, node: Node, now: float) -> Ruling:
    """Return whether a board is down, or must or cannot be asked to shut down.

    Args:
        rack: The rack.
        node: The board.
        now: Monotonic seconds; how fresh a ping must be is counted from then.
    """
    left = node.status is Status.OFFLINE and node.status_at >= (node.heard_at or -NEVER)
    return rule(
        msgspec.structs.replace(
            _supply(rack.panel.of_node(node), now),
            heard=node.known,
            known_as=_known_as(rack, node),
            reachable=reachable(node),
            unable=inability(node, Verb.SHUTDOWN.value, ()),
            doubled=node.faults.get(DUPLICATE_ID, ""),
            goodbye=node.goodbye if left else "",
            left_at=node.status_at if left else None,
            left_for=_left_for(node),
            answers_ping=node.answers_ping,
            answered_at=node.pings.answered_at,
            probe=node.probe,
            probe_at=node.probe_at,
            probe_note=node.probe_note,
            stop_s=rack.settings.master.stop_s,
            absence=f"{node.verdict}: {node.reason}",
        )
    )


def latest_ruling(rack: Rack, node: Node) -> Ruling:
    """Return the same by the last ping, however old it is.

    It is what people are shown: a command pings once more before it cuts.
    """
    now = node.probe_at if node.status is Status.OFFLINE else NEVER
    return ruling(rack, node, now)


def unasked(rack: Rack, outlets: list[Fed], nodes: Iterable[Node]) -> dict[str, str]:
    """Return the boards on some outlets that cannot be asked to shut down, and why.

    Args:
        rack: The rack.
        outlets: The outlets.
        nodes: The nodes that they feed.

    Returns:
        Why not, by display name, or by the name of the slot for a board without an
        agent.
    """
    rulings = [(node.name, latest_ruling(rack, node)) for node in nodes]
    rulings += [
        (board.name, found_ruling(fed, board, 0.0))
        for fed, board in found(rack, outlets)
    ]
    return {
        name: ruled.why
        for name, ruled in rulings
        if ruled.askable is Askable.CANNOT_BE_ASKED
    }


def found_ruling(fed: Fed, board: FoundBoard, now: float) -> Ruling:
    """Return the same of a board that was found and has no agent yet.

    Args:
        fed: The outlet that feeds it.
        board: The board.
        now: Monotonic seconds.
    """
    facts = _supply(fed, now)
    known_as = f"MAC {board.mac}, {board.address}" if board.mac else board.name
    return rule(msgspec.structs.replace(facts, heard=False, known_as=known_as))


def found(rack: Rack, outlets: Iterable[Fed]) -> list[tuple[Fed, FoundBoard]]:
    """Return the boards of some outlets that are no nodes: no agent of them was heard.

    An install run found them, or the outlet names them by their id. A node of which no
    details are known stands for the board found in its slot.
    """
    outlets = list(outlets)
    nodes = list(rack.registry.nodes.values())
    macs = {mac for node in nodes for mac in _macs(node)}
    mute = {(node.stack, node.slot) for node in nodes if node.details is None}
    by_stack = {fed.row.stack: fed for fed in outlets if fed.row.stack is not None}
    gone = rack.registry.nodes.keys() | rack.registry.tombstones
    listed = [
        (fed, FoundBoard("", node_id, fed.row.stack or 0, 0, ""))
        for fed in outlets
        for node_id in fed.row.nodes
        if node_id not in gone
    ]
    return listed + [
        (by_stack[board.stack], board)
        for board in rack.found
        if board.stack in by_stack
        and board.mac not in macs
        and (board.stack, board.slot) not in mute
    ]


def row_ruling(rack: Rack, fed: Fed, row: Row, now: float) -> Ruling | None:
    """Return the same for a row of a power command; None if it is of an outlet alone.

    Args:
        rack: The rack.
        fed: The outlet that feeds its board.
        row: The row.
        now: Monotonic seconds.
    """
    if row.node is not None:
        return ruling(rack, row.node, now)
    return None if row.found is None else found_ruling(fed, row.found, now)


def came_back(node: Node, since: float) -> bool:
    """Return whether a board gave a sign of life after it counted as down.

    Args:
        node: The board.
        since: When it counted as down, monotonic seconds.
    """
    spoke = node.heard_at is not None and node.heard_at > since
    answered = node.pings.answered_at is not None and node.pings.answered_at > since
    return spoke or answered or reachable(node)


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


def _supply(fed: Fed | None, now: float) -> BoardFacts:
    """Return what is known of a board's outlet: a level on disk is not a reading."""
    if fed is None:
        return BoardFacts(now=now)
    level = fed.level if fed.read else Power.UNKNOWN
    return BoardFacts(now=now, outlet=level, outlet_at=fed.since)


def _left_for(node: Node) -> str:
    """Return what a board left for, if its agent comes back after that by itself."""
    boot_id, verb = node.pings.left_for
    return verb if boot_id and boot_id == node.boot_id else ""


def _known_as(rack: Rack, node: Node) -> str:
    """Return what shows that a node that was never heard is a board."""
    place = node.stack, node.slot
    found = (one for one in rack.found if (one.stack, one.slot) == place)
    board = next(found, None) if node.stack is not None else None
    return f"MAC {board.mac}, {board.address}" if board else f"node {node.id}"


def _macs(node: Node) -> set[str]:
    said = node.details.macs if node.details is not None else ()
    return {mac.lower() for mac in said}
