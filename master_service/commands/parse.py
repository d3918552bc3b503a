"""What a command says: nothing, plain words or JSON; the words of install; pure."""

import enum

import msgspec

from broker.common.errors import PayloadError, PiRackError
from broker.contract import command_text
from broker.contract.messages import Command, decode
from provisioning.run.state import Leave

MAX_PLAIN_BYTES = 4096
MAX_ID = 64
INSTALL_USAGE = (
    "write `install start [dry] [force]`, `install confirm`, "
    "`install cancel [leave|restore|off]`, `install swap <slot> <slot>` or "
    "`install undo`"
)


def read(payload: bytes) -> Command:
    """Returns the command in a payload.

    A person types words: ``cycle``, ``3 2``, ``off confirm=stack/3``, ``wave=4``; see
    ``broker.contract.command_text`` for those that are no arguments.

    Raises:
        PayloadError: Too long, not UTF-8, broken JSON or wrong types.
    """
    if payload.lstrip()[:1] in {b"{", b"["}:
        command = decode(payload, Command)
        if len(command.id) > MAX_ID or not command.id.isprintable():
            text = f"id {command.id[:80]!r} must be at most {MAX_ID} printable letters"
            raise PayloadError(text)
        return command
    return _plain(payload)


def asked_id(payload: bytes) -> str:
    """Returns the id in a payload that is refused; empty: none that can be repeated.

    The asker waits for an answer with it, even if all else is wrong.
    """
    if payload.lstrip()[:1] != b"{":
        return ""
    try:
        said = msgspec.json.decode(payload, type=_OnlyId).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return said if len(said) <= MAX_ID and said.isprintable() else ""


class _OnlyId(msgspec.Struct):
    """A command of which only the id can be read."""

    id: str = ""


def expired(command: Command, wall: float | None) -> bool:
    """Returns whether the time in which a command could begin is over on arrival.

    Args:
        command: As read.
        wall: Unix time, seconds; None: it is not known, and only ``ttl_s`` counts.
    """
    told = wall is not None and command.expires is not None
    over = told and wall is not None and wall >= (command.expires or 0.0)
    return over or command.ttl_s <= 0


def _plain(payload: bytes) -> Command:
    if len(payload) > MAX_PLAIN_BYTES:
        text = f"payload is {len(payload)} bytes; plain words take {MAX_PLAIN_BYTES}"
        raise PayloadError(text)
    try:
        typed = payload.decode().split()
    except UnicodeDecodeError as error:
        text = f"payload is neither plain UTF-8 words nor JSON: {error}"
        raise PayloadError(text) from error
    if not all(word.isprintable() for word in typed):
        text = "payload holds control characters; write plain words or JSON"
        raise PayloadError(text)
    return command_text.read(typed)


class WordsError(PiRackError):
    """The words mean nothing; the text says what would."""


class InstallWord(enum.StrEnum):
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

    what: InstallWord
    dry: bool = False
    force: bool = False
    leave: Leave = Leave.RESTORE
    slots: tuple[str, str] = ("", "")


def read_install(args: tuple[str, ...]) -> InstallOrder:
    """Returns what the words of ``install`` mean; none at all mean ``start``.

    Raises:
        WordsError: They mean nothing.
    """
    word, *rest = args or (InstallWord.START.value,)
    try:
        return _install_order(InstallWord(word), rest)
    except ValueError:
        text = f"install {' '.join(args)!r} is not known; {INSTALL_USAGE}"
        raise WordsError(text) from None


def _install_order(what: InstallWord, rest: list[str]) -> InstallOrder:
    match what, rest:
        case InstallWord.START, _ if set(rest) <= {"dry", "force"}:
            return InstallOrder(what=what, dry="dry" in rest, force="force" in rest)
        case ((InstallWord.CONFIRM | InstallWord.UNDO | InstallWord.CANCEL), []):
            return InstallOrder(what=what)
        case InstallWord.CANCEL, [leave]:
            return InstallOrder(what=what, leave=Leave(leave))
        case InstallWord.SWAP, [one, other] if one != other:
            return InstallOrder(what=what, slots=(one, other))
        case InstallWord.SWAP, [one, _]:
            text = f"{one} cannot be swapped with itself; name two slots"
            raise WordsError(text)
    raise ValueError(rest)
