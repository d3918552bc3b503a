"""What the rack says about itself, kept as a picture in memory; pure."""

import msgspec

from broker.client.link import Message, Subscription
from broker.common.errors import ContractError
from broker.common.log import printable
from broker.contract.messages import (
    Event,
    Heartbeat,
    MasterDetails,
    NodeState,
    RackState,
    StackState,
    Verdict,
    Wire,
    decode,
)
from broker.contract.topics import (
    Fixed,
    FixedTopic,
    NodeLeaf,
    NodeTopic,
    StackTopic,
    Topics,
)
from pirack.pipe import cleaned

UNPLACED = 10_000
"""Sorts nodes without a stack last."""


class Row(msgspec.Struct, frozen=True):
    """One node: what the master thinks of it, and its newest vitals."""

    state: NodeState
    heartbeat: Heartbeat | None


class Mirror:
    """Takes messages in, gives rows out.

    Args:
        topics: Of the rack.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._nodes: dict[str, NodeState] = {}
        self._heartbeats: dict[str, Heartbeat] = {}
        self.stacks: dict[int, StackState] = {}
        self.rack: RackState | None = None
        self.master = ""
        """Plain status of the master; empty until heard."""
        self.interval_s = 10.0
        """Seconds between heartbeats, as the master says."""

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return the filters that feed it."""
        topics = self._topics
        return (
            Subscription(topics.node("+", NodeLeaf.STATE), qos=1),
            Subscription(topics.node("+", NodeLeaf.HEARTBEAT)),
            Subscription(topics.stack("+"), qos=1),
            Subscription(topics.rack_state, qos=1),
            Subscription(topics.master_status, qos=1),
            Subscription(topics.master_details, qos=1),
            Subscription(topics.event, qos=1),
        )

    @property
    def whole(self) -> bool:
        """Whether every node the master counts has been heard of."""
        return self.rack is not None and len(self._nodes) >= self.rack.nodes

    @property
    def vital(self) -> bool:
        """Whether every node that is online has told its vitals."""
        states = self._nodes.values()
        online = {one.id for one in states if one.verdict is Verdict.ONLINE}
        return online <= self._heartbeats.keys()

    def rows(self) -> list[Row]:
        """Return the nodes by stack and slot; those without a place last, by name."""
        states = sorted(self._nodes.values(), key=_place)
        return [Row(state, self._heartbeats.get(state.id)) for state in states]

    def take(self, message: Message) -> Wire | None:
        """Take a message; return it decoded, or None where it says nothing to us.

        A cleared topic takes its node away; what does not decode is ignored, for the
        master counts and reports it.
        """
        try:
            address = self._topics.parse(message.topic)
            match address:
                case NodeTopic(node=node, leaf=NodeLeaf.STATE):
                    return self._node(node, message.payload)
                case NodeTopic(node=node, leaf=NodeLeaf.HEARTBEAT):
                    beat = decode(message.payload, Heartbeat)
                    self._heartbeats[node] = beat
                    return beat
                case StackTopic(stack=stack):
                    return self._stack(stack, message.payload)
                case FixedTopic(which=which):
                    return self._fixed(which, message.payload)
                case _:
                    return None
        except ContractError:
            return None

    def _node(self, node: str, payload: bytes) -> NodeState | None:
        if not payload:
            self._nodes.pop(node, None)
            self._heartbeats.pop(node, None)
            return None
        state = self._nodes[node] = cleaned(decode(payload, NodeState))
        return state

    def _stack(self, stack: int, payload: bytes) -> StackState | None:
        if not payload:
            self.stacks.pop(stack, None)
            return None
        state = self.stacks[stack] = cleaned(decode(payload, StackState))
        return state

    def _fixed(self, which: Fixed, payload: bytes) -> Wire | None:
        match which:
            case Fixed.RACK_STATE if payload:
                self.rack = cleaned(decode(payload, RackState))
                return self.rack
            case Fixed.MASTER_DETAILS if payload:
                self.interval_s = decode(payload, MasterDetails).interval_s
            case Fixed.MASTER_STATUS:
                self.master = printable(payload.decode("ascii", "replace"), "")
            case Fixed.EVENT:
                return cleaned(decode(payload, Event))
        return None


def _place(state: NodeState) -> tuple[int, int, str]:
    stack = UNPLACED if state.stack is None else state.stack
    return (stack, state.slot or 0, state.name)
