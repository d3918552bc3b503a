"""What boards say about themselves, and what follows from it; pure.

The tracker is told what arrived and when; what follows it leaves in the outbox. The way
of a heartbeat through here is the hottest of the master: it makes no object and no text
unless something is news.
"""

import msgspec

from broker.contract.messages import (
    Details,
    EventKind,
    Heartbeat,
    Status,
    Throttled,
    ThrottleFlag,
    Verdict,
)
from broker.contract.verbs import Verb
from master_service.incidents.incidents import Incidents
from master_service.presence.identity import (
    CLOCK,
    DUPLICATE_ID,
    Identities,
    changed,
    clock_skew,
)
from master_service.presence.verdicts import Verdicts
from master_service.rack.events import Outbox
from master_service.rack.node import NEVER, Pending, PingState, RackNode
from master_service.rack.registry import Registry

SHORTEST_INTERVAL_S = 0.2
LONGEST_INTERVAL_S = 3600.0
"""A node that says it beats less often than this would never be missed."""
FRESH_S = 3.0
"""Stored details this young, by a clock that is right, were said just now."""
LONGEST_BOOT_S = 900.0


class NodeTracker:
    """Takes what boards say; ``Verdicts`` says what it means.

    Args:
        incidents: Told what may have a cause in common.
        clock_skew_s: Difference of clocks, seconds, from which it is a fault.
    """

    def __init__(
        self,
        registry: Registry,
        verdicts: Verdicts,
        outbox: Outbox,
        incidents: Incidents,
        *,
        clock_skew_s: float,
    ) -> None:
        self._registry = registry
        self._verdicts = verdicts
        self._outbox = outbox
        self._incidents = incidents
        self._allowed_skew_s = clock_skew_s
        self._identities = Identities()

    def heartbeat(self, node: RackNode, beat: Heartbeat, now: float) -> None:
        """Takes a live heartbeat."""
        node.heard_at = now
        if beat.session != node.session:
            self._session(node, beat.session, now)
        if node.under_voltage or beat.throttled is not None:
            self._voltage(node, beat.throttled, now)
        skew_s = beat.ts - now - self._verdicts.wall_less_monotonic
        if abs(skew_s) > self._allowed_skew_s or CLOCK in node.faults:
            self._clock(node, skew_s)
        if node.no_vitals is beat.has_vitals:
            node.no_vitals = not beat.has_vitals
            self._verdicts.judge(node, now)
        if node.verdict is not Verdict.ONLINE:
            self._heard(node, now)
        if self._verdicts.trusted_at is NEVER:
            self._verdicts.connected_for((beat.seq - 1) * node.interval_s, now)

    def details(
        self, node: RackNode, details: Details, now: float, *, stored: bool
    ) -> None:
        """Takes a board's details.

        Args:
            stored: They may be old: the broker keeps them.
        """
        if not details.boot_id:  # unreadable: that does not prove another boot
            details = msgspec.structs.replace(details, boot_id=node.boot_id)
        again = node.details_round == self._verdicts.round
        node.details_round = self._verdicts.round
        age_s = now + self._verdicts.wall_less_monotonic - details.ts
        gone = bool(details.reason) or node.status is Status.OFFLINE
        live = not stored or again or (abs(age_s) < FRESH_S and not gone)
        if live:
            node.heard_at = now
        duplicate = self._identities.duplicate(node, details, now)
        if duplicate:
            self.fault(node, DUPLICATE_ID, duplicate)
        elif live and (text := changed(node.details, details)):
            self._note(node, text)
        shared = self._identities.hostname(node, details.hostname)
        if shared and live:
            self._note(node, shared)
        rebooted = bool(node.boot_id) and node.boot_id != details.boot_id
        node.details = details
        node.goodbye = details.reason
        node.interval_s = 0.0  # unknown: as the rack expects
        if details.interval_s:
            interval_s = max(details.interval_s, SHORTEST_INTERVAL_S)
            node.interval_s = min(interval_s, LONGEST_INTERVAL_S)
        if details.session != node.session:
            self._session(node, details.session, now, kept=stored and not again)
        if rebooted and not duplicate:
            self._rebooted(node, now)
        if live:
            self._heard(node, now)
        else:
            self._met(node)
            self._news(node, now)

    def status(
        self, node: RackNode, status: Status, session: str, now: float, *, stored: bool
    ) -> bool:
        """Takes a message on a board's status topic; returns False if it was fenced.

        The will of an older connection may come after the birth of the new one; the
        session tag of MQTT 5 shows it. What the master itself publishes there, when it
        declares a board dead, comes back here too and is not news.

        Args:
            session: The tag; empty when there is none.
            stored: It may be old: the broker keeps it.
        """
        foreign = bool(session and node.session) and session != node.session
        if status is Status.OFFLINE and foreign:
            return False
        if status is Status.OFFLINE and node.declared_dead:
            if not node.contradicted_round:
                return True  # we said it
            node.declared_dead = False  # its will: it had contradicted us before
        if status is Status.OFFLINE:
            node.contradicted_round = 0
        again = node.status_round == self._verdicts.round
        node.status_round = self._verdicts.round
        if status is Status.ONLINE and stored and not again:
            node.declared_dead = False  # the broker's store is older than what we said
        if status is Status.OFFLINE and node.status is not Status.OFFLINE:
            node.dropped_at = now
        node.status, node.status_at = status, now
        if foreign:
            self._session(node, session, now, kept=stored and not again)
        elif status is Status.ONLINE and node.declared_dead:
            # Its link contradicts us; its agent has still said nothing.
            node.contradicted_round = self._verdicts.round
            self._news(node, now)
            return True
        if status is Status.ONLINE and (not stored or again):
            node.heard_at = now
            self._heard(node, now)
        else:
            self._met(node)
            self._news(node, now)
        return True

    def spoke(self, node: RackNode, now: float) -> None:
        """Takes any other live message of a board: its agent is there."""
        node.heard_at = now
        if node.verdict is not Verdict.ONLINE:
            self._heard(node, now)

    def probed(self, node: RackNode, probe: PingState, note: str, now: float) -> None:
        """Takes what the board itself answered, or why it was not asked."""
        before = node.probe, node.answers_ping
        node.probe, node.probe_at, node.probe_note = probe, now, note
        connected = node.status is not Status.OFFLINE
        if node.pings.learn(probe, node.boot_id, now, connected=connected):
            self._outbox.learnt.add(node.id)
        if before != (node.probe, node.answers_ping):
            self._outbox.changed.add(node.id)
        self._outbox.moved.add(node.id)
        self._verdicts.judge(node, now)

    def expect(self, node: RackNode, pending: Pending | None, now: float) -> None:
        """Notes that a board is being rebooted or shut down, or (None) no more."""
        node.pending = pending
        if pending is not None:
            self._set_halted(node, "")
            node.pings.left_for = ("", "")
            if pending.verb is not Verb.SHUTDOWN:
                node.pings.left_for = (node.boot_id, pending.verb.value)
        self._verdicts.judge(node, now)

    def halted(self, node: RackNode, by: str, now: float) -> None:
        """Notes that a board was shut down, with proof."""
        node.pending = None
        self._set_halted(node, by or "a command")
        self._verdicts.judge(node, now)

    def forget(self, node: RackNode) -> None:
        """Drops what is remembered about a board that is forgotten."""
        self._incidents.forget(node)
        self._identities.forget(node)

    def fault(self, node: RackNode, name: str, text: str, incident: str = "") -> None:
        """Raises a named fault; an empty text ends it."""
        if node.faults.get(name, "") == text:
            return
        standing = name in node.faults
        if text:
            node.faults[name] = text
        else:
            del node.faults[name]
        if text and not standing:
            self._say(node, f"{name}: {text}", incident)
        elif not text:
            self._say(node, f"{name} is over", incident)
        self._outbox.changed.add(node.id)

    def tick(self, now: float) -> None:
        """Ends faults that are over, and lets incidents become clear."""
        self._incidents.tick(now)
        for node in self._registry.nodes.values():
            if DUPLICATE_ID in node.faults and self._identities.over(node, now):
                self.fault(node, DUPLICATE_ID, "")

    def _heard(self, node: RackNode, now: float) -> None:
        """Notes that a board spoke just now."""
        self._met(node)
        node.declared_dead = False
        node.contradicted_round = 0
        if node.halted_by and node.status is not Status.OFFLINE:
            self._set_halted(node, "")
        self._news(node, now)

    def _met(self, node: RackNode) -> None:
        """Notes that there is, or was, such a board."""
        if node.known:
            return
        node.known = True
        node.told = Verdict.ONLINE  # the line below says as much
        self._outbox.learnt.add(node.id)
        text = f"{node.name} was heard for the first time"
        self._outbox.note(EventKind.REGISTRY, text, node.id)

    def _set_halted(self, node: RackNode, by: str) -> None:
        if node.halted_by != by:
            node.halted_by = by
            self._outbox.learnt.add(node.id)

    def _news(self, node: RackNode, now: float) -> None:
        self._outbox.moved.add(node.id)
        self._verdicts.judge(node, now)

    def _session(
        self, node: RackNode, session: str, now: float, *, kept: bool = False
    ) -> None:
        returned = session == node.older_session
        if returned and kept:
            return  # what the broker kept; the newer one has been heard already
        if returned and self._identities.session_returned(node, now):
            text = f"two connections take turns as {node.id}"
            self.fault(node, DUPLICATE_ID, node.faults.get(DUPLICATE_ID, text))
        node.older_session, node.session = node.session, session

    def _rebooted(self, node: RackNode, now: float) -> None:
        self._outbox.note(EventKind.VERDICT, f"{node.name} has booted", node.id)
        self._set_halted(node, "")
        down_at = self._verdicts.down_since(node)
        node.dropped_at = None
        if down_at is None or not 0 < now - down_at < LONGEST_BOOT_S:
            return
        took_s = now - down_at
        node.boot_s = took_s if node.boot_s is None else (node.boot_s + took_s) / 2
        self._outbox.learnt.add(node.id)

    def _voltage(self, node: RackNode, throttled: Throttled | None, now: float) -> None:
        low = throttled is not None and ThrottleFlag.UNDER_VOLTAGE in throttled.now
        if low is node.under_voltage:
            return
        node.under_voltage = low
        incident = self._incidents.voltage(node, now, low=low)
        text = "its supply is too low now" if low else ""
        self.fault(node, "under-voltage", text, incident)

    def _clock(self, node: RackNode, skew_s: float) -> None:
        before = node.faults.get(CLOCK, "")
        text = clock_skew(skew_s, allowed_s=self._allowed_skew_s, standing=bool(before))
        if bool(before) is not bool(text):
            self.fault(node, CLOCK, text)

    def _note(self, node: RackNode, text: str) -> None:
        line = f"{node.name}: {text}"
        self._outbox.note(EventKind.REGISTRY, line, node.id, stack=node.stack)

    def _say(self, node: RackNode, text: str, incident: str) -> None:
        line = f"{node.name}: {text}"
        self._outbox.note(
            EventKind.FAULT, line, node.id, stack=node.stack, incident=incident
        )
