"""The line of history about a command: who asked what of whom, and what came of it."""

from broker.contract.messages import EventKind
from broker.contract.topics import ScopeKind
from broker.contract.verbs import Verb
from master_service.commands.effects import Asked
from master_service.power.steps import Action
from master_service.rack.events import Draft
from master_service.rack.registry import Registry

_WAYS = frozenset(each.value for each in Action)


def way(asked: Asked) -> str:
    """Return which way a power command switches; empty for anything else."""
    words = asked.command.args[:1] if asked.verb == Verb.POWER else ()
    return "".join(word for word in words if word in _WAYS)


def line(registry: Registry, asked: Asked, text: str) -> Draft:
    """Return a line; a command to one node or stack is found under it later.

    Args:
        registry: The nodes.
        asked: The command.
        text: What became of it.
    """
    scope = asked.scope
    node = registry.find(scope.name) if scope.kind is ScopeKind.NODE else None
    what = (asked.verb, way(asked))
    by = f" by {asked.command.by}" if asked.command.by else ""
    return Draft(
        kind=EventKind.COMMAND,
        text=f"{' '.join(filter(None, what))} {scope}{by}: {text}",
        node=node.id if node is not None else "",
        stack=int(scope.name) if scope.kind is ScopeKind.STACK else None,
        verb=asked.verb,
        by=asked.command.by,
        correlation=asked.id,
    )
