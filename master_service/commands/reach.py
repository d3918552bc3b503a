"""Whether a node can be asked at all, and whether it can do what is asked; pure."""

import difflib
from datetime import UTC, datetime

from broker.messages import Status, Verdict
from broker.verbs import Verb
from master_service.node import Node

_MAYBE = frozenset({Verdict.LATE, Verdict.UNKNOWN, Verdict.REBOOTING, Verdict.STOPPING})
_BUILT_IN = (Verb.PING, Verb.REFRESH, Verb.RUN)


def reachable(node: Node) -> bool:
    """Whether an order has a chance to be heard."""
    if node.verdict is Verdict.ONLINE:
        return True
    return node.verdict in _MAYBE and node.status is Status.ONLINE


def absence(node: Node) -> str:
    """Say since when and why a node cannot be asked."""
    if node.verdict is Verdict.UNSEEN:
        return "never heard"
    when = datetime.fromtimestamp(node.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"offline since {when}: {node.verdict}, {node.reason}"


def inability(node: Node, verb: str, args: tuple[str, ...]) -> str:
    """Say why a node cannot do what is asked; empty if it can, or said nothing yet."""
    known = node.abilities
    wanted = args[0] if verb == Verb.RUN and args else verb
    if not known or wanted in known or wanted in _BUILT_IN:
        return ""
    why = node.details.unable.get(wanted) if node.details is not None else None
    if why:
        return f"it cannot {wanted!r}: {why}"
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"it cannot {wanted!r}; {hint}it can: {', '.join(known)}"
