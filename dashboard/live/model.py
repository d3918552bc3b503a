"""What the dashboard knows of the rack: what is published, decoded at the edge.

Pure: bytes and times come in, records change and are marked; nothing is sent from here.
"""

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

from broker.client.link import Message, Subscription
from broker.common.errors import ContractError, PayloadError
from broker.common.log import Rejections
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
    Reply,
    StackState,
    Status,
    decode,
)
from broker.contract.topics import (
    CommandTopic,
    Fixed,
    FixedTopic,
    InstallStackTopic,
    NodeLeaf,
    NodeTopic,
    ReplyTopic,
    StackTopic,
    Topics,
)
from dashboard.live.tile import Levels, Tile, make_tile
from dashboard.server.settings import Thresholds

HISTORY_SAMPLES = 36
HISTORY_STEP_S = 5.0
"""36 samples 5 s apart: the three minutes of a sparkline."""
NO_SAMPLE = 255
MAX_NODES = 20_000
"""Ids that are no boards must not fill the memory."""
_EVENTS_KEPT = 300
_KINDS = frozenset({"heartbeat", "details", "status", "state", "event"})

W = TypeVar("W", bound=Payload)


class Record:
    """The latest of everything said by or about one node.

    Args:
        node: Node id.
        index: Its number in the rows sent to browsers; never used again for another.
    """

    __slots__ = (
        "beat",
        "confirmed",
        "details",
        "heard_at",
        "history",
        "id",
        "index",
        "levels",
        "state",
        "status",
        "tile",
        "tile_since",
    )

    def __init__(self, node: str, index: int) -> None:
        self.id = node
        self.index = index
        self.state: NodeState | None = None
        self.details: Details | None = None
        self.status: Status | None = None
        self.beat: Heartbeat | None = None
        self.heard_at: float | None = None
        self.confirmed = True
        self.levels = Levels()
        self.tile: Tile | None = None
        self.tile_since = 0.0
        self.history = bytearray([NO_SAMPLE]) * HISTORY_SAMPLES

    @property
    def name(self) -> str:
        """Display name; the hostname or the id until the master gives one."""
        if self.state is not None:
            return self.state.name
        return self.details.hostname if self.details is not None else self.id

    @property
    def known(self) -> bool:
        """Whether anything is left to show."""
        parts = (self.state, self.details, self.status, self.beat)
        return any(part is not None for part in parts)

    @property
    def cpu_mean(self) -> float | None:
        """Processor use over the whole sparkline, percent; None if it has gaps."""
        if NO_SAMPLE in self.history:
            return None
        return sum(self.history) / len(self.history)

    def sample(self) -> None:
        """Moves the sparkline on by one step."""
        del self.history[0]
        live = self.tile is not None and self.tile.cpu >= 0
        self.history.append(self.tile.cpu if live and self.tile else NO_SAMPLE)

    def judge(self, limits: Thresholds, wall: float) -> Tile:
        """Works out the tile again, and notes when its state began.

        Args:
            wall: Unix time now, seconds.
        """
        tile = make_tile(
            state=self.state,
            details=self.details,
            status=self.status,
            beat=self.beat,
            limits=limits,
            before=self.levels,
            cpu_mean=self.cpu_mean,
            confirmed=self.confirmed,
        )
        if self.tile is None or self.tile.state is not tile.state:
            self.tile_since = wall
        self.levels = tile.levels
        self.tile = tile
        return tile


def subscriptions(topics: Topics) -> tuple[Subscription, ...]:
    """Returns everything a dashboard listens to; the filters do not overlap."""
    leaves = (NodeLeaf.STATUS, NodeLeaf.DETAILS, NodeLeaf.STATE)
    kept = [topics.node("+", leaf) for leaf in leaves]
    kept += [topics.stack("+"), topics.rack_state, topics.install_state]
    kept += [topics.install_stack("+"), topics.master_status, topics.master_details]
    passing = (topics.event, *topics.reply_filters())
    return (
        Subscription(topics.node("+", NodeLeaf.HEARTBEAT)),
        *(Subscription(text, qos=1) for text in kept),
        *(Subscription(text, qos=1, retained=False) for text in passing),
    )


class RackModel:
    """Everything published about one rack, and what changed since the last look."""

    def __init__(self, topics: Topics, rejections: Rejections) -> None:
        self.topics = topics
        self.rejections = rejections
        self.nodes: dict[str, Record] = {}
        self.stacks: dict[int, StackState] = {}
        self.rack: RackState | None = None
        self.install: InstallState | None = None
        self.install_retained = False
        """Whether it comes out of the broker's store: when it was said is not known."""
        self.install_stacks: dict[int, InstallStack] = {}
        self.master: Status | None = None
        self.master_details: MasterDetails | None = None
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.dirty: set[Record] = set()
        """Nodes whose tile may look different."""
        self.moved: set[Record] = set()
        """Nodes whose name, place, tags or abilities may be different."""
        self.gone: set[int] = set()
        self.stacks_changed: set[int] = set()
        self.installs_changed = False
        """Whether a stack of the install run may look different."""
        self.new_events: list[Event] = []
        self._doubted_stacks: set[int] = set()
        self._doubted_installs: set[int] = set()
        self._by_heartbeat: dict[str, Record] = {}
        self._next_index = 0

    def apply(self, message: Message, now: float) -> Reply | None:
        """Updates the model from one message; returns it if it answers a command.

        Args:
            now: Monotonic time of its arrival, seconds.
        """
        record = self._by_heartbeat.get(message.topic)
        try:
            if record is not None:
                self._heartbeat(record, message, now)
                return None
            return self._route(message, now)
        except ContractError as error:
            self.rejections.add(_kind(message.topic), f"{message.topic[:128]}: {error}")
            return None

    def connection_made(self) -> None:
        """Marks everything as doubtful until it is heard again: the broker was away."""
        for record in self.nodes.values():
            record.confirmed = False
            self.dirty.add(record)
        self._doubted_stacks = set(self.stacks)
        self._doubted_installs = set(self.install_stacks)

    def recall(self, events: Iterable[Event]) -> None:
        """Adds lines of history that were published before we listened, or missed."""
        known = {event.seq for event in self.events}
        missing = [event for event in events if event.seq not in known]
        if not missing:
            return
        together = sorted((*self.events, *missing), key=lambda event: event.seq)
        self.events.clear()
        self.events.extend(together)
        self.new_events.extend(missing)

    def drop_unconfirmed(self) -> None:
        """Forgets what was not heard again since the broker came back."""
        for record in list(self.nodes.values()):
            if not record.confirmed:
                self._remove(record)
        for stack in tuple(self._doubted_stacks):
            self._stack(stack, b"")
        for stack in tuple(self._doubted_installs):
            self._install_stack(stack, b"")

    def _route(self, message: Message, now: float) -> Reply | None:
        match self.topics.parse(message.topic):
            case NodeTopic(node=node, leaf=leaf):
                self._node(node, leaf, message, now)
            case StackTopic(stack=stack):
                self._stack(stack, message.payload)
            case InstallStackTopic(stack=stack):
                self._install_stack(stack, message.payload)
            case FixedTopic(which=which):
                self._fixed(which, message)
            case ReplyTopic() if not message.retain:
                return self._decoded(message.payload, Reply)
            case ReplyTopic() | CommandTopic():
                pass
        return None

    def _decoded(self, payload: bytes, kind: type[W]) -> W:
        return decode(payload, kind, self.rejections.value)

    def _kept(self, payload: bytes, kind: type[W]) -> W | None:
        """Returns a retained message; None where it was cleared."""
        return self._decoded(payload, kind) if payload else None

    def _heartbeat(self, record: Record, message: Message, now: float) -> None:
        if message.retain:
            text = "a heartbeat is never retained: old vitals would look live"
            raise PayloadError(text)
        record.beat = self._decoded(message.payload, Heartbeat)
        record.heard_at = now
        record.confirmed = True
        record.status = Status.ONLINE
        self.dirty.add(record)

    def _node(self, node: str, leaf: NodeLeaf, message: Message, now: float) -> None:
        payload = message.payload
        new = node not in self.nodes
        record = self._record(node)
        match leaf:
            case NodeLeaf.HEARTBEAT:
                self._heartbeat(record, message, now)
            case NodeLeaf.STATUS:
                record.status = _status(payload)
            case NodeLeaf.DETAILS:
                record.details = self._kept(payload, Details)
            case NodeLeaf.STATE:
                record.state = self._kept(payload, NodeState)
            case NodeLeaf.ORDER | NodeLeaf.RESULT:
                return
        record.confirmed = True
        if not payload and record.state is None:
            record.beat = None
        if not record.known:
            self._remove(record)
            return
        self.nodes[node] = record
        self._by_heartbeat[self.topics.node(node, NodeLeaf.HEARTBEAT)] = record
        self.dirty.add(record)
        if new or leaf in {NodeLeaf.DETAILS, NodeLeaf.STATE}:
            self.moved.add(record)

    def _record(self, node: str) -> Record:
        """Returns the node's record, or a new one that is kept once it decodes."""
        record = self.nodes.get(node)
        if record is not None:
            return record
        if len(self.nodes) >= MAX_NODES:
            text = f"node {node!r} is one more than the {MAX_NODES} a page shows"
            raise PayloadError(text)
        self._next_index += 1
        return Record(node, self._next_index)

    def _remove(self, record: Record) -> None:
        self._by_heartbeat.pop(self.topics.node(record.id, NodeLeaf.HEARTBEAT), None)
        if self.nodes.pop(record.id, None) is not None:
            self.gone.add(record.index)
        self.dirty.discard(record)
        self.moved.discard(record)

    def _stack(self, stack: int, payload: bytes) -> None:
        self._doubted_stacks.discard(stack)
        state = self._kept(payload, StackState)
        if state is not None:
            self.stacks[stack] = state
        else:
            self.stacks.pop(stack, None)
        self.stacks_changed.add(stack)

    def _install_stack(self, stack: int, payload: bytes) -> None:
        self._doubted_installs.discard(stack)
        state = self._kept(payload, InstallStack)
        if state is not None:
            self.install_stacks[stack] = state
        else:
            self.install_stacks.pop(stack, None)
        self.installs_changed = True

    def _fixed(self, which: Fixed, message: Message) -> None:
        payload = message.payload
        match which:
            case Fixed.EVENT:
                if payload and not message.retain:
                    event = self._decoded(payload, Event)
                    self.events.append(event)
                    self.new_events.append(event)
            case Fixed.MASTER_STATUS:
                self.master = _status(payload)
            case Fixed.MASTER_DETAILS:
                self.master_details = self._kept(payload, MasterDetails)
            case Fixed.RACK_STATE:
                self.rack = self._kept(payload, RackState)
            case Fixed.INSTALL_STATE:
                self.install = self._kept(payload, InstallState)
                self.install_retained = message.retain


def _status(payload: bytes) -> Status | None:
    """Returns the status; None where it was cleared."""
    try:
        return Status(payload.decode()) if payload else None
    except ValueError as error:
        text = f"status {payload[:32]!r} must be online or offline"
        raise PayloadError(text) from error


def _kind(topic: str) -> str:
    """Returns a word from a closed set for what was refused."""
    last = topic.rpartition("/")[2]
    if last in _KINDS:
        return last
    return "reply" if "/reply/" in topic else "message"
