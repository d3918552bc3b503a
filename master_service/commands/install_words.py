"""What ``install`` is asked, in words; pure."""

import enum

import msgspec

from broker.common.errors import PiRackError
from provisioning.run.state import Leave

USAGE = (
    "write `install start [dry] [force]`, `install confirm`, "
    "`install cancel [leave|restore|off]`, `install swap <slot> <slot>` or "
    "`install undo`"
)


class WordsError(PiRackError):
    """The words mean nothing; the text says what would."""


class Ask(enum.StrEnum):
    """What a person can want of provisioning."""

    START = "start"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    SWAP = "swap"
    UNDO = "undo"


class InstallOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One command, understood.

    Args:
        what: What is wanted.
        dry: Only say what would happen.
        force: Go on over problems, and cut boards that do not shut down.
        leave: How a cancelled run leaves the outlets.
        slots: Names of the two slots whose boards change places.
    """

    what: Ask
    dry: bool = False
    force: bool = False
    leave: Leave = Leave.RESTORE
    slots: tuple[str, str] = ("", "")


def read(args: tuple[str, ...]) -> InstallOrder:
    """Return what some words mean; none at all mean ``start``.

    Raises:
        WordsError: They mean nothing.
    """
    word, *rest = args or (Ask.START.value,)
    try:
        return _read(Ask(word), rest)
    except ValueError:
        text = f"install {' '.join(args)!r} is not known; {USAGE}"
        raise WordsError(text) from None


def _read(what: Ask, rest: list[str]) -> InstallOrder:
    match what, rest:
        case Ask.START, _ if set(rest) <= {"dry", "force"}:
            return InstallOrder(what=what, dry="dry" in rest, force="force" in rest)
        case ((Ask.CONFIRM | Ask.UNDO | Ask.CANCEL), []):
            return InstallOrder(what=what)
        case Ask.CANCEL, [leave]:
            return InstallOrder(what=what, leave=Leave(leave))
        case Ask.SWAP, [one, other] if one != other:
            return InstallOrder(what=what, slots=(one, other))
        case Ask.SWAP, [one, _]:
            text = f"{one} cannot be swapped with itself; name two slots"
            raise WordsError(text)
    raise ValueError(rest)
