"""Numbers what happened, keeps it, and tells whoever listens."""

import contextlib

from broker.client.link import Link
from broker.common.errors import LinkError, PayloadError
from broker.contract.messages import encode
from broker.contract.topics import Topics
from master_service.rack.events import Draft
from master_service.rack.rate_limit import HistoryLimit
from master_service.store import Store


class Journal:
    """The rack's history, as it is written.

    Args:
        store: Where it is kept.
        link: Where it is published.
        topics: Of the rack.
        seq: First number to give.
    """

    def __init__(self, store: Store, link: Link, topics: Topics, seq: int) -> None:
        self._store = store
        self._link = link
        self._topics = topics
        self._seq = seq
        self._limit = HistoryLimit()

    def write(self, drafts: list[Draft], now: float, wall: float) -> None:
        """Number, keep and publish some lines, and empty the list.

        Args:
            drafts: Emptied.
            now: Monotonic seconds.
            wall: Unix time, seconds.
        """
        for draft in self._limit.passed(drafts, now):
            event = draft.event(seq=self._seq, ts=wall)
            self._seq += 1
            self._store.keep_event(event)
            # Without a broker the line is on disk all the same.
            with contextlib.suppress(LinkError, PayloadError):
                self._link.publish(self._topics.event, encode(event), qos=1)
        drafts.clear()
