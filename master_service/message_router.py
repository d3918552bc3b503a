"""Every message that arrives: decoded, refused if bad, and handed to its owner.

No message raises out of here or stops the master; what is refused is counted by kind,
and logged once for each.
"""

from broker.client.link import Message, Subscription
from broker.common.errors import PayloadError, TopicError
from broker.common.log import Rejections
from broker.contract.messages import (
    Details,
    Heartbeat,
    MasterDetails,
    Result,
    Status,
    decode,
)
from broker.contract.topics import (
    Address,
    CommandTopic,
    Fixed,
    FixedTopic,
    InstallStackTopic,
    NodeLeaf,
    NodeTopic,
    Scope,
    ScopeKind,
    StackTopic,
    Topics,
)
from master_service.commands.dispatcher import Dispatcher
from master_service.install.service import Installs
from master_service.master_details import OtherMasters
from master_service.presence.rack import Rack
from master_service.rack.command import CommandMessage
from master_service.rack.effects import ClearTopics, Effects, Route
from master_service.rack.node import RackNode
from master_service.rack.times import Moment

ECHO_S = 10.0
"""Seconds in which the echo of a clearing comes, if it comes."""
MAX_TOPIC = 200
"""Longer topics are not answered: the answer repeats them."""
NEVER_RETAINED = frozenset({NodeLeaf.HEARTBEAT, NodeLeaf.ORDER, NodeLeaf.RESULT})
_STORED = frozenset(NodeLeaf) - NEVER_RETAINED
_STATUS = {status.encode(): status for status in Status}


def subscriptions(topics: Topics) -> tuple[Subscription, ...]:
    """Returns what the master subscribes to: disjoint filters.

    It hears its own orders and states too: that is how it finds what was stored there
    and must not be, and that another master is at work.
    """
    leaves = (
        Subscription(topics.node("+", leaf), qos=0 if leaf is NodeLeaf.HEARTBEAT else 1)
        for leaf in NodeLeaf
    )
    commands = (Subscription(text, qos=1) for text in topics.command_filters())
    others = (topics.stack("+"), topics.install_stack("+"), topics.master_details)
    return (*leaves, *(Subscription(text, qos=1) for text in others), *commands)


class MessageRouter:
    """Decodes messages and hands them over.

    Args:
        rack: Told what nodes say.
        dispatcher: Told what people ask.
        rejections: Told what is bad.
        installs: Told what nodes say about themselves.
    """

    def __init__(
        self,
        rack: Rack,
        dispatcher: Dispatcher,
        rejections: Rejections,
        installs: Installs,
    ) -> None:
        self._rack = rack
        self._dispatcher = dispatcher
        self._rejections = rejections
        self._installs = installs
        self._other_masters = OtherMasters(rack.outbox)
        self._by_heartbeat = rack.registry.by_heartbeat
        self._echoes: dict[str, float] = {}
        self._prune_due = 0.0

    def heartbeat(self, message: Message, now: float) -> bool:
        """Takes a heartbeat of a known board; returns False if it is anything else.

        The hot path: one look-up, one decoding, one update.
        """
        node = self._by_heartbeat.get(message.topic)
        if node is None or message.retain:
            return False
        try:
            beat = decode(message.payload, Heartbeat, self._rejections.value)
        except PayloadError as error:
            self._rejections.add("heartbeat", str(error))
            return True
        self._rack.tracker.heartbeat(node, beat, now)
        return True

    def take(self, message: Message, at: Moment) -> Effects:
        """Takes any other message; returns what is to be done."""
        try:
            address = self._rack.topics.parse(message.topic)
        except TopicError as error:
            self._rejections.add("topic", str(error))
            return self._unaddressed(message, str(error), at)
        try:
            return self._dispatch(address, message, at)
        except PayloadError as error:
            self._rejections.add(_kind(address), str(error))
        except TopicError as error:
            self._rejections.add("node", str(error))
        return []

    def cleared(self, topics: tuple[str, ...], now: float) -> None:
        """Expects the echo of a clearing.

        A 3.1.1 broker delivers it as an empty message without the retain flag, which
        is exactly what a person sends to ask for a reboot.
        """
        if now >= self._prune_due:
            self._prune_due = now + ECHO_S
            self._echoes = {
                t: until for t, until in self._echoes.items() if until > now
            }
        for topic in topics:
            self._echoes[topic] = now + ECHO_S

    def connected(self, session: str) -> None:
        """Notes the session by which our own messages are known."""
        self._other_masters.connected(session)

    def disconnected(self) -> None:
        """Expects no echoes any more."""
        self._echoes.clear()

    def _dispatch(self, address: Address, message: Message, at: Moment) -> Effects:
        match address:
            case CommandTopic():
                return self._command(address, message, at)
            case NodeTopic(node, leaf):
                return self._from_node(node, leaf, message, at)
            case FixedTopic(Fixed.MASTER_DETAILS) if message.payload:
                found = decode(message.payload, MasterDetails, self._rejections.value)
                self._other_masters.heard(found)
                return []
            case StackTopic(stack) if stack not in self._rack.stacks:
                return [ClearTopics((message.topic,))] if message.payload else []
            case InstallStackTopic(stack) if not self._installs.shows(stack):
                return [ClearTopics((message.topic,))] if message.payload else []
            case _:
                return []

    def _command(self, address: CommandTopic, message: Message, at: Moment) -> Effects:
        if self._is_echo(message, at):
            return []
        route = Route(
            address.scope,
            address.verb,
            self._inbox(message.response_topic),
            message.correlation,
        )
        request = CommandMessage(message.topic, route, message.payload, message.retain)
        try:
            return self._dispatcher.accept(request, at)
        except PayloadError as error:
            self._rejections.add("command", str(error))
            return self._dispatcher.misread(request, error, at)

    def _unaddressed(self, message: Message, why: str, at: Moment) -> Effects:
        """Answers a command on a topic that is not of the contract, like any other."""
        below = message.topic.removeprefix(f"{self._rack.topics.prefix}/")
        *scope, word, verb = ["", "", *below.split("/")]
        if (
            word != "cmd"
            or len(message.topic) > MAX_TOPIC
            or self._is_echo(message, at)
        ):
            return []
        named = "/".join(scope[2:])
        route = Route(
            Scope(ScopeKind.RACK),
            verb,
            self._inbox(message.response_topic),
            message.correlation,
            f"{self._rack.topics.prefix}/{named}/reply/{verb}",
        )
        request = CommandMessage(message.topic, route, message.payload, message.retain)
        return self._dispatcher.unaddressed(request, named, verb, why)

    def _is_echo(self, message: Message, at: Moment) -> bool:
        """Returns whether this clears a topic, and is not a command without words."""
        until = self._echoes.pop(message.topic, 0.0)
        return not message.payload and (message.retain or at.now < until)

    def _inbox(self, response_topic: str) -> str:
        """Returns a response topic if it is an inbox; anything else is ignored."""
        prefix = self._rack.topics.inbox("x").removesuffix("x")
        client = response_topic.removeprefix(prefix)
        if not response_topic.startswith(prefix):
            return ""
        try:
            return self._rack.topics.inbox(client)
        except TopicError:
            return ""

    def _from_node(
        self, node_id: str, leaf: NodeLeaf, message: Message, at: Moment
    ) -> Effects:
        if not message.payload:
            return []
        registry = self._rack.registry
        if node_id in registry.tombstones:
            stored = leaf in _STORED or message.retain
            return [ClearTopics((message.topic,))] if stored else []
        if leaf in NEVER_RETAINED and message.retain:
            self._rejections.add("retained", f"{leaf} must never be retained")
            return [ClearTopics((message.topic,))]
        if leaf is NodeLeaf.ORDER:
            return []
        if leaf is NodeLeaf.STATE:
            stray = node_id not in registry.nodes
            return [ClearTopics((message.topic,))] if stray else []
        return self._said(node_id, leaf, message, at)

    def _said(
        self, node_id: str, leaf: NodeLeaf, message: Message, at: Moment
    ) -> Effects:
        """Takes what a board says; it is known from the first message that is valid."""
        watch, registry = self._rack.tracker, self._rack.registry
        if leaf is NodeLeaf.STATUS:
            status = _STATUS.get(message.payload)
            if status is None:
                text = f"status {message.payload[:32]!r} must be online or offline"
                raise PayloadError(text)
            node = self._node(node_id)
            watch.status(node, status, message.session, at.now, stored=message.retain)
        elif leaf is NodeLeaf.DETAILS:
            details = decode(message.payload, Details, self._rejections.value)
            node = self._node(node_id)
            watch.details(node, details, at.now, stored=message.retain)
            # Retained says both stored and to be stored; the watch knows which.
            self._installs.said(node, details, retained=node.heard_at != at.now)
        elif leaf is NodeLeaf.HEARTBEAT:
            beat = decode(message.payload, Heartbeat, self._rejections.value)
            watch.heartbeat(self._node(node_id), beat, at.now)
        else:
            result = decode(message.payload, Result, self._rejections.value)
            known = registry.nodes.get(node_id)
            if known is not None:
                watch.spoke(known, at.now)
                return self._dispatcher.result(known, result, at)
        return []

    def _node(self, node_id: str) -> RackNode:
        node = self._rack.registry.add(node_id)
        self._rack.outbox.changed.add(node_id)
        return node


def _kind(address: Address) -> str:
    return address.leaf.value if isinstance(address, NodeTopic) else "other"
