"""Random messages as a hostile or broken client would send them.

They are valid structs with extreme fields, on the topics of the contract, and now and
then something that is not. By a seed, so that what failed can be played again.
"""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from broker.common.errors import PayloadError
from broker.contract.messages import Command, Order, Payload, Status, decode
from broker.contract.protocol_doc import TOPICS, TopicRow
from broker.contract.topics import Topics

TOO_LARGE = "<a number too large for a double>"
"""Stands for ``1e999``, which Python would write as Infinity."""

TEXTS = (
    "",
    "a",
    "\0",
    "\x1b[2J\x1b]0;owned\a\x9b31m",
    "line one\r\nline two\u2028three",
    "\u202egnp.exe\u202c\u200f",
    "e\u0301" * 40,
    "\U0001f4a5" * 60,
    "ä" * 200,
    "<script>alert(1)</script>",
    "%s %d {0} {x.__class__} $(id) `id` '; DROP TABLE node; --",
    "../../../etc/passwd",
    "+/#",
    "\ufeff\ufffe\uffff",
    "١٢٣",
    "NaN",
    "127.0.0.1",
    "localhost",
    "None",
    "x" * 256,
)
WILD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**53,
    2**53 + 1,
    2**63,
    2**64,
    10**400,
    -(10**400),
    -0.0,
    5e-324,
    1.7e308,
    -1.7e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    TOO_LARGE,
    "",
    "0",
    "\ud800",
    "x" * 300,
    "x" * 17_000,
    [],
    [None],
    ["a"] * 2_000,
    {},
    {"a": {"b": [1]}},
)
JUNK = (
    b"",
    b"{",
    b"[]",
    b"[" * 5_000,
    b"null",
    b"NaN",
    b"\xff\x00\xfe",
    b"\x00" * 20_000,
    b"online",
    b"OFFLINE ",
    b'{"session":"s","session":{}}',
    b"ping pi-11 confirm=rack",
)
ADDRESSES = ("10.0.0.7", "255.255.255.255", "fe80::1%eth0", "::")
VERBS = (
    *("ping", "refresh", "reboot", "shutdown", "update", "power", "name", "place"),
    *("forget", "lock", "unlock", "cancel", "run", "install", "events", "selftest"),
    *("heal", "restart-agent", "no-such-verb"),
)


class Sent(msgspec.Struct, frozen=True):
    """One random message.

    Args:
        topic: Where.
        payload: What.
        retain: Whether it is published to be stored.
        kind: The struct that the topic carries.
    """

    topic: str
    payload: bytes
    retain: bool
    kind: type[Payload | Status]

    @property
    def decodes(self) -> bool:
        """Whether a receiver can read it."""
        if issubclass(self.kind, Status):
            return self.payload in {b"online", b"offline"}
        if issubclass(self.kind, Command) and not self.payload.startswith(b"{"):
            return False  # plain words are a language of their own
        try:
            decode(self.payload, self.kind)
        except PayloadError:
            return False
        return True


class RandomMessages:
    """Makes them.

    Args:
        seed: Of the random numbers.
        nodes: Ids that exist; now and then another one is used.
        likely: By field name, values that a receiver waits for: sessions, ids.
        only: The structs to send; all of the contract when empty.
    """

    def __init__(
        self,
        seed: int,
        *,
        nodes: Sequence[str] = ("pi-11",),
        likely: Mapping[str, Sequence[Any]] | None = None,
        only: Sequence[type[Payload | Status]] = (),
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311  # repeatable is what it must be
        self._nodes = tuple(nodes)
        self._likely = dict(likely or {})
        self._rows = [row for row in TOPICS if not only or row.payload in only]
        self._prefix = Topics("lab").prefix

    def next(self) -> Sent:
        """Returns the next message."""
        row = self._random.choice(self._rows)
        payload = self._payload(row)
        # What is stored where it should not be, and the other way round, happens too.
        retain = row.retained is not (self._random.random() < 0.05)
        return Sent(f"{self._prefix}/{self._topic(row)}", payload, retain, row.payload)

    def _topic(self, row: TopicRow) -> str:
        number = self._random.choice(("1", "2", "3", "999", "9999"))
        node = self._random.choice((*self._nodes, f"pi-{number}"))
        tag = self._random.choice(("web", "none"))
        scope = self._random.choice(
            (f"node/{node}", f"stack/{number}", f"tag/{tag}", "rack")
        )
        topic = row.topic
        for placeholder, value in (
            ("<id>", node),
            ("<n>", number),
            ("<scope>", scope),
            ("<verb>", self._random.choice(VERBS)),
            ("<client>", "dashboard"),
        ):
            topic = topic.replace(placeholder, value)
        return topic

    def _payload(self, row: TopicRow) -> bytes:
        dice = self._random.random()
        if dice < 0.05:
            return self._random.choice(JUNK)
        if issubclass(row.payload, Status):
            return self._random.choice(list(Status)).encode()
        struct = inspect.type_info(row.payload)
        assert isinstance(struct, inspect.StructType)
        said = self._struct(struct)
        for _ in range(self._random.choice((0, 0, 1, 1, 3))):
            self._spoil(said, row.payload)
        text = json.dumps(said, ensure_ascii=self._random.random() < 0.5)
        return text.replace(f'"{TOO_LARGE}"', "1e999").encode("utf-8", "surrogatepass")

    def _spoil(self, said: dict[str, Any], kind: type[Payload | Status]) -> None:
        """Puts one value in that no reader should take."""
        whole = issubclass(kind, Command | Order)  # refused if one value is bad
        names = list(said)
        if whole or not names or self._random.random() < 0.2:
            said[self._random.choice(("from_the_future", "__class__", ""))] = "new"
        else:
            said[self._random.choice(names)] = self._random.choice(WILD)

    def _struct(self, struct: inspect.StructType) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for field in struct.fields:
            likely = self._likely.get(field.name)
            if likely and self._random.random() < 0.7:
                said[field.encode_name] = self._random.choice(likely)
            elif field.required or self._random.random() < 0.5:
                said[field.encode_name] = self._value(field.type)
        return said

    def _value(self, kind: inspect.Type) -> Any:  # noqa: ANN401, PLR0911  # one for each type
        pick = self._random.choice
        match kind:
            case inspect.UnionType():
                return self._value(pick(kind.types))
            case inspect.NoneType():
                return None
            case inspect.BoolType():
                return pick((False, True))
            case inspect.IntType():
                low, high = _bounds(kind)
                return int(pick((low, high, max(low, min(high, 1)))))
            case inspect.FloatType():
                low, high = _bounds(kind)
                within = [one for one in (0.0, -0.0, 0.1, 1e-300) if low <= one <= high]
                return pick((float(low), float(high), *within))
            case inspect.StrType():
                return self._text(kind)
            case inspect.EnumType():
                return pick(list(kind.cls)).value
            case inspect.StructType():
                return self._struct(kind)
            case inspect.VarTupleType():
                return [self._value(kind.item_type) for _ in range(pick((0, 1, 2, 9)))]
            case inspect.TupleType():
                return [self._value(one) for one in kind.item_types]
            case inspect.DictType():
                most = kind.max_length or 9
                keys = [self._key(kind.key_type, n) for n in range(pick((0, 1, most)))]
                return {key: self._value(kind.value_type) for key in keys[:9]}
        text = f"a new type in the contract: {kind}"
        raise NotImplementedError(text)

    def _key(self, kind: inspect.Type, number: int) -> str:
        is_text = isinstance(kind, inspect.StrType)
        return f"{number}{self._text(kind)}"[:64] if is_text else str(number)

    def _text(self, kind: inspect.Type) -> str:
        assert isinstance(kind, inspect.StrType)
        if kind.pattern is not None:  # an address
            mac = ":" in kind.pattern and "{5}" in kind.pattern
            return "aa:bb:cc:dd:ee:ff" if mac else self._random.choice(ADDRESSES)
        text = self._random.choice(TEXTS)[: kind.max_length]
        return text or "a" * (kind.min_length or 0)


def _bounds(kind: inspect.IntType | inspect.FloatType) -> tuple[float, float]:
    low = kind.ge if kind.ge is not None else -(2**53)
    high = kind.le if kind.le is not None else 2**53
    return low, high


def shares(sent: Sequence[Sent]) -> dict[str, float]:
    """Returns, by struct, which share of the messages can be read."""
    counts: dict[str, list[int]] = {}
    for one in sent:
        count = counts.setdefault(one.kind.__name__, [0, 0])
        count[0] += one.decodes
        count[1] += 1
    return {name: good / all_ for name, (good, all_) in counts.items()}
