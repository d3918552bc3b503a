"""What ``pirack events`` asks of the master; pure but for the command's id."""

import argparse
import uuid

from broker.contract.messages import Command
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import Verb
from pirack.ask import Question
from pirack.person import person

DEFAULT_LINES = 50
MANY_LINES = 5_000


def question(
    args: argparse.Namespace, *, limit: int | None = None, before: int = 0
) -> Question:
    """Return what is asked.

    Args:
        args: From the command line.
        limit: Another number of lines than the command line's.
        before: Only lines with a number below this; 0 for all.

    Raises:
        TopicError: The node's name or the stack's number cannot be one.
    """
    limit = limit or args.limit or (MANY_LINES if args.since else DEFAULT_LINES)
    said = {
        "since": args.since,
        "until": args.until,
        "kind": ",".join(args.kind),
        "incident": args.incident,
        "correlation": args.correlation,
        "before": before,
        "limit": limit,
    }
    words = tuple(f"{name}={value}" for name, value in said.items() if value)
    command = Command(id=uuid.uuid4().hex[:16], args=words, by=person())
    return Question(scope=_scope(args), verb=Verb.EVENTS, command=command)


def _scope(args: argparse.Namespace) -> Scope:
    if args.node:
        return Scope(ScopeKind.NODE, args.node)
    if args.stack is not None:
        return Scope(ScopeKind.STACK, str(args.stack))
    return Scope(ScopeKind.RACK)
