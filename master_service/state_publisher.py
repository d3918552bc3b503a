"""Publishes states when they change, and all of them at every connect.

Changes are gathered: nodes and stacks for one turn of the loop, the rack for a tick.
"""

import contextlib
import logging
from collections.abc import Callable

import msgspec

from broker.client.link import Link
from broker.common.errors import NotConnectedError, PayloadError
from broker.common.log import Rejections
from broker.contract.messages import (
    MasterDetails,
    Payload,
    RackState,
    StackState,
    Status,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf
from master_service import rollup
from master_service.presence.rack import Rack
from master_service.rack.node import Node

log = logging.getLogger(__name__)

DECLARED_DEAD = frozenset({Verdict.LOST, Verdict.HUNG, Verdict.UNPOWERED, Verdict.OFF})
"""Verdicts that make a stored ``online`` a lie."""


class Publisher:
    """Keeps the master's retained topics true.

    Args:
        rack: The rack.
        link: The connection.
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
        """Publish every state again with the next flush."""
        self._everything = True

    def stack(self, number: int | None) -> None:
        """Look at a stack with the next flush, for its power changed."""
        if number in self._rack.stacks:
            self._stale_stacks.add(number)

    def flush(self) -> None:
        """Publish what changed about nodes and stacks; nothing while it is down."""
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
        """Mark the stacks in which an install run found other boards than before."""
        before, self._found = self._found, self._rack.found
        if before is not self._found:
            stacks = {board.stack for board in (*before, *self._found)}
            self._stale_stacks |= stacks & self._rack.stacks.keys()

    def rack_state(self, now: float) -> None:
        """Publish the state of the whole rack if it changed; called by the tick."""
        state = rollup.rack_state(
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
        """Publish what the master says about itself."""
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

    def _node(self, node: Node) -> None:
        dead = node.verdict in DECLARED_DEAD and node.status is Status.ONLINE
        if dead and not node.declared_dead:
            self._declare_offline(node)
        state = rollup.node_state(self._rack, node)
        before = node.published
        if before is not None:
            self.stack(before.stack)
            same = msgspec.structs.replace(before, last_seen=state.last_seen)
            if same == state:
                return
        self.stack(node.stack)
        self._put(self._rack.topics.node(node.id, NodeLeaf.STATE), state)
        node.published = state

    def _declare_offline(self, node: Node) -> None:
        """Put right the stored ``online`` of a node whose will did not fire.

        If it lives after all, it sees the word on its own topic and says otherwise.
        """
        node.declared_dead = True
        topic = self._rack.topics.node(node.id, NodeLeaf.STATUS)
        self._link.publish(topic, Status.OFFLINE.encode(), qos=1, retain=True)

    def _publish_stacks(self) -> None:
        for number in sorted(self._stale_stacks):
            state = rollup.stack_state(self._rack, number)
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
