"""Publishes for one node: status, details, heartbeats, results; in one session.

Nothing here raises because of a board, a broken link or a number of a subclass.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from broker.client.link import Link
from broker.common.errors import LinkError
from broker.common.log import Rejections
from broker.contract.messages import Ability, Result, encode
from broker.contract.messages.node import Status
from broker.contract.topics import NodeLeaf, Topics
from node_agent import report
from node_agent.board import Board, MachineFacts, Vitals

UNSENT_RESULTS = 32
"""Results that ended while the broker was away; they are sent when it is back."""

T = TypeVar("T")


class NodePublisher:
    """Publishes for one node on its link."""

    def __init__(
        self,
        node_id: str,
        *,
        board: Board,
        link: Link,
        topics: Topics,
        interval_s: float,
        rejections: Rejections,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.abilities: Sequence[Ability] = ()
        """What details say the node can do."""
        self.unable: Mapping[str, str] = {}
        """What they say it cannot, and why."""
        self.unprobed: Mapping[str, str] = {}
        """Of which they say that it is not known yet, and why."""
        self.details_at = 0.0
        """When details were last published or found unchanged, by the clock."""
        self._board = board
        self._link = link
        self._interval_s = interval_s
        self._rejections = rejections
        self._clock = clock
        self._status = topics.node(node_id, NodeLeaf.STATUS)
        self._details = topics.node(node_id, NodeLeaf.DETAILS)
        self._heartbeat = topics.node(node_id, NodeLeaf.HEARTBEAT)
        self._result = topics.node(node_id, NodeLeaf.RESULT)
        self._session = ""
        self._seq = 0
        self._facts: MachineFacts | None = None
        self._wrong: dict[str, str] = {}
        """What is wrong with the heartbeats now, by part."""
        self._published: tuple[object, ...] = ()
        """What the last details had beside the facts."""
        self._unsent: deque[Result] = deque(maxlen=UNSENT_RESULTS)

    def begin(self, session: str) -> None:
        """Publishes details in a new session, and the results that were kept for it."""
        self._session = session
        self._seq = 0
        self.publish_details()
        while self._unsent and self._send_result(self._unsent[0]):
            self._unsent.popleft()

    def publish_status(self) -> None:
        """Publishes ``online`` again; the link does so itself when it connects."""
        self.send(self._status, Status.ONLINE.encode(), qos=1, retain=True)

    def publish_details(self, reason: str = "") -> None:
        """Publishes details as they are now.

        Args:
            reason: Why the node goes offline right after; empty while it stays.
        """
        facts = self._ask("facts", self._board.facts)
        if facts is not None:
            self._facts = facts
            self._send_details(facts, reason)

    def publish_changed_details(self) -> None:
        """Publishes details if they are not what was published last."""
        facts = self._ask("facts", self._board.facts)
        self.details_at = self._clock()
        if facts is None:
            return
        if facts != self._facts or self._beside_facts() != self._published:
            self._facts = facts
            self._send_details(facts)

    def publish_heartbeat(self, numbers: Mapping[str, float]) -> None:
        """Publishes one heartbeat; with nothing but the uptime if the board fails.

        Args:
            numbers: Numbers of the node's own, usable.
        """
        payload = self._ask(
            "vitals", lambda: self._heartbeat_payload(self._board.vitals(), numbers)
        )
        if payload is None:
            bare = Vitals(uptime_s=self._clock())
            payload = self._ask(
                "heartbeat", lambda: self._heartbeat_payload(bare, numbers)
            )
        if payload is not None:
            self._seq += 1
            self.send(self._heartbeat, payload)

    def publish_result(self, result: Result) -> None:
        """Publishes a result; a final one is kept for later while the link is down."""
        if not self._send_result(result) and result.phase.final:
            self._unsent.append(result)

    def note(self, part: str, wrong: str) -> None:
        """Counts what is wrong with a part of the heartbeats; details then name it.

        Args:
            part: Of the heartbeats.
            wrong: What is wrong; empty: nothing any more.
        """
        if not wrong:
            self._wrong.pop(part, None)
            return
        self._rejections.add(part, wrong)
        # The first text stays: one with a number in it would change all the time.
        self._wrong.setdefault(part, wrong)

    def trusted_time(self) -> float | None:
        """Returns the node's own clock, Unix seconds; None while it is not set."""
        facts = self._ask("facts", self._board.facts)
        return self._board.wall_time() if facts and facts.clock_synced else None

    def send(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> bool:
        """Publishes at most 16 KiB; returns False while the link is down."""
        try:
            self._link.publish(topic, payload, qos=qos, retain=retain)
        except LinkError:
            return False
        return True

    def _heartbeat_payload(self, vitals: Vitals, numbers: Mapping[str, float]) -> bytes:
        return encode(
            report.heartbeat(
                vitals,
                session=self._session,
                seq=self._seq + 1,
                ts=self._ask("wall_time", self._board.wall_time) or 0.0,
                extra=numbers,
            )
        )

    def _send_details(self, facts: MachineFacts, reason: str = "") -> None:
        self.details_at = self._clock()
        self._published = self._beside_facts()
        payload = self._ask("details", lambda: self._details_payload(facts, reason))
        if payload is not None:
            self.send(self._details, payload, qos=1, retain=True)

    def _beside_facts(self) -> tuple[object, ...]:
        """Returns what details have beside the board's facts, as it is now."""
        return (dict(self._wrong), self.abilities, self.unable, self.unprobed)

    def _details_payload(self, facts: MachineFacts, reason: str) -> bytes:
        addresses = facts.addresses
        # A simulated board keeps its invented address: its connection is shared.
        if not facts.simulated:
            addresses = report.reaching(self._link.local_address, addresses)
        unreadable = {**facts.unreadable, **self._wrong}
        details = report.details(
            msgspec.structs.replace(facts, unreadable=unreadable, addresses=addresses),
            session=self._session,
            interval_s=self._interval_s,
            abilities=self.abilities,
            ts=self._ask("wall_time", self._board.wall_time) or 0.0,
            unable=self.unable,
            unprobed=self.unprobed,
            reason=reason,
        )
        return report.encode_details(details)

    def _send_result(self, result: Result) -> bool:
        if not self._session:
            return False
        ours = msgspec.structs.replace(result, session=self._session)
        return self.send(self._result, report.encode_result(ours), qos=1)

    def _ask(self, part: str, reading: Callable[[], T]) -> T | None:
        """Returns what the board answers; a failure is counted and named in details."""
        try:
            answer = reading()
        except Exception as error:  # noqa: BLE001  # a board is anyone's; the node must live
            self.note(part, report.shown(error))
            return None
        self.note(part, "")
        return answer
