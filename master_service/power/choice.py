"""What a power command asks, which outlets it means, and who is hit; pure."""

from collections.abc import Collection, Iterable

from broker.contract.topics import Scope, ScopeKind
from master_service.commands.effects import RefusedError
from master_service.commands.run import Row, Run
from master_service.power.steps import Action
from master_service.presence.rack import Rack
from master_service.rack.node import Node
from master_service.rack.outlet_state import Fed

FORCE = "force"
NOWAIT = "nowait"
_USAGE = (
    "write `power on`, `power off`, `power cycle`, the last two also with `force`, or "
    "with `force=<board>` for a board that cannot be asked; `power on nowait` does not "
    "wait for the boards"
)


class Choice:
    """Reads power commands.

    Args:
        rack: The rack.
    """

    def __init__(self, rack: Rack) -> None:
        self._rack = rack

    def action(self, run: Run) -> tuple[Action, bool]:
        """Return what is asked and whether by force.

        Raises:
            RefusedError: It is none of the few things that can be asked.
            TopicError: The board that it names is not known.
        """
        args = run.asked.command.args
        try:
            action = Action(args[0])
        except (IndexError, ValueError):
            text = f"power {' '.join(args)!r} is not known; {_USAGE}"
            raise RefusedError(text) from None
        rest = set(args[1:])
        named = {word for word in rest if word.startswith(f"{FORCE}=")}
        allowed = {NOWAIT} if action is Action.ON else named | {FORCE}
        if rest - allowed:
            text = f"power {' '.join(args)!r} is not known; {_USAGE}"
            raise RefusedError(text)
        slots = {board.name for board in self._rack.found}
        slots |= {one for fed in self.everything() for one in fed.row.nodes}
        for word in named:
            name = word.removeprefix(f"{FORCE}=")
            if name not in slots:
                self._rack.registry.targets(Scope(ScopeKind.NODE, name))
        return action, FORCE in rest

    def outlets(self, scope: Scope) -> list[Fed]:
        """Return the outlets that a scope means.

        Raises:
            RefusedError: There are none, or one also feeds a board outside the scope.
        """
        if scope.kind is ScopeKind.RACK:
            found = self.everything()
        elif scope.kind is ScopeKind.STACK:
            found = self._of_stack(int(scope.name))
        else:
            found = self._of_nodes(scope)
        if not found:
            raise RefusedError(self._unfed(scope))
        return found

    def _unfed(self, scope: Scope) -> str:
        if scope.kind is ScopeKind.STACK and self._unknown(int(scope.name)):
            return (
                f"there is no stack {scope.name}; [rack] stacks or [[stack]] adds one"
            )
        return f"no outlet feeds {scope}; [power] driver or [[outlet]] adds one"

    def _unknown(self, stack: int) -> bool:
        known = stack in self._rack.stacks
        return not known and not self._rack.registry.in_stack(stack)

    def everything(self) -> list[Fed]:
        """Return every outlet, stack by stack."""
        return _sorted(self._rack.panel.outlets.values())

    def hit(self, outlets: list[Fed]) -> list[Node]:
        """Return every node that loses power with some outlets."""
        feeder = self._rack.panel.of_node
        return [n for n in self._rack.registry.nodes.values() if feeder(n) in outlets]

    def _of_stack(self, stack: int) -> list[Fed]:
        nodes = self._rack.registry.in_stack(stack)
        found = {self._rack.panel.of_stack(stack)}
        found |= {self._rack.panel.of_node(node) for node in nodes}
        return _sorted(found)

    def _of_nodes(self, scope: Scope) -> list[Fed]:
        """Return the outlets of single nodes, if they feed nobody else."""
        nodes = self._rack.registry.targets(scope)
        found = _sorted({self._rack.panel.of_node(node) for node in nodes})
        others = [node.name for node in self.hit(found) if node not in nodes]
        if others:
            listed = ", ".join(sorted(others))
            text = f"{listed} would lose power with {scope}; ask for the stack instead"
            raise RefusedError(text)
        return found


def _sorted(found: Iterable[Fed | None]) -> list[Fed]:
    return sorted((fed for fed in found if fed), key=place)


def awaited(run: Run, key: str) -> Node | None:
    """Return the board of a row if switching it on is done only when it came."""
    node = run.rows[key].node
    known = node is not None and node.known
    return node if known and NOWAIT not in run.asked.command.args else None


def given_up(row: Row, args: Collection[str]) -> bool:
    """Whether ``force``, or ``force=<board>``, lets a board be cut without evidence."""
    names = {row.name} if row.node is None else {row.name, row.node.id}
    return FORCE in args or not {f"{FORCE}={name}" for name in names}.isdisjoint(args)


def place(fed: Fed) -> tuple[int, str]:
    """Stack by stack, and then what feeds no whole stack."""
    return fed.row.stack or 10_000, fed.row.name
