"""Writes the parts of ``docs/protocol.md`` that follow from the code.

``python -m broker.contract.protocol_doc`` renews the topics, verbs and payloads between
their marks; the prose around them is written by hand.
"""

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect as shapes

from broker.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Ability,
    Command,
    Details,
    Event,
    EventKind,
    Heartbeat,
    InstallStack,
    InstallState,
    MasterDetails,
    NodeState,
    Order,
    Payload,
    Phase,
    Power,
    RackState,
    Reply,
    Result,
    StackState,
    Status,
    TargetRow,
    Throttled,
    ThrottleFlag,
    Verdict,
    encode,
)
from broker.contract.verbs import DESTRUCTIVE, Verb

PATH = Path(__file__).parents[2] / "docs" / "protocol.md"
SHOWN_UP_TO = 1e6
"""A larger bound only keeps nonsense out, and says nothing to a reader."""
MAC_LENGTH = 17
UNITS = {"_s": "s", "_c": "°C", "_bytes": "bytes", "_percent": "%"}
_PART = re.compile(r"(?s)(<!-- (\w+): written from the code -->\n).*?(<!-- end -->)")


class TopicRow(msgspec.Struct, frozen=True):
    """One kind of topic.

    Args:
        topic: Below the prefix, with ``<…>`` for what varies.
        payload: The struct it carries; Status for plain text.
        writer: Who publishes it.
        about: A sentence.
        retained: Whether the broker stores it.
        qos: As it is published.
    """

    topic: str
    payload: type[Payload | Status]
    writer: str
    about: str
    retained: bool = False
    qos: int = 1


TOPICS: tuple[TopicRow, ...] = (
    TopicRow(
        "node/<id>/status",
        Status,
        "node; the broker, as its will; the master only for a node it declares dead or "
        "forgets",
        "Presence. MQTT 5 user property `session` names the connection.",
        retained=True,
    ),
    TopicRow(
        "node/<id>/details",
        Details,
        "node",
        "What changes rarely: hardware, system, addresses, abilities.",
        retained=True,
    ),
    TopicRow(
        "node/<id>/heartbeat", Heartbeat, "node", "Vitals, every `interval_s`.", qos=0
    ),
    TopicRow(
        "node/<id>/order",
        Order,
        "master",
        "What the node must do. A stored one is never obeyed.",
    ),
    TopicRow("node/<id>/result", Result, "node", "What became of an order."),
    TopicRow(
        "node/<id>/state",
        NodeState,
        "master",
        "The master's verdict on the node, its name and place.",
        retained=True,
    ),
    TopicRow(
        "stack/<n>/state",
        StackState,
        "master",
        "A stack: its place, outlet and worst verdict.",
        retained=True,
    ),
    TopicRow("rack/state", RackState, "master", "The rack as a whole.", retained=True),
    TopicRow(
        "install/state",
        InstallState,
        "master",
        "Progress of an install run.",
        retained=True,
    ),
    TopicRow(
        "install/stack/<n>",
        InstallStack,
        "master",
        "A stack in the latest install run, board by board.",
        retained=True,
    ),
    TopicRow("event", Event, "master", "One line of the rack's history."),
    TopicRow(
        "master/status",
        Status,
        "master; the broker, as its will",
        "Presence of the master.",
        retained=True,
    ),
    TopicRow(
        "master/details",
        MasterDetails,
        "master",
        "Who the master is; nodes receive it too.",
        retained=True,
    ),
    TopicRow(
        "<scope>/cmd/<verb>",
        Command,
        "anyone with the right",
        "Asks for something. Empty, plain words, or JSON. A stored one is never "
        "obeyed.",
    ),
    TopicRow(
        "<scope>/reply/<verb>",
        Reply,
        "master; for scope `sim` the simulator",
        "The receipt.",
    ),
    TopicRow(
        "inbox/<client>",
        Reply,
        "master",
        "The last word of the receipt, with every row, for a command whose MQTT 5 "
        "response topic is exactly this; correlation data comes back.",
    ),
)

NODE = "pi-51000302"
SESSION = "9f2c51d07be4a836"
NAME = "s03n2"
ID = "c0ffee01"
NOW = 1_795_219_200.0

EXAMPLES: tuple[Payload, ...] = (
    Details(
        session=SESSION,
        boot_id="0b6ff1a5-5cd2-4b52-8d5a-6a2a2f2f8f10",
        hostname="pi-three-two",
        interval_s=10,
        agent_version="0.1.0",
        model="Raspberry Pi 4 Model B Rev 1.4",
        serial="1000000051000302",
        macs=("dc:a6:32:00:03:02",),
        addresses=("192.168.7.32",),
        abilities=(Ability(verb="uptime", note="how long the board has been up"),),
    ),
    Heartbeat(
        session=SESSION,
        seq=41,
        ts=NOW,
        uptime_s=86_412.5,
        cpu_percent=12.5,
        load=(0.4, 0.3, 0.2),
        memory_percent=31.2,
        disk_percent=44.0,
        temperature_c=51.1,
        throttled=Throttled(since_boot=(ThrottleFlag.UNDER_VOLTAGE,)),
    ),
    Order(id=ID, verb="reboot", ttl_s=30, by="operator"),
    Result(
        id=ID, verb="reboot", session=SESSION, phase=Phase.ACCEPTED, duration_s=0.01
    ),
    NodeState(
        id=NODE,
        name=NAME,
        verdict=Verdict.LATE,
        since=NOW,
        reason="silent for 21 s, two heartbeats missed",
        stack=3,
        slot=2,
        power=Power.ON,
        last_seen=NOW - 21,
    ),
    StackState(
        stack=3,
        name="Stack 3",
        x=2,
        y=0,
        slots=4,
        wanted=Power.ON,
        power=Power.ON,
        worst=Verdict.LATE,
        totals={Verdict.ONLINE: 3, Verdict.LATE: 1},
    ),
    Event(
        seq=1207,
        ts=NOW,
        kind=EventKind.VERDICT,
        text="s03n2 is late: silent for 21 s",
        node=NODE,
        stack=3,
    ),
    MasterDetails(session=SESSION, hostname="rack", version="0.1.0", started=NOW),
    Command(id=ID, args=("cycle",), confirm="stack/3", by="operator"),
    Reply(
        id=ID,
        verb="reboot",
        scope=f"node/{NAME}",
        phase=Phase.DONE,
        ok=True,
        targets=(
            TargetRow(
                node=NODE, name=NAME, phase=Phase.DONE, verified=True, duration_s=23.4
            ),
        ),
        by="operator",
        verified=True,
        duration_s=23.4,
    ),
)


def render(page: str) -> str:
    """Returns the page with the parts between its marks renewed."""
    parts = {"topics": _topics, "verbs": _verbs, "payloads": _payloads}
    return _PART.sub(
        lambda part: part[1] + "\n".join(parts[part[2]]()).rstrip() + "\n" + part[3],
        page,
    )


def _topics() -> Iterator[str]:
    yield "| topic below `P` | written by | retained | QoS | payload | |"
    yield "|---|---|---|---|---|---|"
    for row in TOPICS:
        kept = "yes" if row.retained else "never"
        cells = (f"`{row.topic}`", row.writer, kept, row.qos, _payload(row), row.about)
        yield f"| {' | '.join(str(cell) for cell in cells)} |"
    yield ""


def _payload(row: TopicRow) -> str:
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
    """Yields every struct and enum that a topic leads to, each once."""
    examples = {type(one): encode(one).decode() for one in EXAMPLES}
    done: list[type] = []
    waiting: list[type] = [row.payload for row in TOPICS]
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
    """Returns the text of a docstring, and what it says about each field."""
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
    """Yields the structs and enums within a type."""
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
    """Renews the document."""
    PATH.write_text(render(PATH.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PATH} written\n")


if __name__ == "__main__":
    main()
