"""``lock`` and ``unlock``: a node or a stack for somebody, for a time; pure."""

from broker.contract.messages import EventKind, Lock, Phase, TargetRow
from broker.contract.topics import ScopeKind
from broker.contract.verbs import Verb
from master_service.presence.rack import Rack
from master_service.rack.command import AskedCommand, CommandRefusedError
from master_service.rack.effects import Commit, Effects, Persist, SendReply
from master_service.rack.locks import (
    LONGEST_S,
    held,
    locked_stack,
    node_scope,
    own,
    stack_scope,
)
from master_service.rack.node import RackNode
from master_service.rack.records import LockEnd
from master_service.rack.times import Moment, SpanError, clock, seconds

FORCE = "force"
_USAGE = "write `lock 2h <why>`: at most 30d"


class LockCommands:
    """Carries out ``lock`` and ``unlock``."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._locks = rack.locks

    def begin(self, asked: AskedCommand) -> Effects:
        """Locks or unlocks; it is over at once.

        Raises:
            CommandRefusedError: Somebody else holds it, or it makes no sense.
            TopicError: The scope means no board.
        """
        scope, name, nodes = self._what(asked)
        if asked.verb == Verb.LOCK:
            lock = self._lock(asked, scope, name, nodes)
            self._locks.take(lock)
            kept: Effects = [Persist(lock), Commit(asked.id)]
            said = held(lock, name)
        else:
            said = self._unlock(asked, scope, name, nodes)
            kept = [Persist(LockEnd(scope)), Commit(asked.id)]
        self._rack.outbox.changed.update(node.id for node in nodes)
        self._rack.outbox.drafts.append(asked.history_line(self._rack.registry, said))
        return [*kept, _answer(asked, name, said, nodes)]

    def tick(self, at: Moment) -> Effects:
        """Ends the locks whose time is over."""
        effects: Effects = []
        for lock in self._locks.over(at.wall):
            nodes = self._nodes(lock.scope)
            self._rack.outbox.changed.update(node.id for node in nodes)
            name = nodes[0].name if _is_node(lock.scope) and nodes else lock.scope
            text = f"the lock of {lock.by} on {name} is over"
            node = nodes[0].id if _is_node(lock.scope) and nodes else ""
            stack = locked_stack(lock.scope)
            self._rack.outbox.note(EventKind.COMMAND, text, node, stack=stack)
            effects.append(Persist(LockEnd(lock.scope)))
        return effects

    def _what(self, asked: AskedCommand) -> tuple[str, str, list[RackNode]]:
        """Returns what is meant: its scope, its name, and the nodes it holds."""
        scope = asked.scope
        if scope.kind is ScopeKind.NODE:
            (node,) = self._rack.registry.targets(scope)
            return node_scope(node.id), node.name, [node]
        if scope.kind is not ScopeKind.STACK:
            text = f"{asked.verb} is for a node or a stack, not for {scope}"
            raise CommandRefusedError(text)
        stack = self._rack.stack(int(scope.name)).number
        nodes = list(self._rack.registry.in_stack(stack))
        return stack_scope(stack), f"stack {stack}", nodes

    def _lock(
        self, asked: AskedCommand, scope: str, name: str, nodes: list[RackNode]
    ) -> Lock:
        by, args = asked.command.by, asked.command.args
        if not by:
            text = "a lock needs a name: add by=<who>, or the field `by` in JSON"
            raise CommandRefusedError(text)
        standing = self._locks.at(scope)
        if standing is not None and not own(standing, by):
            raise CommandRefusedError(held(standing, name))
        for node in nodes:
            if obstacle := self._locks.against(node, by):
                raise CommandRefusedError(obstacle)
        try:
            span_s = seconds(args[0] if args else "")
        except SpanError as error:
            text = f"{error}; {_USAGE}"
            raise CommandRefusedError(text) from error
        if not 0 < span_s <= LONGEST_S:
            text = f"lock {args[0]!r} is not between 1s and 30d; {_USAGE}"
            raise CommandRefusedError(text)
        reason = " ".join(args[1:])[:256]
        return Lock(scope=scope, by=by, until=asked.at.wall + span_s, reason=reason)

    def _unlock(
        self, asked: AskedCommand, scope: str, name: str, nodes: list[RackNode]
    ) -> str:
        by, args = asked.command.by, asked.command.args
        if args not in {(), (FORCE,)}:
            text = f"unlock {' '.join(args)!r}: write nothing, or `force`"
            raise CommandRefusedError(text)
        lock = self._locks.at(scope)
        if lock is None:
            found = (self._locks.of_node(node) for node in nodes)
            others = sorted({one.scope for one in found if one is not None})
            hint = f"; {', '.join(others)} is" if others else ""
            text = f"{name} is not locked{hint}"
            raise CommandRefusedError(text)
        if not own(lock, by) and not args:
            text = f"{held(lock, name)}; `unlock force` takes it away all the same"
            raise CommandRefusedError(text)
        self._locks.release(scope)
        return f"{name} was locked by {lock.by} until {clock(lock.until)}; it is free"

    def _nodes(self, scope: str) -> list[RackNode]:
        _, _, name = scope.partition("/")
        if not _is_node(scope):
            return list(self._rack.registry.in_stack(int(name)))
        node = self._rack.registry.nodes.get(name)
        return [] if node is None else [node]


def require_unlocked(
    rack: Rack, asked: AskedCommand, nodes: list[RackNode], stacks: list[int]
) -> None:
    """Refuses to hit boards or stacks that somebody else has reserved.

    Args:
        nodes: Every board that would be hit, also those that were not named.
        stacks: Every stack that would be switched.

    Raises:
        CommandRefusedError: One is locked by another; the text names owner and expiry.
    """
    by = asked.command.by
    numbers = [*stacks, *(node.stack for node in nodes if node.stack is not None)]
    if obstacle := rack.locks.by_run(numbers, by):
        text = f"{obstacle}; wait for its end, or `install cancel`"
        raise CommandRefusedError(text)
    said = [rack.locks.against_stack(stack, by) for stack in stacks]
    said += [rack.locks.against(node, by) for node in nodes]
    why = next(filter(None, said), "")
    if why:
        text = f"{why}; ask there, or `unlock force`"
        raise CommandRefusedError(text)


def _is_node(scope: str) -> bool:
    return scope.startswith(f"{ScopeKind.NODE}/")


def _answer(
    asked: AskedCommand, name: str, said: str, nodes: list[RackNode]
) -> SendReply:
    node = nodes[0].id if asked.scope.kind is ScopeKind.NODE else ""
    row = TargetRow(node=node, name=name, phase=Phase.DONE, verified=True, stdout=said)
    reply = asked.reply(Phase.DONE, ok=True, targets=(row,), verified=True)
    return SendReply(reply, asked.route)
