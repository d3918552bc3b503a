"""What a power command asks, which outlets it means, and who loses power; pure."""

from collections.abc import Collection, Iterable

from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import PowerAction
from master_service.presence.rack import Rack
from master_service.rack.command import CommandRefusedError
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.node import RackNode
from master_service.rack.outlet_state import OutletState

FORCE = "force"
NOWAIT = "nowait"
_USAGE = (
    "write `power on`, `power off`, `power cycle`, the last two also with `force`, or "
    "with `force=<board>` for a board that cannot be asked; `power on nowait` does not "
    "wait for the boards"
)


def requested(rack: Rack, args: tuple[str, ...]) -> tuple[PowerAction, bool]:
    """Returns what the words of a power command ask, and whether by force.

    Raises:
        CommandRefusedError: It is none of the few things that can be asked.
        TopicError: The board that it names is not known.
    """
    try:
        action = PowerAction(args[0])
    except (IndexError, ValueError):
        raise _unknown_words(args) from None
    rest = set(args[1:])
    named = {word for word in rest if word.startswith(f"{FORCE}=")}
    allowed = {NOWAIT} if action is PowerAction.ON else named | {FORCE}
    if rest - allowed:
        raise _unknown_words(args)
    slots = {board.name for board in rack.found}
    slots |= {one for outlet in all_outlets(rack) for one in outlet.row.nodes}
    for word in named:
        name = word.removeprefix(f"{FORCE}=")
        if name not in slots:
            rack.registry.targets(Scope(ScopeKind.NODE, name))
    return action, FORCE in rest


def outlets_of(rack: Rack, scope: Scope) -> list[OutletState]:
    """Returns the outlets that a scope means.

    Raises:
        CommandRefusedError: There are none, or one also feeds a board outside the
            scope.
    """
    if scope.kind is ScopeKind.RACK:
        found = all_outlets(rack)
    elif scope.kind is ScopeKind.STACK:
        found = _of_stack(rack, int(scope.name))
    else:
        found = _of_nodes(rack, scope)
    if not found:
        raise CommandRefusedError(_unfed(rack, scope))
    return found


def all_outlets(rack: Rack) -> list[OutletState]:
    """Returns every outlet, stack by stack."""
    return _sorted(rack.panel.outlets.values())


def fed_by(rack: Rack, outlets: list[OutletState]) -> list[RackNode]:
    """Returns every node that loses power with some outlets."""
    feeder = rack.panel.of_node
    return [n for n in rack.registry.nodes.values() if feeder(n) in outlets]


def awaited(run: CommandRun, key: str) -> RackNode | None:
    """Returns the board of a row if switching it on is done only when it came."""
    node = run.rows[key].node
    known = node is not None and node.known
    return node if known and NOWAIT not in run.asked.command.args else None


def given_up(row: CommandRow, args: Collection[str]) -> bool:
    """Returns whether ``force`` or ``force=<board>`` cuts a board without evidence."""
    names = {row.name} if row.node is None else {row.name, row.node.id}
    return FORCE in args or not {f"{FORCE}={name}" for name in names}.isdisjoint(args)


def place(outlet: OutletState) -> tuple[int, str]:
    """Returns where an outlet sorts: by stack, then what feeds no whole stack."""
    return outlet.row.stack or 10_000, outlet.row.name


def _unknown_words(args: tuple[str, ...]) -> CommandRefusedError:
    text = f"power {' '.join(args)!r} is not known; {_USAGE}"
    return CommandRefusedError(text)


def _unfed(rack: Rack, scope: Scope) -> str:
    if scope.kind is ScopeKind.STACK:
        stack = int(scope.name)
        if stack not in rack.stacks and not rack.registry.in_stack(stack):
            return f"there is no stack {stack}; [rack] stacks or [[stack]] adds one"
    return f"no outlet feeds {scope}; [power] driver or [[outlet]] adds one"


def _of_stack(rack: Rack, stack: int) -> list[OutletState]:
    nodes = rack.registry.in_stack(stack)
    found = {rack.panel.of_stack(stack)}
    found |= {rack.panel.of_node(node) for node in nodes}
    return _sorted(found)


def _of_nodes(rack: Rack, scope: Scope) -> list[OutletState]:
    """Returns the outlets of single nodes, if they feed no other."""
    nodes = rack.registry.targets(scope)
    found = _sorted({rack.panel.of_node(node) for node in nodes})
    others = [node.name for node in fed_by(rack, found) if node not in nodes]
    if others:
        listed = ", ".join(sorted(others))
        text = f"{listed} would lose power with {scope}; ask for the stack instead"
        raise CommandRefusedError(text)
    return found


def _sorted(found: Iterable[OutletState | None]) -> list[OutletState]:
    return sorted((outlet for outlet in found if outlet), key=place)
