"""All simulated nodes: what a target means, stacks losing power, faults beginning."""

import asyncio
import logging

from broker.common.errors import TopicError
from broker.contract.messages import Phase, TargetRow
from broker.contract.topics import ScopeKind
from node_agent.simulator.board_state import Fault, FaultRequest
from node_agent.simulator.settings import BoardPlace
from node_agent.simulator.simulated_board import facts_of, mix, twin_of
from node_agent.simulator.simulated_node import Blueprint, RackContext, SimulatedNode

log = logging.getLogger(__name__)

STARTS_PER_S = 120.0
"""Boards that appear in a second: 48 in less than half of one, 2 000 in 17."""

LEAVING_AT_ONCE = 100
"""Boards that say goodbye together; each is answered in time."""

TICK_S = 0.05
"""Boards appear in handfuls; so their heartbeats are spread, and the loop breathes."""


class SimulatedRack:
    """The nodes of a rack, by place."""

    def __init__(self, context: RackContext) -> None:
        self._scheduler = context.scheduler
        self.nodes = {place: _node(place, context) for place in context.settings.places}
        self._by_address = {place.address: node for place, node in self.nodes.items()}

    def begin(self) -> float:
        """Makes the boards appear one after another; returns how long that takes, s."""
        per_tick = max(1, round(STARTS_PER_S * TICK_S))
        for index, node in enumerate(self.nodes.values()):
            self._scheduler.after(index // per_tick * TICK_S, node.begin)
        return len(self.nodes) / per_tick * TICK_S

    async def stop(self) -> None:
        """Ends every agent with a goodbye; twice is fine."""
        nodes = list(self.nodes.values())
        for first in range(0, len(nodes), LEAVING_AT_ONCE):
            some = nodes[first : first + LEAVING_AT_ONCE]
            await asyncio.gather(*(one.stop("simulation ended") for one in some))

    def answers_ping(self, address: str) -> bool:
        """Whether the board of an IP address answers a ping now."""
        node = self._by_address.get(address)
        return node is not None and node.answers_ping

    def set_outlet(self, stack: int, *, on: bool) -> None:
        """Switches the boards of a stack, as its outlet does."""
        for place, node in self.nodes.items():
            if place.stack == stack:
                node.set_outlet(on=on)

    def targets(self, target: str) -> tuple[SimulatedNode, ...]:
        """Returns the nodes a target means.

        Args:
            target: Node id or name (``node/`` before it is allowed), ``stack/<n>`` or
                ``rack``.

        Raises:
            TopicError: There is no such target here.
        """
        name = target.removeprefix(f"{ScopeKind.NODE}/")
        found = tuple(
            node
            for place, node in self.nodes.items()
            if name
            in {
                ScopeKind.RACK,
                place.id,
                place.name,
                f"{ScopeKind.STACK}/{place.stack}",
            }
        )
        if not found:
            text = (
                f"no simulated board is {name[:64]!r}; give a node's id or name "
                "(s03n2), stack/<n> or rack"
            )
            raise TopicError(text)
        return found

    def inflict(self, request: FaultRequest) -> tuple[TargetRow, ...]:
        """Begins a fault, now or after its delay; returns a row for each board.

        Raises:
            TopicError: There is no such target here.
        """
        nodes = self.targets(request.target)
        if not request.after_s:
            return tuple(_inflict(node, request) for node in nodes)

        def begin() -> None:
            for row in (_inflict(node, request) for node in nodes):
                if row.error:
                    log.warning("simulator: %s", row.error)

        self._scheduler.after(request.after_s, begin)
        note = f"{request.fault} in {request.after_s:g} s"
        return tuple(
            TargetRow(node=one.id, name=one.name, phase=Phase.DONE, stdout=note)
            for one in nodes
        )


def _means(target: str, place: BoardPlace) -> bool:
    if target in {ScopeKind.RACK, place.id, place.name}:
        return True
    return target == f"{ScopeKind.STACK}/{place.stack}"


def _node(place: BoardPlace, context: RackContext) -> SimulatedNode:
    own = mix(context.settings.seed, place.stack, place.slot)
    return SimulatedNode(
        Blueprint(place.id, facts_of(place, own), own),
        context,
        Blueprint(place.id, twin_of(place, own), mix(own, 60)),
    )


def _inflict(node: SimulatedNode, request: FaultRequest) -> TargetRow:
    obstacle = node.obstacle(request.fault)
    if obstacle:
        return TargetRow(
            node=node.id, name=node.name, phase=Phase.FAILED, error=obstacle
        )
    node.inflict(request)
    end = "until heal" if request.for_s is None else f"for {request.for_s:g} s"
    heals = request.fault is Fault.HEAL
    return TargetRow(
        node=node.id,
        name=node.name,
        phase=Phase.DONE,
        stdout=str(request.fault) if heals else f"{request.fault} {end}",
        verified=True,
    )
