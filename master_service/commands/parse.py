"""What a command's payload says: nothing, plain words, or JSON; pure."""

import msgspec

from broker.errors import PayloadError
from broker.messages import Command, decode

_CONFIRM = "confirm="
MAX_PLAIN_BYTES = 4096
MAX_ID = 64


def read(payload: bytes) -> Command:
    """Return the command in a payload.

    A person types words: ``cycle``, ``3 2``, ``off confirm=stack/3``; the one word that
    begins with ``confirm=`` is no argument but the confirmation.

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


def _plain(payload: bytes) -> Command:
    if len(payload) > MAX_PLAIN_BYTES:
        text = f"payload is {len(payload)} bytes; plain words take {MAX_PLAIN_BYTES}"
        raise PayloadError(text)
    try:
        words = payload.decode().split()
    except UnicodeDecodeError as error:
        text = f"payload is neither plain UTF-8 words nor JSON: {error}"
        raise PayloadError(text) from error
    if not all(word.isprintable() for word in words):
        text = "payload holds control characters; write plain words or JSON"
        raise PayloadError(text)
    confirm = [word for word in words if word.startswith(_CONFIRM)]
    args = [word for word in words if not word.startswith(_CONFIRM)]
    said = {
        "args": args,
        "confirm": confirm[-1].removeprefix(_CONFIRM) if confirm else "",
    }
    try:
        return msgspec.convert(said, Command)
    except msgspec.ValidationError as error:
        text = f"payload cannot be read: {error}"
        raise PayloadError(text) from error
