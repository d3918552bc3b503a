"""A receipt in parts that fit the contract; pure."""

from collections.abc import Iterator

import msgspec

from broker.messages import MAX_PAYLOAD_BYTES, Reply, TargetRow

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
    head = len(_encoder.encode(reply)) + len(',"targets":[]')
    shares: list[list[TargetRow]] = [[]]
    used = head
    for row in rows:
        fitted, size = _fitted(row, ROOM_BYTES - head)
        if used + size > ROOM_BYTES and shares[-1]:
            shares.append([])
            used = head
        shares[-1].append(fitted)
        used += size
    for number, share in enumerate(shares, start=1):
        yield msgspec.structs.replace(
            reply, targets=tuple(share), part=number, parts=len(shares)
        )


def _fitted(row: TargetRow, room: int) -> tuple[TargetRow, int]:
    """Return a row that fits alone, its output cut from the front, and its size."""
    size = len(_encoder.encode(row)) + 1
    keep = max(len(row.stdout), len(row.stderr))
    while size > room and keep > _SHORTEST:
        keep //= 2
        row = msgspec.structs.replace(
            row, stdout=row.stdout[-keep:], stderr=row.stderr[-keep:], truncated=True
        )
        size = len(_encoder.encode(row)) + 1
    return row, size
