"""Commands in plain words: which are arguments, and which are fields; pure.

A person types ``cycle confirm=stack/3`` or ``wave=4 pause_s=5 on_failure=continue``.
The master reads payloads with this, and ``pirack send`` its command line, so that both
mean the same.
"""

from collections.abc import Iterable

import msgspec

from broker.common.errors import PayloadError
from broker.contract.messages import Command

RESERVED = ("confirm", "wave", "pause_s", "on_failure", "by")
"""Names that are fields of a command and never arguments when typed as plain words; an
alias with such a placeholder is reached with JSON."""


def read(words: Iterable[str], **fields: object) -> Command:
    """Returns the command that some words mean.

    Args:
        words: As typed after the verb.
        fields: Other fields of the command; a reserved word overrides them.

    Raises:
        PayloadError: A reserved word has no value that it could have.
    """
    args: list[str] = []
    typed: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in RESERVED:
            typed[name] = value
        else:
            args.append(word)
    try:
        return msgspec.convert({**fields, **typed, "args": args}, Command, strict=False)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        name = path.strip("`").removeprefix("$.")
        text = f"{name} cannot be: {what}"
        if name in typed:
            right = "write, for example, wave=4 pause_s=5 on_failure=stop"
            text = f"{name}={typed[name]} cannot be: {what}; {right}"
        raise PayloadError(text) from error
