"""Which board is meant: an id, a serial, or a MAC address; pure."""

import re

import msgspec

from broker.common.errors import TopicError
from broker.contract.topics import check_name
from node_agent import identity

_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}")
_SERIAL = re.compile(r"(0x)?([0-9a-f]{8}|[0-9a-f]{16})")
_DERIVED = re.compile(r"pi-[0-9a-f]{8}")


class BoardId(msgspec.Struct, frozen=True):
    """A node's id.

    Args:
        node: The id.
        told: The board must be told it: it would not find it by itself, for its id
            comes from its serial first.
    """

    node: str
    told: bool


def read(text: str) -> BoardId:
    """Read what a person knows of a board.

    Args:
        text: ``pi-1f3a9c2e`` or an id of one's own; the serial of
            ``/proc/device-tree/serial-number``; a MAC address.

    Raises:
        TopicError: It is none of these.
    """
    word = text.strip().lower()
    if _MAC.fullmatch(word):
        return BoardId(identity.node_id("", (word.replace("-", ":"),)), told=True)
    serial = _SERIAL.fullmatch(word)
    if serial:
        return BoardId(identity.node_id(serial[2], ()), told=False)
    try:
        return BoardId(check_name(word, "id"), told=_DERIVED.fullmatch(word) is None)
    except TopicError as error:
        hint = (
            f"{text[:64]!r} is no board: give its id (pi-1f3a9c2e), its serial (`cat "
            "/proc/device-tree/serial-number`) or its MAC address"
        )
        raise TopicError(hint) from error
