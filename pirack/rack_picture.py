"""What the rack says about itself, kept in memory as it comes; pure."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from broker.client.link import Message, Subscription
from broker.common.errors import ContractError
from broker.common.log import printable
from broker.contract.messages import (
    Details,
    Event,
    Heartbeat,
    InstallStack,
    InstallState,
    MasterDetails,
    NodeState,
    Payload,
    RackState,
    ScanPhase,
    StackState,
    Verdict,
    decode,
)
from broker.contract.topics import (
    Fixed,
    FixedTopic,
    InstallStackTopic,
    NodeLeaf,
    NodeTopic,
    StackTopic,
    Topics,
)

UNPLACED = 10_000
"""Sorts nodes without a stack last."""

K = TypeVar("K")
S = TypeVar("S", bound=Payload)
T = TypeVar("T")


def overview(topics: Topics) -> tuple[Subscription, ...]:
    """Returns the filters of all that is published about nodes and stacks."""
    return (
        Subscription(topics.node("+", NodeLeaf.STATE), qos=1),
        Subscription(topics.node("+", NodeLeaf.HEARTBEAT)),
        Subscription(topics.stack("+"), qos=1),
        Subscription(topics.rack_state, qos=1),
        Subscription(topics.master_details, qos=1),
        Subscription(topics.event, qos=1),
    )


class RackPicture:
    """The newest of all that is published; its texts have no control characters.

    A cleared topic takes its entry away. What does not decode is ignored, because the
    master counts and reports it.

    Args:
        topics: Of the rack.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.nodes: dict[str, NodeState] = {}
        self.heartbeats: dict[str, Heartbeat] = {}
        self.details: dict[str, Details] = {}
        self.statuses: dict[str, str] = {}
        """Plain status of each node."""
        self.stacks: dict[int, StackState] = {}
        self.rack: RackState | None = None
        self.master = ""
        """Plain status of the master; empty until heard."""
        self.interval_s = 10.0
        """Seconds between heartbeats, as the master says."""
        self.install: InstallState | None = None
        self.install_stacks: dict[int, InstallStack] = {}

    @property
    def whole(self) -> bool:
        """Whether every node the master counts has been heard of."""
        return self.rack is not None and len(self.nodes) >= self.rack.nodes

    @property
    def has_vitals(self) -> bool:
        """Whether a heartbeat of every node that is online was heard."""
        states = self.nodes.values()
        online = {one.id for one in states if one.verdict is Verdict.ONLINE}
        return online <= self.heartbeats.keys()

    @property
    def scanned(self) -> dict[int, InstallStack]:
        """The stacks that the latest install run is about, in order."""
        return {
            number: stack
            for number, stack in sorted(self.install_stacks.items())
            if stack.phase is not ScanPhase.UNTOUCHED
        }

    def by_place(self) -> list[NodeState]:
        """Returns the nodes by stack and slot; those without a place last, by name."""
        return sorted(self.nodes.values(), key=_place)

    def take(self, message: Message) -> Payload | None:
        """Takes a message in and returns it decoded; None where it carries no value."""
        payload = message.payload
        try:
            match self._topics.parse(message.topic):
                case NodeTopic(node=node, leaf=leaf):
                    return self._take_node(node, leaf, payload)
                case StackTopic(stack=stack):
                    return _keep(self.stacks, stack, payload, StackState)
                case InstallStackTopic(stack=stack):
                    return _keep(self.install_stacks, stack, payload, InstallStack)
                case FixedTopic(which=which):
                    return self._take_fixed(which, payload)
        except ContractError:
            pass
        return None

    def _take_node(self, node: str, leaf: NodeLeaf, payload: bytes) -> Payload | None:
        match leaf:
            case NodeLeaf.STATE:
                if not payload:
                    self.heartbeats.pop(node, None)
                return _keep(self.nodes, node, payload, NodeState)
            case NodeLeaf.HEARTBEAT:
                return _keep(self.heartbeats, node, payload, Heartbeat)
            case NodeLeaf.DETAILS:
                return _keep(self.details, node, payload, Details)
            case NodeLeaf.STATUS:
                self.statuses[node] = _plain(payload)
        return None

    def _take_fixed(self, which: Fixed, payload: bytes) -> Payload | None:
        match which:
            case Fixed.MASTER_STATUS:
                self.master = _plain(payload)
            case Fixed.RACK_STATE if payload:
                self.rack = cleaned(decode(payload, RackState))
                return self.rack
            case Fixed.MASTER_DETAILS if payload:
                details = cleaned(decode(payload, MasterDetails))
                self.interval_s = details.interval_s
                return details
            case Fixed.INSTALL_STATE:
                self.install = cleaned(decode(payload, InstallState), keep="\n")
                return self.install
            case Fixed.EVENT:
                return decode(payload, Event)
        return None


def cleaned(value: T, keep: str = "") -> T:
    """Returns a message whose texts are all printable.

    Args:
        value: A decoded message, or a part of one.
        keep: Control characters that stay.
    """
    found: object = value
    if isinstance(value, str) and type(value) is str:
        found = printable(value, keep)
    elif isinstance(value, msgspec.Struct):
        changed = {
            name: clean
            for name in value.__struct_fields__
            if (clean := cleaned(now := getattr(value, name), keep)) is not now
        }
        found = msgspec.structs.replace(value, **changed) if changed else value
    elif isinstance(value, tuple | list):
        found = type(value)(cleaned(one, keep) for one in value)
    elif isinstance(value, dict):
        found = {cleaned(key, keep): cleaned(one, keep) for key, one in value.items()}
    return found  # type: ignore[return-value]  # of the type that came in


def by_stack(states: Iterable[NodeState]) -> dict[int | None, list[NodeState]]:
    """Returns nodes grouped by their stacks, in the order they come."""
    groups: dict[int | None, list[NodeState]] = {}
    for state in states:
        groups.setdefault(state.stack, []).append(state)
    return groups


def _keep(store: dict[K, S], key: K, payload: bytes, kind: type[S]) -> S | None:
    if not payload:
        store.pop(key, None)
        return None
    value = store[key] = cleaned(decode(payload, kind))
    return value


def _plain(payload: bytes) -> str:
    return printable(payload.decode("ascii", "replace"), "")


def _place(state: NodeState) -> tuple[int, int, str]:
    stack = UNPLACED if state.stack is None else state.stack
    return (stack, state.slot or 0, state.name)
