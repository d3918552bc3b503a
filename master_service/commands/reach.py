"""Whether a node can be asked at all, and whether it can do what is asked; pure."""

import difflib

from broker.contract.messages import Phase, Status, TargetRow, Verdict
from broker.contract.verbs import DESTRUCTIVE, Verb
from master_service.commands.effects import Asked, RefusedError
from master_service.rack.node import Node
from master_service.rack.times import clock

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
    return f"offline since {clock(node.since)}: {node.verdict}, {node.reason}"


def inability(node: Node, verb: str, args: tuple[str, ...]) -> str:
    """Says why a node cannot do what is asked; empty if it can, or said nothing yet.

    What a node does not know yet of itself is tried: "not known" is not "cannot".
    """
    wanted = _wanted(verb, args)
    if node.details is not None and wanted in node.details.unprobed:
        return ""
    if not node.abilities or wanted in node.abilities or wanted in _BUILT_IN:
        return ""
    why = _why(node, wanted)
    return f"it cannot {wanted!r}: {why}" if why else f"it cannot {wanted!r}"


def doing(node: Node) -> str:
    """Say what is under way with a node; empty if nothing is."""
    running = node.running
    if running is not None:
        by = f" by {running.by}" if running.by else ""
        return f"busy: {running.verb}{by} is {running.phase} (id {running.id})"
    return "" if node.pending is None else f"busy: {node.reason}"


def interrupted(node: Node) -> str:
    """Say what is under way that takes a node away for a time; empty if nothing is."""
    running = node.running
    taken = running is not None and running.verb in DESTRUCTIVE
    return doing(node) if taken or node.pending is not None else ""


def require_able(asked: Asked, nodes: list[Node]) -> None:
    """Refuse at once what nobody of those asked can do.

    Raises:
        RefusedError: Nobody can; the text says once what they can, each row only why.
    """
    unable = {
        node.id: inability(node, asked.verb, asked.command.args) for node in nodes
    }
    rest = [node for node in nodes if not unable[node.id]]
    if len(rest) == len(nodes) or any(n.abilities or reachable(n) for n in rest):
        return
    wanted = _wanted(asked.verb, asked.command.args)
    rows = (_row(node, unable[node.id]) for node in nodes)
    raise RefusedError(_nobody(wanted, nodes), rows)


def _wanted(verb: str, args: tuple[str, ...]) -> str:
    return args[0] if verb == Verb.RUN and args else verb


def _why(node: Node, wanted: str) -> str:
    return node.details.unable.get(wanted, "") if node.details is not None else ""


def _row(node: Node, unable: str) -> TargetRow:
    """Return the row of a node that is not asked; one never heard may yet be able."""
    phase = Phase.REFUSED if unable else Phase.NOT_DELIVERED
    error = unable or absence(node)
    return TargetRow(node=node.id, name=node.name, phase=phase, error=error)


def _nobody(wanted: str, nodes: list[Node]) -> str:
    """Say once what holds for all of them, and what would be right."""
    who = f"none of {len(nodes)} boards can" if len(nodes) > 1 else "it cannot"
    reasons = {_why(node, wanted) for node in nodes if node.abilities}
    if len(reasons) == 1 and "" not in reasons:
        return f"{who} {wanted!r}: {reasons.pop()}"
    known = sorted({verb for node in nodes for verb in node.abilities})
    verbs = [*known, *(verb.value for verb in Verb)]  # of the master's own, too
    near = difflib.get_close_matches(wanted, verbs, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{who} {wanted!r}; {meant}it can: {', '.join(known)}"
