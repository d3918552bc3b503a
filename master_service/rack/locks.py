"""Locks: a board or a stack is reserved, by a name, until a time; pure.

A lock is an agreement between people and programs that give their names; who may
publish commands at all is decided by the broker. It stops the destructive commands of
others, the rack's own self-healing included, and what would take a board out of it or
hide it: ``place``, ``name``, ``tag`` and ``forget``.
"""

from collections.abc import Iterable

import msgspec

from broker.contract.messages import Lock
from broker.contract.messages.codec import LATEST
from broker.contract.topics import Scope, ScopeKind
from master_service.rack.node import RackNode
from master_service.rack.times import clock

LONGEST_S = 30 * 86_400.0
"""A lock is for at most so long, seconds."""


class Locks:
    """Every lock, by what it reserves."""

    def __init__(self, saved: Iterable[Lock] = ()) -> None:
        self._held = {lock.scope: lock for lock in saved}
        self.run = ""
        """Id of the install run under way; empty: none."""
        self.of_run: frozenset[int] = frozenset()
        """Stacks that an install run has reserved until it is over."""

    def at(self, scope: str) -> Lock | None:
        """Returns the lock on exactly this node or stack."""
        return self._held.get(scope)

    def of_node(self, node: RackNode) -> Lock | None:
        """Returns the lock that holds a board: its own, else its stack's."""
        own = self._held.get(node_scope(node.id))
        return own or (None if node.stack is None else self.of_stack(node.stack))

    def of_stack(self, stack: int) -> Lock | None:
        """Returns the lock on a stack as a whole."""
        return self._held.get(stack_scope(stack))

    def against(self, node: RackNode, by: str) -> str:
        """Returns why ``by`` must not interrupt a board; empty: he may."""
        if node.stack in self.of_run:
            return self._taken(node.name, by)
        return self.against_change(node, by)

    def against_change(self, node: RackNode, by: str) -> str:
        """Returns why ``by`` must not rename or tag a board; empty: he may."""
        lock = self.of_node(node)
        return "" if lock is None or own(lock, by) else held(lock, node.name)

    def against_stack(self, stack: int, by: str) -> str:
        """Returns why ``by`` must not switch a stack; empty: its own lock allows it."""
        if stack in self.of_run:
            return self._taken(f"stack {stack}", by)
        lock = self.of_stack(stack)
        return "" if lock is None or own(lock, by) else held(lock, f"stack {stack}")

    def give_run(self, run: str, stacks: Iterable[int]) -> None:
        """Reserves stacks for an install run, also locked ones: their owner was asked.

        Args:
            run: Its id, the name under which it switches; empty: the run is over.
        """
        self.run, self.of_run = run, frozenset(stacks if run else ())

    def by_run(self, stacks: Iterable[int], by: str) -> str:
        """Returns which stack an install run has; empty: none, or it asks itself."""
        theirs = sorted(self.of_run.intersection(stacks))
        return self._taken(f"stack {theirs[0]}", by) if theirs else ""

    def posing(self, by: str) -> str:
        """Returns that a command pretends to be of the install run; empty: it does not.

        Args:
            by: Who a command from outside says it is by.
        """
        if not by or by != self.run:
            return ""
        return f"by={by} is the id of the install run under way; give your own name"

    def take(self, lock: Lock) -> None:
        """Adds a lock, in the place of one on the same."""
        self._held[lock.scope] = lock

    def release(self, scope: str) -> None:
        """Removes a lock, if there is one."""
        self._held.pop(scope, None)

    def over(self, wall: float) -> list[Lock]:
        """Removes and returns the locks whose time is over."""
        ended = [lock for lock in self._held.values() if lock.until <= wall]
        for lock in ended:
            self.release(lock.scope)
        return ended

    def clock_set(self, step_s: float) -> list[Lock]:
        """Moves the end of each lock with the clock: a lock is for a span of time."""
        moved = (
            msgspec.structs.replace(lock, until=_moment(lock.until + step_s))
            for lock in self._held.values()
        )
        self._held = {lock.scope: lock for lock in moved}
        return self.all()

    def all(self) -> list[Lock]:
        """Returns every lock."""
        return list(self._held.values())

    def _taken(self, name: str, by: str) -> str:
        if by == self.run:
            return ""
        return f"{name} is reserved by {self.run}, the install run under way"


def restored(
    lock: Lock, left_s: float | None, wall: float, *, clock_synced: bool
) -> Lock:
    """Returns a lock from disk with the end that it has by the clock of now.

    Args:
        left_s: How much of it was left when it was written, seconds; None: an older
            release wrote it.
    """
    most_s = LONGEST_S if left_s is None else min(left_s, LONGEST_S)
    by_clock_s = min(max(lock.until - wall, 0.0), most_s)
    known = clock_synced or left_s is None
    rest_s = by_clock_s if known else most_s
    until = _moment(wall + rest_s)
    return Lock(scope=lock.scope, by=lock.by, until=until, reason=lock.reason)


def _moment(ts: float) -> float:
    return min(max(ts, 0.0), float(LATEST))


def own(lock: Lock, by: str) -> bool:
    """Returns whether a lock is one's own."""
    return bool(by) and lock.by == by


def held(lock: Lock, name: str) -> str:
    """Returns who holds something, until when and why.

    Args:
        name: What people call what it stops.
    """
    kind, _, stack = lock.scope.partition("/")
    what = f"{name}, in stack {stack}," if kind == ScopeKind.STACK else name
    if what.startswith(f"stack {stack},"):
        what = name
    why = f" ({lock.reason})" if lock.reason else ""
    return f"{what} is locked by {lock.by} until {clock(lock.until)}{why}"


def node_scope(node_id: str) -> str:
    """Returns the scope of a lock on a board."""
    return str(Scope(ScopeKind.NODE, node_id))


def stack_scope(stack: int) -> str:
    """Returns the scope of a lock on a stack."""
    return str(Scope(ScopeKind.STACK, str(stack)))


def locked_stack(scope: str) -> int | None:
    """Returns the stack that a lock holds; None where it holds a board."""
    kind, _, name = scope.partition("/")
    return int(name) if kind == ScopeKind.STACK else None
