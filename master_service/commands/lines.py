"""The line of history about a command: who asked what of whom, and what came of it."""

from broker.messages import EventKind
from broker.topics import ScopeKind
from master_service.commands.effects import Asked
from master_service.events import Draft
from master_service.registry import Registry


def line(registry: Registry, asked: Asked, text: str) -> Draft:
    """Return a line; a command to one node or stack is found under it later.

    Args:
        registry: The nodes.
        asked: The command.
        text: What became of it.
    """
    scope = asked.scope
    node = registry.find(scope.name) if scope.kind is ScopeKind.NODE else None
    by = f" by {asked.command.by}" if asked.command.by else ""
    return Draft(
        kind=EventKind.COMMAND,
        text=f"{asked.verb} {scope}{by}: {text}",
        node=node.id if node is not None else "",
        stack=int(scope.name) if scope.kind is ScopeKind.STACK else None,
        verb=asked.verb,
        by=asked.command.by,
        correlation=asked.id,
    )
