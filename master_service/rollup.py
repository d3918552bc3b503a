"""The states the master publishes, made from what the rack is; pure."""

import platform
from collections import Counter
from collections.abc import Collection, Iterable

from broker import VERSION
from broker.contract.messages import (
    NodeState,
    Power,
    RackState,
    StackState,
    Verdict,
)
from master_service.power.evidence import latest_ruling
from master_service.presence.rack import Rack
from master_service.rack.node import Node

WORST_FIRST = (
    Verdict.UNPOWERED,
    Verdict.LOST,
    Verdict.HUNG,
    Verdict.LATE,
    Verdict.UNKNOWN,
    Verdict.REBOOTING,
    Verdict.STOPPING,
    Verdict.BOOTING,
    Verdict.UNSEEN,
    Verdict.OFF,
    Verdict.ONLINE,
    Verdict.OTHER,
)
"""What a roll-up shows when its nodes differ."""
_RANK = {verdict: rank for rank, verdict in enumerate(WORST_FIRST)}


def node_state(rack: Rack, node: Node) -> NodeState:
    """Return what is published about a node."""
    fed = rack.panel.of_node(node)
    heard = node.heard_at
    ruling = latest_ruling(rack, node)
    return NodeState(
        id=node.id,
        name=node.name,
        verdict=node.verdict,
        since=node.since,
        reason=node.reason,
        stack=node.stack,
        slot=node.slot,
        tags=node.tags,
        power=fed.level if fed is not None else None,
        outlet=fed.row.name if fed is not None else "",
        last_seen=(None if heard is None else heard + rack.judging.wall_less_monotonic),
        faults=tuple(f"{name}: {text}" for name, text in sorted(node.faults.items())),
        running=node.running,
        lock=rack.locks.of_node(node),
        askable=ruling.askable,
        askable_why=ruling.why,
    )


def stack_state(rack: Rack, number: int) -> StackState:
    """Return what is published about a stack.

    Args:
        rack: The rack.
        number: Of one of its stacks.
    """
    stack = rack.stacks[number]
    nodes = rack.registry.in_stack(number)
    fed = rack.panel.of_stack(number)
    return StackState(
        stack=number,
        name=stack.name,
        x=stack.x,
        y=stack.y,
        slots=stack.slots,
        wanted=_known(fed.wanted) if fed is not None else None,
        power=fed.level if fed is not None else None,
        worst=worst(nodes),
        totals=totals(nodes),
        lock=rack.locks.of_stack(number),
        fault=fed.fault if fed is not None else "",
        found=_found(rack, number, {node.slot for node in nodes}),
    )


def _found(rack: Rack, number: int, taken: Collection[int | None]) -> tuple[int, ...]:
    """Return the slots of a stack with a board whose agent was never heard."""
    return tuple(
        sorted(
            board.slot
            for board in rack.found
            if board.stack == number and board.slot not in taken
        )
    )


def rack_state(
    rack: Rack, *, rejected: dict[str, int], errors: dict[str, int], now: float
) -> RackState:
    """Return what is published about the rack.

    Args:
        rack: The rack.
        rejected: Refused messages by kind.
        errors: Errors of the master itself by kind.
        now: Monotonic seconds.
    """
    nodes = rack.registry.nodes.values()
    return RackState(
        rack=rack.settings.rack.name,
        stacks=tuple(rack.stacks),
        nodes=len(nodes),
        totals=totals(nodes),
        versions={"pirack": VERSION, "python": platform.python_version()},
        frozen=rack.judging.frozen(now),
        rejected=rejected,
        errors=errors,
    )


def totals(nodes: Iterable[Node]) -> dict[Verdict, int]:
    """Return how many nodes have each verdict."""
    return dict(sorted(Counter(node.verdict for node in nodes).items()))


def worst(nodes: Iterable[Node]) -> Verdict | None:
    """Return the verdict that most needs a person; None if there are no nodes."""
    return min((node.verdict for node in nodes), key=_RANK.__getitem__, default=None)


def _known(power: Power) -> Power | None:
    return None if power is Power.UNKNOWN else power
