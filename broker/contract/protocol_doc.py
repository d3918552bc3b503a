"""Renders ``docs/protocol.md``: ``python -m broker.contract.protocol_doc``."""

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect as shapes

from broker.contract.messages import MAX_PAYLOAD_BYTES, Status, encode
from broker.contract.protocol_examples import EXAMPLES, NAME
from broker.contract.protocol_text import EXAMPLE_COMMANDS, INTRODUCTION, RULES
from broker.contract.protocol_topics import EXAMPLE, ROWS, Row
from broker.contract.verbs import DESTRUCTIVE, Verb

PATH = Path(__file__).parents[2] / "docs" / "protocol.md"
SHOWN_UP_TO = 1e6
"""A larger bound only keeps nonsense out, and says nothing to a reader."""
MAC_LENGTH = 17
UNITS = {
    "_s": "s",
    "_c": "°C",
    "_bytes": "bytes",
    "_percent": "%",
}


def render() -> str:
    """Return the whole document."""
    parts = [
        INTRODUCTION.format(prefix=EXAMPLE.prefix, limit=MAX_PAYLOAD_BYTES // 1024),
        "## Topics\n",
        *_topics(),
        "## Rules\n",
        RULES,
        "## Verbs\n",
        *_verbs(),
        "## From a shell\n",
        EXAMPLE_COMMANDS.format(prefix=EXAMPLE.prefix, name=NAME),
        "## Payloads\n",
        "A field marked ? may be missing.\n",
        *_payloads(),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _topics() -> Iterator[str]:
    yield "| topic below `P` | written by | retained | QoS | payload | |"
    yield "|---|---|---|---|---|---|"
    for row in ROWS:
        kept = "yes" if row.retained else "never"
        cells = (f"`{row.topic}`", row.writer, kept, row.qos, _payload(row), row.about)
        yield f"| {' | '.join(str(cell) for cell in cells)} |"
    yield ""


def _payload(row: Row) -> str:
    if issubclass(row.payload, Status):
        return " or ".join(f"`{word}`" for word in Status)
    return _link(row.payload.__name__)


def _verbs() -> Iterator[str]:
    yield (
        "Any other legal name is an alias of the node's command file. A verb marked "
        "**!** interrupts a node: on more than one it needs `confirm` set to the "
        "scope, and its id runs once, also across a reboot.\n"
    )
    marked = (f"`{verb}`{' **!**' if verb in DESTRUCTIVE else ''}" for verb in Verb)
    yield ", ".join(marked) + ".\n"


def _payloads() -> Iterator[str]:
    """Render every struct and enum that a topic leads to, each once."""
    examples = {type(one): encode(one).decode() for one in EXAMPLES}
    done: list[type] = []
    waiting: list[type] = [row.payload for row in ROWS]
    while waiting:
        kind = waiting.pop(0)
        if kind in done:
            continue
        done.append(kind)
        if issubclass(kind, enum.Enum):
            yield from _enum(kind)
            continue
        yield from _struct(kind)
        if kind in examples:
            yield f"```json\n{examples[kind]}\n```\n"
        waiting[:0] = [
            found
            for field in _fields(kind)
            for found in _named(field.type)
            if found not in done
        ]


def _struct(kind: type) -> Iterator[str]:
    summary, about = read_docstring(kind)
    yield f"### {kind.__name__}\n\n{summary}\n"
    yield "| field | type | unit | |"
    yield "|---|---|---|---|"
    for field in _fields(kind):
        unit = next(
            (unit for end, unit in UNITS.items() if field.name.endswith(end)), ""
        )
        name = f"`{field.encode_name}`{'' if field.required else ' ?'}"
        text = about.get(field.name, "")
        yield f"| {name} | {_type(field.type)} | {unit} | {text}{_default(field)} |"
    yield ""


def _enum(kind: type[enum.Enum]) -> Iterator[str]:
    summary, _ = read_docstring(kind)
    yield f"### {kind.__name__}\n\n{summary}\n"
    words = (f"`{member.value}`" if member.value else "empty" for member in kind)
    yield ", ".join(words) + ".\n"


def read_docstring(kind: type) -> tuple[str, dict[str, str]]:
    """Split a docstring into its text and what it says about each field."""
    text = inspect.getdoc(kind) or ""
    summary, _, arguments = text.partition("\nArgs:\n")
    fields: dict[str, str] = {}
    name = ""
    for line in arguments.splitlines():
        if match := re.fullmatch(r"    (\w+): (.*)", line):
            name = match[1]
            fields[name] = match[2]
        elif line.startswith("        "):
            fields[name] += " " + line.strip()
        else:
            break
    return _markdown(summary.strip()), {
        name: _markdown(about) for name, about in fields.items()
    }


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _fields(kind: type) -> tuple[shapes.Field, ...]:
    shape = shapes.type_info(kind)
    return shape.fields if isinstance(shape, shapes.StructType) else ()


def _default(field: shapes.Field) -> str:
    value = field.default
    if field.required or value in (msgspec.NODEFAULT, None, "", (), False, 0):
        return ""
    return f" Default: `{msgspec.json.encode(value).decode().strip(chr(34))}`."


def _named(shape: shapes.Type) -> Iterator[type]:
    """Yield the structs and enums within a type."""
    match shape:
        case shapes.StructType(cls=kind) | shapes.EnumType(cls=kind):
            yield kind
        case shapes.UnionType(types=inner):
            for one in inner:
                yield from _named(one)
        case shapes.VarTupleType(item_type=item):
            yield from _named(item)
        case shapes.DictType(key_type=key, value_type=value):
            yield from _named(key)
            yield from _named(value)


def _type(shape: shapes.Type) -> str:  # noqa: PLR0911  # one line for each kind of type
    match shape:
        case shapes.StructType(cls=kind) | shapes.EnumType(cls=kind):
            return _link(kind.__name__)
        case shapes.UnionType(types=inner):
            return " or ".join(_type(one) for one in inner)
        case shapes.VarTupleType(item_type=item):
            return f"list of {_type(item)}"
        case shapes.TupleType(item_types=items):
            return f"[{', '.join(_type(one) for one in items)}]"
        case shapes.DictType(key_type=key, value_type=value):
            return f"object: {_type(key)} to {_type(value)}"
        case shapes.IntType() | shapes.FloatType():
            integer = isinstance(shape, shapes.IntType)
            return ("integer" if integer else "number") + _range(shape)
        case shapes.StrType(max_length=most, pattern=pattern):
            if pattern:
                return "hardware address" if most == MAC_LENGTH else "IP address"
            return f"text, at most {most}" if most != MAX_PAYLOAD_BYTES else "text"
        case shapes.BoolType():
            return "true or false"
        case shapes.NoneType():
            return "null"
    return type(shape).__name__  # pragma: no cover  # no such field exists yet


def _range(shape: shapes.IntType | shapes.FloatType) -> str:
    if shape.ge is not None and shape.le is not None and shape.le < SHOWN_UP_TO:
        return f" {shape.ge:g} to {shape.le:g}"
    lowest = shape.ge if shape.ge is not None else -SHOWN_UP_TO
    return f" from {lowest:g}" if lowest > -SHOWN_UP_TO else ""


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def main() -> None:
    """Write the document."""
    PATH.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{PATH} written\n")


if __name__ == "__main__":
    main()
