"""Whether a node can be asked, what it can do, and what it is busy with; pure."""

from broker.contract.messages import Status, Verdict
from broker.contract.verbs import DESTRUCTIVE, Verb
from master_service.rack.node import RackNode
from master_service.rack.times import clock

_MAYBE = frozenset({Verdict.LATE, Verdict.UNKNOWN, Verdict.REBOOTING, Verdict.STOPPING})
_BUILT_IN = (Verb.PING, Verb.REFRESH, Verb.RUN)


def reachable(node: RackNode) -> bool:
    """Returns whether an order has a chance to be heard."""
    if node.verdict is Verdict.ONLINE:
        return True
    return node.verdict in _MAYBE and node.status is Status.ONLINE


def absence(node: RackNode) -> str:
    """Returns since when and why a node cannot be asked."""
    if node.verdict is Verdict.UNSEEN:
        return "never heard"
    return f"offline since {clock(node.since)}: {node.verdict}, {node.reason}"


def inability(node: RackNode, verb: str, args: tuple[str, ...]) -> str:
    """Returns why a node cannot do what is asked; empty if it can, or said nothing yet.

    What a node does not know yet of itself is tried: "not known" is not "cannot".
    """
    wanted = wanted_ability(verb, args)
    if node.details is not None and wanted in node.details.unprobed:
        return ""
    if not node.abilities or wanted in node.abilities or wanted in _BUILT_IN:
        return ""
    why = unable_because(node, wanted)
    return f"it cannot {wanted!r}: {why}" if why else f"it cannot {wanted!r}"


def busy_with(node: RackNode) -> str:
    """Returns what is under way with a node; empty if nothing is."""
    running = node.running
    if running is not None:
        by = f" by {running.by}" if running.by else ""
        return f"busy: {running.verb}{by} is {running.phase} (id {running.id})"
    return "" if node.pending is None else f"busy: {node.reason}"


def interrupted_by(node: RackNode) -> str:
    """Returns what takes a node away for a time; empty if nothing does."""
    running = node.running
    taken = running is not None and running.verb in DESTRUCTIVE
    return busy_with(node) if taken or node.pending is not None else ""


def wanted_ability(verb: str, args: tuple[str, ...]) -> str:
    """Returns the ability that a verb needs: of ``run``, its alias."""
    return args[0] if verb == Verb.RUN and args else verb


def unable_because(node: RackNode, wanted: str) -> str:
    """Returns why a node says that it cannot do something; empty if it does not say."""
    return node.details.unable.get(wanted, "") if node.details is not None else ""
