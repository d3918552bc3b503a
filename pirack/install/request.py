"""What ``pirack install`` asks of the master; pure but for the command's id."""

import argparse
import enum
import uuid

from broker.common.errors import PiRackError
from broker.contract.messages import Command
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import Verb
from pirack.ask import Question
from pirack.person import person
from provisioning.run.state import Leave


class Action(enum.StrEnum):
    """What a person wants."""

    START = "start"
    STATUS = "status"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    SWAP = "swap"
    UNDO = "undo"


SLOTS = 2
RACK = Scope(ScopeKind.RACK)


class UsageError(PiRackError):
    """The options contradict each other; the text says what would be right."""


def require(args: argparse.Namespace, *, terminal: bool) -> None:
    """See that the options make sense together.

    Args:
        args: From the command line.
        terminal: Whether somebody is there to be asked.

    Raises:
        UsageError: They do not.
    """
    for option in ("stack", "dry_run", "force"):
        if args.action != Action.START and getattr(args, option):
            text = f"--{option.replace('_', '-')} goes with start, not {args.action}"
            raise UsageError(text)
    _require_words(args)
    asks = args.action == Action.START and not args.dry_run
    if asks and not args.yes and not terminal:
        text = (
            "there is no terminal to ask on: --yes begins without asking, and "
            "`pirack install start --dry-run` says what it would do"
        )
        raise UsageError(text)


def _require_words(args: argparse.Namespace) -> None:
    words = args.words
    match args.action:
        case Action.CANCEL if len(words) <= 1 and set(words) <= set(Leave):
            return
        case Action.CANCEL:
            text = f"cancel takes one of {', '.join(Leave)}, not {' '.join(words)!r}"
        case Action.SWAP if len(set(words)) == len(words) == SLOTS:
            return
        case Action.SWAP if len(words) == SLOTS:
            text = f"swap takes the names of two slots, not {words[0]} twice"
        case Action.SWAP:
            text = "swap takes the names of two slots: pirack install swap s03n1 s03n2"
        case _ if not words:
            return
        case _:
            text = f"{args.action} takes no words, not {' '.join(words)!r}"
    raise UsageError(text)


def start(args: argparse.Namespace) -> Question:
    """Return the command that begins a run; with ``--yes`` it is agreed to already."""
    number = args.stack
    scope = RACK if number is None else Scope(ScopeKind.STACK, str(number))
    words = [Action.START.value]
    words += ["dry"] if args.dry_run else []
    words += ["force"] if args.force else []
    return _question(words, scope, confirm=str(scope) if args.yes else "")


def confirm() -> Question:
    """Return the command that lets the run that waits begin."""
    return _question([Action.CONFIRM], confirm=str(RACK))


def cancel(leave: Leave = Leave.RESTORE) -> Question:
    """Return the command that ends the run."""
    return _question([Action.CANCEL, leave])


def change(args: argparse.Namespace) -> Question:
    """Return ``swap`` or ``undo``."""
    return _question([args.action, *args.words])


def _question(words: list[str], scope: Scope = RACK, confirm: str = "") -> Question:
    command = Command(
        id=uuid.uuid4().hex, args=tuple(words), confirm=confirm, by=person()
    )
    return Question(scope=scope, verb=Verb.INSTALL, command=command)
