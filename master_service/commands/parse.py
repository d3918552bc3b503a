"""What a command's payload says: nothing, plain words, or JSON; pure."""

import msgspec

from broker.common.errors import PayloadError
from broker.contract import command_text
from broker.contract.messages import Command, decode

MAX_PLAIN_BYTES = 4096
MAX_ID = 64


def read(payload: bytes) -> Command:
    """Return the command in a payload.

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
    """Return the id in a payload that is refused; empty: none that can be repeated.

    Who asked waits for an answer with it, whatever else is wrong.
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
    """Whether the time in which a command could begin is over on arrival.

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
