"""Bytes to messages and back, at the edge only: a message that exists is valid."""

from typing import Annotated, Any, TypeVar

import msgspec

from broker.errors import PayloadError

MAX_PAYLOAD_BYTES = 16 * 1024
"""The sender keeps this limit: an oversize QoS 1 publish makes Mosquitto drop the
connection and the client send it again, for ever (research: measured, v5 and v3)."""

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
ShortText = Annotated[str, msgspec.Meta(max_length=256)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

M = TypeVar("M")

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every JSON message: frozen; unknown fields are ignored when decoded."""


def _decoder(kind: type[M]) -> msgspec.json.Decoder[M]:
    """Return the one decoder of a struct: making it costs far more than using it."""
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


def check_size(payload: bytes, what: str) -> None:
    """Refuse to send a payload that the contract does not allow.

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


def encode(message: Wire) -> bytes:
    """Return the message as UTF-8 JSON.

    Raises:
        PayloadError: The result is larger than 16 KiB.
    """
    payload = _encoder.encode(message)
    check_size(payload, type(message).__name__)
    return payload


def decode(payload: bytes, kind: type[M]) -> M:
    """Return the message in ``payload``.

    Args:
        payload: UTF-8 JSON of at most 16 KiB. NaN and infinities are no JSON.
        kind: The struct to read.

    Raises:
        PayloadError: Too large, no JSON, a required field missing, or a wrong type.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        text = f"payload is {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are read"
        raise PayloadError(text)
    try:
        return _decoder(kind).decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        text = f"{kind.__name__} cannot be read: {error}"
        raise PayloadError(text) from error
