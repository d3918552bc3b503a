"""A receipt in parts that fit the contract; pure."""

from collections.abc import Iterable, Iterator

import msgspec

from broker.contract.messages import MAX_PAYLOAD_BYTES, Payload, Reply, TargetRow

ROOM_BYTES = MAX_PAYLOAD_BYTES - 256
"""For numbers that are only known when the parts are counted."""
_SHORTEST = 64
_encoder = msgspec.json.Encoder()


def parts(reply: Reply, rows: list[TargetRow]) -> Iterator[Reply]:
    """Share out the rows of a receipt over as many replies as it takes.

    Args:
        reply: Everything but the rows.
        rows: All of them, in order.
    """
    room = ROOM_BYTES - _head(reply, "targets")
    return numbered(reply, "targets", (_fitted(row, room) for row in rows))


def numbered(reply: Reply, field: str, values: Iterable[Payload]) -> Iterator[Reply]:
    """Share out the values of one field over as many replies as it takes.

    Args:
        reply: Everything but the values.
        field: Where they go.
        values: All of them, in order; each fits alone.
    """
    head = used = _head(reply, field)
    shares: list[list[Payload]] = [[]]
    for value in values:
        size = _size(value)
        if used + size > ROOM_BYTES and shares[-1]:
            shares.append([])
            used = head
        shares[-1].append(value)
        used += size
    for number, share in enumerate(shares, start=1):
        mine = {field: tuple(share), "part": number, "parts": len(shares)}
        yield msgspec.structs.replace(reply, **mine)


def _head(reply: Reply, field: str) -> int:
    return len(_encoder.encode(reply)) + len(f',"{field}":[]')


def _size(value: Payload) -> int:
    """Return the bytes of a value and the comma after it."""
    return len(_encoder.encode(value)) + 1


def _fitted(row: TargetRow, room: int) -> TargetRow:
    """Return a row that fits alone, its output cut from the front."""
    keep = max(len(row.stdout), len(row.stderr))
    while _size(row) > room and keep > _SHORTEST:
        keep //= 2
        row = msgspec.structs.replace(
            row, stdout=row.stdout[-keep:], stderr=row.stderr[-keep:], truncated=True
        )
    return row
