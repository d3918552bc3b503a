"""One browser tab as the hub sees it."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from dashboard.live import rows
from dashboard.live.install_feed import InstallFeed
from dashboard.live.record import Record
from dashboard.live.search import Query, parse
from dashboard.server.users import PageUser

log = logging.getLogger(__name__)

_MAX_WAITING = 50
"""Private items kept for a tab that does not listen; the newest win."""


class Port(Protocol):
    """The way to one browser tab."""

    @property
    def open(self) -> bool:
        """Whether something sent now would be sent now."""

    def send(self, number: int, shared: str, private: str) -> None:
        """Send one message.

        Args:
            number: Counts up by one; 0 starts anew with a snapshot.
            shared: JSON that is the same for all tabs.
            private: JSON for this one.
        """


class View:
    """What one tab looks at, and what it has been sent.

    Args:
        port: The way to it.
        user: Who looks.
    """

    def __init__(self, port: Port, user: PageUser) -> None:
        self.port = port
        self.user = user
        self.paused = False
        self.installing = False
        """Whether it shows the Install page."""
        self._number = 0
        self._fresh = False
        self._query = Query()
        self._matches: set[int] | None = None
        self._node = ""
        self._details_sent: object = None
        self._private: dict[str, Any] = {}
        self._all_due = True
        self._install_due = True
        self._told = False

    def resync(self) -> None:
        """Send everything again with the next tick: the tab missed something."""
        self._fresh = False

    def failed(self, error: Exception) -> None:
        """Try again from the start with the next tick; say so once, not each time."""
        self.resync()
        if not self._told:
            self._told = True
            log.error("a tab of %s cannot be told", self.user.name, exc_info=error)

    def search(self, text: str) -> None:
        """Look for something else from now on."""
        self._query = parse(text)
        self._matches = None
        self._all_due = True
        self._private["query"] = {"text": text, "hint": self._query.hint}

    def open_node(self, node: str) -> None:
        """Follow one node closely from now on; empty for none."""
        self._node = node
        self._details_sent = None
        self._all_due = True

    def follow_install(self, *, on: bool) -> None:
        """Show the install run board by board from now on, or no more."""
        self.installing = on
        self._install_due = True

    def push(self, key: str, item: object) -> None:
        """Add an item to the list ``key`` of the next message."""
        waiting = self._private.setdefault(key, [])
        waiting.append(item)
        del waiting[:-_MAX_WAITING]

    def deliver(
        self,
        shared: str,
        changed: Iterable[Record],
        nodes: dict[str, Record],
        snapshot: Callable[[], str],
        install: InstallFeed,
        *,
        now: float,
        wall: float,
    ) -> None:
        """Send what is new, in at most one message.

        Args:
            shared: JSON for all tabs; empty when there is nothing.
            changed: Nodes that changed in this tick.
            nodes: All nodes by id.
            snapshot: Makes the JSON of everything.
            install: The latest install run.
            now: Monotonic time, seconds.
            wall: Unix time, seconds.
        """
        if self.paused or not self.port.open:
            self._fresh = False
            return
        if not self._fresh:
            shared, self._number, self._fresh = snapshot(), -1, True
            self._all_due, self._matches, self._details_sent = True, None, None
            self._install_due = True
        looked_at = list(nodes.values()) if self._all_due else changed
        self._match(looked_at, nodes)
        self._follow(looked_at, nodes, now, wall)
        self._all_due = False
        self._watch(install)
        if not shared and not self._private:
            return
        self._number += 1
        private = msgspec.json.encode(self._private).decode()
        self._private = {}
        self.port.send(self._number, shared or "{}", private)

    def _watch(self, install: InstallFeed) -> None:
        if not self.installing:
            return
        found = install.whole() if self._install_due else install.delta
        self._install_due = False
        if found:
            self._private["install"] = found

    def _match(self, looked_at: Iterable[Record], nodes: dict[str, Record]) -> None:
        if not self._query.active:
            if self._all_due:
                self._private["match"] = None
            return
        found = set(self._matches or ())
        for record in looked_at:
            hit = record.id in nodes and self._query.matches(record)
            (found.add if hit else found.discard)(record.index)
        if found != self._matches:
            self._matches = found
            self._private["match"] = sorted(found)

    def _follow(
        self,
        looked_at: Iterable[Record],
        nodes: dict[str, Record],
        now: float,
        wall: float,
    ) -> None:
        if not self._node or not any(each.id == self._node for each in looked_at):
            if self._node and self._all_due:
                self._private["node"] = {"id": self._node, "unknown": True}
            return
        record = nodes.get(self._node)
        if record is None:
            self._private["node"] = {"id": self._node, "unknown": True}
            return
        found = rows.vitals(record, now, wall)
        if record.details is not self._details_sent:
            self._details_sent = record.details
            found["details"] = rows.details(record)
        self._private["node"] = found
