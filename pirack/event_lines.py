"""How lines of the history are printed, and folded by incident; pure."""

import time
from collections.abc import Iterable

import msgspec

from broker.common.log import printable, printable_json
from broker.contract.messages import Event, EventKind

_KIND_WIDTH = max(len(kind) for kind in EventKind)


def line(event: Event) -> str:
    """Return a line for a terminal: local time, kind, sentence, incident."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.ts))
    mark = f"  ({event.incident})" if event.incident else ""
    line = f"{stamp}  {event.kind:<{_KIND_WIDTH}}  {event.text}{mark}"
    return printable(line, "")


def written(event: Event, *, as_json: bool) -> str:
    """Return a line for a terminal, or for a program."""
    if as_json:
        return printable_json(msgspec.json.encode(event).decode())
    return line(event)


def fold(events: Iterable[Event]) -> list[Event]:
    """Return one event for each incident, and every other event, in order.

    Args:
        events: Oldest first.
    """
    heads: dict[str, Event] = {}
    counts: dict[str, int] = {}
    kept: dict[int, Event] = {}
    for event in events:
        if not event.incident:
            kept[event.seq] = event
            continue
        before = heads.get(event.incident)
        counts[event.incident] = counts.get(event.incident, 0) + 1
        weaker = before is None or before.kind is not EventKind.INCIDENT
        if weaker or event.kind is EventKind.INCIDENT:
            heads[event.incident] = event
    for incident, head in heads.items():
        more = counts[incident] - 1
        tail = f" [{more} more line{'s' * (more > 1)}]" if more else ""
        kept[head.seq] = msgspec.structs.replace(head, text=head.text + tail)
    return [kept[seq] for seq in sorted(kept)]
