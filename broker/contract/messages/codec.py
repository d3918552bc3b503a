"""Bytes to messages and back, at the edge only: a message that exists is valid.

A value that cannot be read costs that value, never the message: it reads as its
default, and the reader is told. A message is refused only if a field without a default
is missing or unreadable. Commands and orders are read as a whole or not at all: one
that lost its ``confirm`` or its ``ttl_s`` must not be obeyed.
"""

import math
import types
from collections.abc import Callable, Iterator
from typing import (
    Annotated,
    Any,
    ClassVar,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from broker.common.errors import PayloadError

MAX_PAYLOAD_BYTES = 16 * 1024
"""The sender keeps this limit: an oversize QoS 1 publish makes Mosquitto drop the
connection and the client send it again, for ever (research: measured, v5 and v3)."""
LARGEST = 2**53
"""Up to here a reader that keeps every number as a double counts exactly."""
LATEST = 253_402_300_799
"""Unix time of the last second of the year 9999: no calendar goes further."""
LONGEST_S = 1e10
"""Three hundred years: a longer span is nonsense."""
_MOST_DIGITS = 20
"""Longer integers are out of every range, and reading them takes time."""

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_HEX = r"[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    (
        rf"(?:{_HEX}:){{7}}{_HEX}",
        rf"(?:{_HEX}:){{1,7}}:",
        *(rf"(?:{_HEX}:){{1,{7 - n}}}(?::{_HEX}){{1,{n}}}" for n in range(1, 7)),
        rf":(?::{_HEX}){{1,7}}",
        "::",
    )
)

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Celsius = Annotated[float, msgspec.Meta(ge=-40, le=150)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)]
UnixTime = Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
Load = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
ShortText = Annotated[str, msgspec.Meta(max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_PAYLOAD_BYTES)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
IpAddress = Annotated[
    str,
    msgspec.Meta(
        max_length=64,
        pattern=rf"^(?:{_IPV4}|(?:{_IPV6})(?:%[a-zA-Z0-9._-]{{1,16}})?)\Z",
    ),
]
"""An IPv4 or IPv6 address; never a name, which somebody would have to resolve."""
MacAddress = Annotated[
    str, msgspec.Meta(max_length=17, pattern=r"^[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}\Z")
]

M = TypeVar("M")
Unread = Callable[[str, str], None]
"""Told a field that could not be read, and why."""

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_fields: dict[type, tuple[tuple[msgspec.structs.FieldInfo, Any], ...]] = {}


class Payload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every JSON message: frozen; unknown fields are ignored when decoded."""

    whole: ClassVar[bool] = False
    """Whether one value that cannot be read refuses the message."""


def _decoder(kind: type[M]) -> msgspec.json.Decoder[M]:
    """Returns the one decoder of a struct: making it costs far more than using it."""
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


def check_size(payload: bytes, what: str) -> None:
    """Refuses to send a payload that the contract does not allow.

    Args:
        payload: What would be sent.
        what: What it is, for the error text.

    Raises:
        PayloadError: It is larger than 16 KiB.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        text = (
            f"{what} is {len(payload)} bytes; the contract allows {MAX_PAYLOAD_BYTES}"
        )
        raise PayloadError(text)


def encode(message: Payload) -> bytes:
    """Returns the message as UTF-8 JSON.

    Raises:
        PayloadError: The result is larger than 16 KiB, or a text has half a character.
    """
    try:
        payload = _encoder.encode(message)
    except UnicodeEncodeError as error:
        text = f"{type(message).__name__} cannot be sent: {error}"
        raise PayloadError(text) from error
    check_size(payload, type(message).__name__)
    return payload


def _ignored(_field: str, _why: str) -> None:
    """Does nothing: the reader does not count."""


def decode(payload: bytes, kind: type[M], unread: Unread = _ignored) -> M:
    """Returns the message in ``payload``.

    Args:
        payload: UTF-8 JSON of at most 16 KiB.
        kind: The struct to read.
        unread: Told each value that was left out because it could not be read.

    Raises:
        PayloadError: Too large, not JSON, or a required field missing or unreadable.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        text = f"payload is {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are read"
        raise PayloadError(text)
    try:
        return _decoder(kind).decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        text = f"{kind.__name__} cannot be read: {error}"
        if getattr(kind, "whole", True):
            raise PayloadError(text) from error
        try:
            # Python's own reader takes NaN, 1e999 and broken characters too: each is
            # then one unreadable value.
            import json  # noqa: PLC0415  # a node that hears no nonsense does without

            said = json.loads(
                payload.decode("utf-8", "surrogateescape"),
                parse_int=_integer,
                parse_float=_float,
                parse_constant=_Nonsense,
            )
            return _Lenient(unread).struct(said, kind, kind.__name__)
        except (ValueError, RecursionError):
            raise PayloadError(text) from error


class _UnreadableError(ValueError):
    """A value cannot be read; the text says why."""


class _Nonsense:
    """A number that JSON does not have; no field takes it."""

    def __init__(self, _said: str) -> None:
        pass


def _integer(said: str) -> "int | _Nonsense":
    return int(said) if len(said) <= _MOST_DIGITS else _Nonsense(said)


def _float(said: str) -> "float | _Nonsense":
    value = float(said)
    return value if math.isfinite(value) else _Nonsense(said)


class _Lenient:
    """Reads a message value by value and leaves out what cannot be read.

    Many times slower than msgspec; only messages that msgspec refused come here.

    Args:
        unread: Told what is left out.
    """

    def __init__(self, unread: Unread) -> None:
        self._unread = unread

    def struct(self, said: object, kind: type[M], where: str) -> M:
        """Returns the struct that an object means.

        Raises:
            _UnreadableError: Not an object, or a required field cannot be read.
        """
        if not isinstance(said, dict):
            text = f"{where}: not an object"
            raise _UnreadableError(text)
        values: dict[str, Any] = {}
        for field, hint in _fields_of(kind):
            if field.encode_name not in said:
                if field.required:
                    text = f"{where} lacks {field.name}"
                    raise _UnreadableError(text)
                continue
            path = f"{where}.{field.name}"
            try:
                values[field.name] = self._value(said[field.encode_name], hint, path)
            except _UnreadableError as error:
                if field.required:
                    raise
                self._unread(path, str(error))
        return kind(**values)

    def _value(self, said: object, hint: Any, where: str) -> Any:  # noqa: ANN401  # any type and value of the contract
        plain, most = _bare(hint)
        if get_origin(plain) is types.UnionType:
            if said is None:
                return None
            return self._value(said, get_args(plain)[0], where)
        if isinstance(said, dict) and get_origin(plain) is dict:
            return dict(self._entries(said, get_args(plain), where, most))
        if isinstance(said, list) and _any_length(plain):
            return tuple(self._items(said, get_args(plain)[0], where))
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            return self.struct(said, plain, where)
        return _converted(said, hint, where)

    def _items(self, said: list[Any], hint: Any, where: str) -> Iterator[Any]:  # noqa: ANN401  # any type of the contract
        for one in said:
            try:
                yield self._value(one, hint, where)
            except _UnreadableError as error:
                self._unread(where, str(error))

    def _entries(
        self, said: dict[str, Any], hints: tuple[Any, ...], where: str, most: int
    ) -> Iterator[tuple[Any, Any]]:
        count = 0
        for name, one in said.items():
            if count == most:
                self._unread(where, f"{where}: more than {most} entries")
                return
            try:
                yield (
                    _converted(name, hints[0], where),
                    self._value(one, hints[1], where),
                )
            except _UnreadableError as error:
                self._unread(where, str(error))
            else:
                count += 1


def _fields_of(kind: type) -> tuple[tuple[msgspec.structs.FieldInfo, Any], ...]:
    """Returns the fields of a struct with their types."""
    found = _fields.get(kind)
    if found is None:
        hints = get_type_hints(kind, include_extras=True)
        fields = msgspec.structs.fields(kind)
        found = _fields[kind] = tuple((one, hints[one.name]) for one in fields)
    return found


def _bare(hint: Any) -> tuple[Any, int]:  # noqa: ANN401  # any type of the contract
    """Returns a type without its bounds, and how many entries it may have; -1: any."""
    if get_origin(hint) is not Annotated:
        return hint, -1
    plain, *bounds = get_args(hint)
    lengths = (one.max_length for one in bounds if isinstance(one, msgspec.Meta))
    most = next((length for length in lengths if length is not None), -1)
    return plain, most


def _any_length(hint: Any) -> bool:  # noqa: ANN401  # any type of the contract
    return get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis


def _converted(said: object, hint: Any, where: str) -> Any:  # noqa: ANN401  # any type and value of the contract
    """Returns a value that is read as a whole.

    Raises:
        _UnreadableError: A wrong type, out of range, too long, or half a character.
    """
    try:
        if isinstance(said, str):
            said.encode()
        return msgspec.convert(said, hint)
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError) as error:
        text = f"{where}: {error}"
        raise _UnreadableError(text) from error
