"""The states that the master publishes: made from what is known, published on change.

Changes are gathered: boards and stacks for one turn of the loop, the rack for a tick.
"""

import contextlib
import logging
import platform
from collections import Counter
from collections.abc import Callable, Collection, Iterable

import msgspec

from broker import VERSION
from broker.client.link import Link
from broker.common.errors import NotConnectedError, PayloadError
from broker.common.log import Rejections
from broker.contract.messages import (
    MasterDetails,
    NodeState,
    Payload,
    Power,
    RackState,
    StackState,
    Status,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf
from master_service.power.evidence import latest_ruling
from master_service.presence.rack import Rack
from master_service.rack.node import RackNode

log = logging.getLogger(__name__)

DECLARED_DEAD = frozenset({Verdict.LOST, Verdict.HUNG, Verdict.UNPOWERED, Verdict.OFF})
"""Verdicts that contradict a stored ``online``."""
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


class StatePublisher:
    """Publishes the retained states of boards, stacks and the rack when they change.

    Args:
        rejections: What was refused, for the rack's state.
        errors: Returns what went wrong in the master, by kind, for the rack's state.
    """

    def __init__(
        self,
        rack: Rack,
        link: Link,
        rejections: Rejections,
        errors: Callable[[], dict[str, int]],
    ) -> None:
        self._rack = rack
        self._link = link
        self._rejections = rejections
        self._errors = errors
        self._stacks: dict[int, StackState] = {}
        self._whole: RackState | None = None
        self._stale_stacks: set[int] = set(rack.stacks)
        self._found = rack.found
        self._everything = True

    def everything(self) -> None:
        """Publishes every state again with the next flush."""
        self._everything = True

    def stack(self, number: int | None) -> None:
        """Looks at a stack with the next flush, for its power changed."""
        if number in self._rack.stacks:
            self._stale_stacks.add(number)

    def flush(self) -> None:
        """Publishes what changed about boards and stacks, if there is a connection."""
        if not self._link.connected:
            return
        changed = self._rack.outbox.changed
        if self._everything:
            changed.update(self._rack.registry.nodes)
            self._forget_published()
        self._look_for_found()
        if not changed and not self._stale_stacks:
            return
        try:
            self._nodes(changed)
            self._publish_stacks()
        except NotConnectedError as error:
            log.info("states wait for the connection: %s", error)

    def _look_for_found(self) -> None:
        """Marks the stacks in which an install run found other boards than before."""
        before, self._found = self._found, self._rack.found
        if before is not self._found:
            stacks = {board.stack for board in (*before, *self._found)}
            self._stale_stacks |= stacks & self._rack.stacks.keys()

    def rack_state(self, now: float) -> None:
        """Publishes the state of the whole rack if it changed."""
        state = _rack_state(
            self._rack,
            rejected=self._rejections.counts,
            errors=self._errors(),
            now=now,
        )
        if state == self._whole or not self._link.connected:
            return
        self._put(self._rack.topics.rack_state, state)
        self._whole = state

    def master(self, details: MasterDetails) -> None:
        """Publishes what the master says about itself."""
        with contextlib.suppress(NotConnectedError):
            self._put(self._rack.topics.master_details, details)

    def _forget_published(self) -> None:
        self._everything = False
        self._whole = None
        self._stacks.clear()
        self._stale_stacks.update(self._rack.stacks)
        for node in self._rack.registry.nodes.values():
            node.published = None

    def _nodes(self, changed: set[str]) -> None:
        for node_id in tuple(changed):
            node = self._rack.registry.nodes.get(node_id)
            if node is not None:
                self._node(node)
            changed.discard(node_id)

    def _node(self, node: RackNode) -> None:
        dead = node.verdict in DECLARED_DEAD and node.status is Status.ONLINE
        if dead and not node.declared_dead:
            self._declare_offline(node)
        state = _node_state(self._rack, node)
        before = node.published
        if before is not None:
            self.stack(before.stack)
            same = msgspec.structs.replace(before, last_seen=state.last_seen)
            if same == state:
                return
        self.stack(node.stack)
        self._put(self._rack.topics.node(node.id, NodeLeaf.STATE), state)
        node.published = state

    def _declare_offline(self, node: RackNode) -> None:
        """Corrects the stored ``online`` of a board whose will did not fire.

        If it lives after all, it sees that on its own topic and publishes ``online``.
        """
        node.declared_dead = True
        topic = self._rack.topics.node(node.id, NodeLeaf.STATUS)
        self._link.publish(topic, Status.OFFLINE.encode(), qos=1, retain=True)

    def _publish_stacks(self) -> None:
        for number in sorted(self._stale_stacks):
            state = _stack_state(self._rack, number)
            if state != self._stacks.get(number):
                self._put(self._rack.topics.stack(number), state)
                self._stacks[number] = state
            self._stale_stacks.discard(number)

    def _put(self, topic: str, state: Payload) -> None:
        try:
            payload = encode(state)
        except PayloadError as error:
            # The others are published all the same.
            self._rejections.add("too large", f"{topic} is not published: {error}")
            return
        self._link.publish(topic, payload, qos=1, retain=True)


def _node_state(rack: Rack, node: RackNode) -> NodeState:
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
        last_seen=(
            None if heard is None else heard + rack.verdicts.wall_less_monotonic
        ),
        faults=tuple(f"{name}: {text}" for name, text in sorted(node.faults.items())),
        running=node.running,
        lock=rack.locks.of_node(node),
        askable=ruling.askable,
        askable_why=ruling.why,
    )


def _stack_state(rack: Rack, number: int) -> StackState:
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
        totals=_totals(nodes),
        lock=rack.locks.of_stack(number),
        fault=fed.fault if fed is not None else "",
        found=_found(rack, number, {node.slot for node in nodes}),
    )


def _found(rack: Rack, number: int, taken: Collection[int | None]) -> tuple[int, ...]:
    """Returns the slots of a stack with a board whose agent was never heard."""
    return tuple(
        sorted(
            board.slot
            for board in rack.found
            if board.stack == number and board.slot not in taken
        )
    )


def _rack_state(
    rack: Rack, *, rejected: dict[str, int], errors: dict[str, int], now: float
) -> RackState:
    nodes = rack.registry.nodes.values()
    return RackState(
        rack=rack.settings.rack.name,
        stacks=tuple(rack.stacks),
        nodes=len(nodes),
        totals=_totals(nodes),
        versions={"pirack": VERSION, "python": platform.python_version()},
        frozen=rack.verdicts.frozen(now),
        rejected=rejected,
        errors=errors,
    )


def _totals(nodes: Iterable[RackNode]) -> dict[Verdict, int]:
    return dict(sorted(Counter(node.verdict for node in nodes).items()))


def worst(nodes: Iterable[RackNode]) -> Verdict | None:
    """Returns the verdict that most needs a person; None if there are no boards."""
    return min((node.verdict for node in nodes), key=_RANK.__getitem__, default=None)


def _known(power: Power) -> Power | None:
    return None if power is Power.UNKNOWN else power
