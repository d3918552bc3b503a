"""Asking and answering: commands and replies, and the orders and results of nodes."""

import enum
from typing import Annotated, ClassVar

import msgspec

from broker.contract.messages.codec import (
    Count,
    Payload,
    Seconds,
    ShortText,
    Text,
    Token,
    UnixTime,
)
from broker.contract.messages.event import Event

DEFAULT_TTL_S = 30.0
"""How long a command without ``ttl_s`` may wait before it is answered ``expired``."""
MAX_PAUSE_S = 86_400.0

ExitCode = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**32)]


class Phase(enum.StrEnum):
    """Where a command stands, for one target or for all of them."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    NOT_DELIVERED = "not-delivered"

    @property
    def final(self) -> bool:
        """Whether nothing more follows."""
        return self not in {Phase.ACCEPTED, Phase.RUNNING}


class OnFailure(enum.StrEnum):
    """What a command in waves does when a target fails."""

    STOP = "stop"
    """Targets that have not begun never begin, and are answered ``not-delivered``."""
    CONTINUE = "continue"


class Command(Payload, frozen=True, kw_only=True):
    """What a person or program asks, on ``P/<scope>/cmd/<verb>``.

    In plain words ``confirm``, ``wave``, ``pause_s``, ``on_failure`` and ``by`` are
    written as ``name=value``.

    Args:
        id: Chosen by the sender to match the reply; empty: the master gives one.
        args: Words after the verb; ``name=value`` fills an alias's placeholder.
        ttl_s: Seconds, counted from receipt, after which it must not start any more.
        expires: Unix time after which it must not start, seconds; a second opinion.
        confirm: The scope again (``stack/3``), for destructive verbs on more than one.
        wave: How many nodes at a time; 0: all at once; null: as the verb needs it,
            which is 4 for ``reboot`` and ``update`` and all at once for others.
        pause_s: Seconds between the end of one wave and the next.
        on_failure: Whether later waves begin when a target has failed.
        by: Who asks, for the event log and for locks.
    """

    whole: ClassVar[bool] = True

    id: ShortText = ""
    args: tuple[ShortText, ...] = ()
    ttl_s: Seconds = DEFAULT_TTL_S
    expires: UnixTime | None = None
    confirm: ShortText = ""
    wave: Count | None = None
    pause_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_PAUSE_S)] = 0.0
    on_failure: OnFailure = OnFailure.STOP
    by: ShortText = ""


class Order(Payload, frozen=True, kw_only=True):
    """What the master tells one node, on ``P/node/<id>/order``.

    Args:
        id: Id of the command it comes from; a node obeys an id once.
        verb: Verb or alias.
        args: As in the command.
        ttl_s: Seconds from receipt after which the node must not start it.
        expires: Unix time of the master's clock, seconds; heeded only by a node whose
            own clock is set.
        by: Who asked.
    """

    whole: ClassVar[bool] = True

    id: Token
    verb: Token
    args: tuple[ShortText, ...] = ()
    ttl_s: Seconds = DEFAULT_TTL_S
    expires: UnixTime | None = None
    by: ShortText = ""


class Result(Payload, frozen=True, kw_only=True):
    """What a node answers to an order, on ``P/node/<id>/result``.

    Args:
        id: Of the order.
        verb: Of the order.
        session: The connection that answers.
        phase: accepted, running, done, failed, refused or expired.
        exit_code: Of the program run; None where none ran.
        stdout: Its output, tail kept when too long.
        stderr: Its error output, tail kept when too long.
        truncated: Whether output was cut.
        error: Why it was not done, in words; empty otherwise.
        duration_s: From start to end, seconds.
    """

    id: Token
    verb: Token
    session: Token
    phase: Phase
    exit_code: ExitCode | None = None
    stdout: Text = ""
    stderr: Text = ""
    truncated: bool = False
    error: Text = ""
    duration_s: Seconds = 0.0


class RowCode(enum.StrEnum):
    """What a program needs to know of a row, apart from its words.

    - ``none``: nothing.
    - ``needs-confirm``: repeat the command with ``confirm=<scope>``.
    - ``cannot-be-asked``: the board may be running, and cannot be asked to shut down,
      or nothing would prove that it did. ``power`` with ``force=<name>`` cuts it.
    - ``not-down``: it was asked to shut down, and is not proven down. Its outlet was
      left on; ``force`` cuts it.
    - ``because-of-others``: its outlet was left alone because of other boards.
    - ``cut-unasked``: its outlet was switched off without evidence that it was down, as
      ``force`` or the consent to an install run said. Such a row is never ``verified``.
    """

    NONE = "none"
    NEEDS_CONFIRM = "needs-confirm"
    CANNOT_BE_ASKED = "cannot-be-asked"
    NOT_DOWN = "not-down"
    BECAUSE_OF_OTHERS = "because-of-others"
    CUT_UNASKED = "cut-unasked"


class TargetRow(Payload, frozen=True, kw_only=True):
    """One target's line in a receipt.

    Args:
        node: Node id.
        name: Display name.
        phase: Where it stands.
        verified: The effect was seen (another boot id, another session of the same
            boot, an outlet read back, no update left), not only an exit code of zero.
        error: Why not, in words.
        code: Why not, for programs.
        exit_code: Of the program run on the node; None where none ran.
        stdout: Its output, tail kept.
        stderr: Its error output, tail kept.
        truncated: Whether output was cut.
        duration_s: From order to end, seconds.
    """

    node: ShortText
    name: ShortText
    phase: Phase
    verified: bool = False
    error: Text = ""
    code: RowCode = RowCode.NONE
    exit_code: ExitCode | None = None
    stdout: Text = ""
    stderr: Text = ""
    truncated: bool = False
    duration_s: Seconds = 0.0


class Reply(Payload, frozen=True, kw_only=True):
    """The receipt, on ``P/<scope>/reply/<verb>``.

    The same id is answered several times while it runs; a final phase ends it. Long
    receipts come in numbered parts, each with its share of the rows.

    Args:
        id: Of the command.
        verb: Of the command.
        scope: As asked, for example ``stack/3``.
        phase: Where the whole stands.
        ok: Whether every target is done; None while it runs.
        error: Why it was refused or failed, in words.
        targets: A row per target; progress replies carry only the rows that changed.
        by: Who asked.
        verified: Whether every target's effect was seen.
        duration_s: From acceptance to this reply, seconds.
        part: Number of this part, from 1.
        parts: How many parts there are.
        events: Lines of history, oldest first, where ``events`` asked for them.
    """

    id: ShortText
    verb: ShortText
    scope: ShortText
    phase: Phase
    ok: bool | None = None
    error: Text = ""
    targets: tuple[TargetRow, ...] = ()
    by: ShortText = ""
    verified: bool = False
    duration_s: Seconds = 0.0
    part: Count = 1
    parts: Count = 1
    events: tuple[Event, ...] = ()
