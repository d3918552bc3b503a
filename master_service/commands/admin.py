"""Commands about the registry itself: name, place, tag and forget; pure."""

from collections.abc import Iterable

from broker.common.errors import TopicError
from broker.contract.messages import Order, Phase
from broker.contract.topics import NodeLeaf, ScopeKind, stack_number
from broker.contract.verbs import Verb
from master_service.commands.lock_command import require_unlocked
from master_service.presence.availability import interrupted_by
from master_service.presence.rack import Rack
from master_service.rack.command import CommandRefusedError
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.effects import (
    ClearTopics,
    Commit,
    Effects,
    Persist,
    SendOrder,
)
from master_service.rack.node import RackNode
from master_service.rack.records import Tombstone
from master_service.rack.settings import MAX_TAGS
from master_service.rack.times import Moment

VERBS = frozenset({Verb.NAME, Verb.PLACE, Verb.TAG, Verb.FORGET})
_ONE_ONLY = frozenset({Verb.NAME, Verb.PLACE})
_NOT_MEANWHILE = frozenset({Verb.FORGET, Verb.PLACE})
"""A board that leaves its outlet, or the rack, would never be proven down or back."""
_NOWHERE = "none"
_UNDO = "undo"
_NEW = "new"
BACK = "it is heard again; its details come when it connects, or with `refresh`"
EXPECTED = "it is in the rack now; it was never heard"
FORGOTTEN_FOR_GOOD = (
    "what was known of it is not kept any more: give it its name and place again"
)


class Admin:
    """Carries out commands about the registry."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._registry = rack.registry

    def begin(self, run: CommandRun, nodes: list[RackNode], at: Moment) -> Effects:
        """Carries a command out for every target; all of it is over at once.

        Raises:
            CommandRefusedError: It makes no sense for so many targets.
        """
        verb = run.verb
        if verb in _ONE_ONLY and len(nodes) > 1:
            text = f"{verb} is for one node; {run.asked.scope} has {len(nodes)}"
            raise CommandRefusedError(text)
        effects: Effects = []
        for node in nodes:
            run.add(node.id, CommandRow(node, node.name, at.now, at.now))
            try:
                self._require(run, node)
                done = self._do(verb, node, run.asked.command.args)
            except (TopicError, CommandRefusedError) as error:
                run.end(node.id, Phase.REFUSED, at.now, error=str(error))
                continue
            effects += done
            run.rows[node.id].name = node.name
            run.rows[node.id].text = _cleared(done)
            run.end(node.id, Phase.DONE, at.now, verified=True)
        return [*effects, Commit(run.id)] if effects else []

    def _require(self, run: CommandRun, node: RackNode) -> None:
        """Refuses to change a board that somebody else has reserved.

        Its place and name are what a lock holds it by, and tags are what commands find
        it by. An install run refuses only what takes a board away.

        Raises:
            CommandRefusedError: It is locked by another.
        """
        asked = run.asked
        if run.destructive or asked.verb == Verb.PLACE:
            goal = None if run.destructive else self._slot(asked.command.args)
            require_unlocked(self._rack, asked, [node], [goal[0]] if goal else [])
        elif why := self._rack.locks.against_change(node, asked.command.by):
            text = f"{why}; ask there, or `unlock force`"
            raise CommandRefusedError(text)

    def undo_forget(self, run: CommandRun, at: Moment) -> Effects:
        """Lets a forgotten node come back, or admits one that was never heard.

        Raises:
            CommandRefusedError: It was never forgotten, or it is there already.
        """
        node_id = run.asked.scope.name
        forgotten = node_id in self._registry.tombstones
        if run.asked.scope.kind is not ScopeKind.NODE or not (
            forgotten or self._is_new(run)
        ):
            text = f"{run.asked.scope} was not forgotten, so there is nothing to undo"
            raise CommandRefusedError(text)
        remembered = self._registry.remembers(node_id)
        text = BACK if remembered else f"{BACK}; {FORGOTTEN_FOR_GOOD}"
        if not forgotten:
            text = EXPECTED
        node = self._registry.unforget(node_id)
        self._rack.outbox.changed.add(node_id)
        run.add_done(node_id, CommandRow(node, node.name, at.now, at.now), text)
        return [
            Persist(Tombstone(node_id, lifted=True)),
            Persist(self._registry.record(node)),
            Commit(run.id),
            # What it had stored was cleared: it has to say it again.
            SendOrder(node_id, Order(id=run.id, verb=Verb.REFRESH)),
        ]

    def wants_undo(self, run: CommandRun) -> bool:
        """Returns whether a command undoes a ``forget``."""
        undo = ((_UNDO,), (_UNDO, _NEW))
        return run.verb == Verb.FORGET and run.asked.command.args in undo

    def _is_new(self, run: CommandRun) -> bool:
        """Returns whether a node is to be admitted that no other is called like."""
        asked = run.asked
        return _NEW in asked.command.args and (
            self._registry.find(asked.scope.name) is None
            and asked.scope.name not in self._registry.nodes
        )

    def _do(self, verb: str, node: RackNode, args: tuple[str, ...]) -> Effects:
        if verb in _NOT_MEANWHILE and (why := interrupted_by(node)):
            text = f"{why}; wait for its end, or `cancel` it"
            raise CommandRefusedError(text)
        if verb == Verb.FORGET:
            return self._forget(node, args)
        if verb == Verb.NAME:
            self._registry.rename(node, _one(args, "name <new name>"))
        elif verb == Verb.PLACE:
            self._place(node, args)
        else:
            self._registry.retag(node, _tags(node, args))
        self._rack.outbox.changed.add(node.id)
        return [Persist(self._registry.record(node))]

    def _place(self, node: RackNode, args: tuple[str, ...]) -> None:
        slot = self._slot(args)
        stack, position = slot or (None, None)
        self._registry.move(node, stack, position)

    def _slot(self, args: tuple[str, ...]) -> tuple[int, int] | None:
        """Returns the stack and slot that ``place`` names; None for ``none``.

        Raises:
            CommandRefusedError: There is no such slot.
            TopicError: There is no such stack.
        """
        if args == (_NOWHERE,):
            return None
        words = args[0].split("/") if len(args) == 1 else list(args)
        if len(words) != 2 or not words[1].isdecimal():  # noqa: PLR2004  # stack and slot
            text = f"place {' '.join(args)!r}: write `<stack> <slot>`, `3/2` or `none`"
            raise CommandRefusedError(text)
        stack, slot = stack_number(words[0]), int(words[1])
        slots = self._rack.stack(stack).slots
        if not 1 <= slot <= slots:
            text = f"slot {slot} is not in stack {stack}; it has 1 to {slots}"
            raise CommandRefusedError(text)
        return stack, slot

    def _forget(self, node: RackNode, args: tuple[str, ...]) -> Effects:
        if args:
            text = f"forget {' '.join(args)!r}: write nothing, or `undo`"
            raise CommandRefusedError(text)
        self._rack.tracker.forget(node)
        self._registry.forget(node)
        self._rack.outbox.changed.discard(node.id)
        topics = retained_topics(self._rack, node.id)
        return [Persist(Tombstone(node.id)), ClearTopics(topics)]


def retained_topics(rack: Rack, node_id: str) -> tuple[str, ...]:
    """Returns every topic a node has something stored on.

    Status first: a program that reads it alone must not see a ghost. On its other
    topics nothing is stored, or it was cleared when it came; a clearing would be taken
    there for a heartbeat, an order or a result without content.
    """
    leaves = (NodeLeaf.STATUS, NodeLeaf.DETAILS, NodeLeaf.STATE)
    return tuple(rack.topics.node(node_id, leaf) for leaf in leaves)


def _cleared(effects: Effects) -> str:
    """Lists the topics that are cleared, one a line."""
    cleared = [one.topics for one in effects if isinstance(one, ClearTopics)]
    return "\n".join(topic for topics in cleared for topic in topics)


def _one(args: tuple[str, ...], usage: str) -> str:
    if len(args) != 1:
        text = f"{len(args)} words given; write `{usage}`"
        raise CommandRefusedError(text)
    return args[0]


def _tags(node: RackNode, args: Iterable[str]) -> set[str]:
    """Returns the tags after adding ``word`` or ``+word`` and taking ``-word`` away."""
    words = list(args)
    if not words:
        text = "no tag given; write `tag web -spare` to add web and remove spare"
        raise CommandRefusedError(text)
    tags = set(node.tags)
    for word in words:
        if word.startswith("-"):
            tags.discard(word[1:])
        else:
            tags.add(word.removeprefix("+"))
    if len(tags) > MAX_TAGS:
        text = f"{len(tags)} tags are too many; a node has at most {MAX_TAGS}"
        raise CommandRefusedError(text)
    return tags
