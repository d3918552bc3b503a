"""The boards of the rack, by id, name, place and tag; pure."""

import difflib
import re
from collections.abc import Iterable

from broker.common.errors import TopicError
from broker.contract.topics import NodeLeaf, Scope, ScopeKind, Topics, check_name
from master_service.rack.node import PingMemory, RackNode
from master_service.rack.records import NodeRecord

BOARD_ID = re.compile(r"pi-[0-9a-f]{8}")
"""The form of the id that a board has from its serial number or address."""
MAX_NODES = 10_000
"""More ids than this are a mistake, or an attack."""

NAMED = 4
"""Most names in a sentence."""


class Registry:
    """The boards of the rack."""

    def __init__(self, topics: Topics) -> None:
        self.nodes: dict[str, RackNode] = {}
        self.by_heartbeat: dict[str, RackNode] = {}
        """Heartbeat topic to node: the one look-up of the hot path."""
        self.tombstones: set[str] = set()
        """Ids that were forgotten; what they still say is ignored."""
        self._forgotten: dict[str, NodeRecord] = {}
        """What was known of them, for when they come back."""
        self._topics = topics
        self._names: dict[str, RackNode] = {}
        self._stacks: dict[int, list[RackNode]] = {}

    def restore(self, records: Iterable[NodeRecord], tombstones: Iterable[str]) -> None:
        """Fills the registry at start.

        Args:
            records: See ``layout.at_start``.
        """
        self.tombstones.update(tombstones)
        for record in records:
            if record.id in self.tombstones:
                self._forgotten[record.id] = record
            else:
                self._admit(record)

    def add(self, node_id: str) -> RackNode:
        """Returns a board; it is known from now on.

        Raises:
            TopicError: It was forgotten, the id is illegal, or there are too many.
        """
        node = self.nodes.get(node_id)
        if node is not None:
            return node
        if node_id in self.tombstones:
            text = f"node {node_id} was forgotten; `forget undo` lets it come back"
            raise TopicError(text)
        if len(self.nodes) >= MAX_NODES:
            text = f"node {node_id[:64]!r} is one too many; {MAX_NODES} are known"
            raise TopicError(text)
        return self._admit(NodeRecord(check_name(node_id, "node"), node_id))

    def find(self, word: str) -> RackNode | None:
        """Returns the board with this id or display name; None if two are meant."""
        by_id, by_name = self.nodes.get(word), self._names.get(word)
        both = by_id is not None and by_name is not None and by_id is not by_name
        return None if both else by_id or by_name

    def nearest(self, word: str) -> str:
        """Returns the name or id most like a word that fits none; empty: none is."""
        words = [*self._names, *self.nodes]
        return next(iter(difflib.get_close_matches(word, words, n=1)), "")

    def in_stack(self, stack: int) -> list[RackNode]:
        """Returns the boards placed in a stack, in no order."""
        return self._stacks.get(stack, [])

    def listed(self, nodes: Iterable[RackNode]) -> str:
        """Names boards in a sentence: ``stack 3 (4 boards), s05n1 and 2 more``."""
        meant = {node.id: node for node in nodes}
        said = []
        for stack in sorted({n.stack for n in meant.values() if n.stack is not None}):
            mates = self.in_stack(stack)
            if len(mates) > 1 and all(mate.id in meant for mate in mates):
                said.append(f"stack {stack} ({len(mates)} boards)")
                for mate in mates:
                    del meant[mate.id]
        said += sorted(node.name for node in meant.values())
        more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
        return ", ".join(said[:NAMED]) + more

    def targets(self, scope: Scope) -> list[RackNode]:
        """Returns the boards of a scope, in the order of their places.

        Raises:
            TopicError: It has none; the text says why and names the nearest.
        """
        match scope.kind:
            case ScopeKind.NODE:
                return [self._named(scope.name)]
            case ScopeKind.STACK:
                found = list(self.in_stack(int(scope.name)))
            case ScopeKind.TAG:
                found = [n for n in self.nodes.values() if scope.name in n.tags]
            case _:
                found = list(self.nodes.values())
        if not found:
            text = f"no node is in {scope}"
            raise TopicError(text)
        return sorted(found, key=_by_place)

    def rename(self, node: RackNode, name: str) -> None:
        """Gives a board a display name.

        Raises:
            TopicError: The name is illegal, another node's name or id, or could become
                the id of a board.
        """
        check_name(name, "name")
        other = self._other(name, node)
        if other:
            text = f"name {name!r} is that of {other}; each may have its own"
            raise TopicError(text)
        if name != node.id and BOARD_ID.fullmatch(name):
            text = f"name {name!r} has the form of a board's id; choose another word"
            raise TopicError(text)
        self._call(node, name)
        node.edited, node.seated = True, False

    def move(self, node: RackNode, stack: int | None, slot: int | None) -> None:
        """Gives a board a place, or none.

        Raises:
            TopicError: Another node is there.
        """
        if stack is not None and slot is not None:
            there = [n for n in self.in_stack(stack) if n.slot == slot]
            if there and there != [node]:
                text = f"{there[0].name} is in stack {stack} slot {slot}; move it first"
                raise TopicError(text)
        self._stand(node, stack, slot)
        node.edited, node.seated = True, False

    def seat(
        self, node: RackNode, name: str, stack: int | None, slot: int | None
    ) -> None:
        """Gives a board the name and the place of a slot, as far as they are free."""
        if not self._other(name, node):
            self._call(node, name)
        taken = stack and [n for n in self.in_stack(stack) if n.slot == slot]
        if taken in (None, [], [node]):
            self._stand(node, stack, slot)
        node.seated = True

    def unseat(self, node: RackNode) -> None:
        """Undoes ``seat``."""
        self._call(node, node.id)
        self._stand(node, None, None)
        node.seated = False

    def retag(self, node: RackNode, tags: Iterable[str]) -> None:
        """Gives a board its tags.

        Raises:
            TopicError: A tag is illegal.
        """
        node.tags = tuple(sorted({check_name(tag, "tag") for tag in tags}))
        node.edited = True

    def forget(self, node: RackNode) -> None:
        """Drops a board; what it says is ignored from now on."""
        self.tombstones.add(node.id)
        self._forgotten[node.id] = self.record(node)
        self.nodes.pop(node.id, None)
        self.by_heartbeat.pop(node.heartbeat_topic, None)
        self._uncall(node)
        self._take_out(node)

    def remembers(self, node_id: str) -> bool:
        """Returns whether it is still known what a forgotten board was."""
        return node_id in self._forgotten

    def unforget(self, node_id: str) -> RackNode:
        """Readmits a forgotten board, with its name and place if they are free.

        Raises:
            TopicError: There are too many.
        """
        self.tombstones.discard(node_id)
        node, old = self.add(node_id), self._forgotten.pop(node_id, None)
        if old is not None:
            self.seat(node, old.name, old.stack, old.slot)
            node.tags, node.boot_s = old.tags, old.boot_s
            node.edited, node.seated = old.edited, old.seated
        return node

    def record(self, node: RackNode) -> NodeRecord:
        """Returns what belongs on disk about a board."""
        return NodeRecord(
            node.id,
            node.name,
            node.stack,
            node.slot,
            node.tags,
            node.known,
            node.boot_s,
            node.edited,
            node.halted_by,
            node.seated,
            node.told,
            node.told_since,
            node.pings.boot,
        )

    def _named(self, word: str) -> RackNode:
        node = self.find(word)
        if node is not None:
            return node
        if word in self.nodes:
            named = self._names[word].id
            text = (
                f"{word!r} is the id of one board and the name of another, {named}; "
                f"give {named} another name first"
            )
            raise TopicError(text)
        if word in self.tombstones:
            text = f"node {word} was forgotten; `forget undo` lets it come back"
            raise TopicError(text)
        near = self.nearest(word)
        hint = f"did you mean {near!r}?" if near else "`pirack node list` shows all"
        text = f"node {word!r} is not known; {hint}"
        raise TopicError(text)

    def _admit(self, record: NodeRecord) -> RackNode:
        node = RackNode(record.id, record.id)
        if not self._other(record.name, node):
            node.name = record.name
        node.stack, node.slot, node.tags = record.stack, record.slot, record.tags
        node.known, node.boot_s = record.known, record.boot_s
        node.edited, node.halted_by = record.edited, record.halted_by
        node.seated = record.seated
        node.told, node.told_since = record.told, record.told_since
        node.pings = PingMemory(record.pinged_boot)
        node.heartbeat_topic = self._topics.node(record.id, NodeLeaf.HEARTBEAT)
        self.nodes[node.id] = node
        self.by_heartbeat[node.heartbeat_topic] = node
        self._names.setdefault(node.name, node)
        self._put_in(node)
        return node

    def _other(self, name: str, node: RackNode) -> str:
        """Returns the id of another board with this id or name; empty: none."""
        if name == node.id:
            return ""
        if name in self.nodes or name in self.tombstones:
            return name
        named = self._names.get(name)
        return "" if named is None or named is node else named.id

    def _call(self, node: RackNode, name: str) -> None:
        self._uncall(node)
        node.name = name
        self._names.setdefault(name, node)

    def _uncall(self, node: RackNode) -> None:
        if self._names.get(node.name) is node:
            del self._names[node.name]

    def _stand(self, node: RackNode, stack: int | None, slot: int | None) -> None:
        self._take_out(node)
        node.stack, node.slot = stack, slot
        self._put_in(node)

    def _put_in(self, node: RackNode) -> None:
        if node.stack is not None:
            self._stacks.setdefault(node.stack, []).append(node)

    def _take_out(self, node: RackNode) -> None:
        if node.stack is not None:
            self._stacks[node.stack].remove(node)


def _by_place(node: RackNode) -> tuple[int, int, str]:
    return node.stack or 10_000, node.slot or 100, node.name
