"""Write TOML: the standard library only reads it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that need no quotes (TOML 1.0, "Keys")."""


def dumps(document: Mapping[str, Any]) -> str:
    """Returns a document of tables and arrays of tables as TOML.

    Args:
        document: Table name to a dict, or to a list of dicts; values are strings,
            numbers, booleans, lists of those, or dicts of those.

    Raises:
        TypeError: A value TOML has no form for.
    """
    return "\n".join(line for name in document for line in _top(name, document[name]))


def _top(name: str, content: Any) -> Iterator[str]:  # noqa: ANN401  # any TOML value
    if isinstance(content, list):
        for row in content:
            yield from _table(f"[[{_key(name)}]]", row)
    else:
        yield from _table(f"[{_key(name)}]", content)


def _table(header: str, content: Mapping[str, Any]) -> Iterator[str]:
    yield header
    for key, value in content.items():
        yield f"{_key(key)} = {_value(value)}"
    yield ""


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:  # noqa: ANN401  # any TOML value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which must be escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    text = f"{type(value).__name__} {value!r} has no TOML form"
    raise TypeError(text)
