"""When a board is judged, and what a new verdict sets off; pure.

A board is judged when something about it is news, and when the moment comes at which
time alone may change its verdict (``deadline``). A heartbeat only moves that moment
further away, so it does not touch it: the deadline is looked at when it comes.
"""

from broker.contract.messages import EventKind, Power, Running, Verdict
from broker.contract.verbs import DESTRUCTIVE
from master_service.incidents.incidents import Incidents
from master_service.presence.judge import Facts, Judgement, judge
from master_service.rack.events import Draft, Outbox
from master_service.rack.node import NEVER, PingMemory, PingState, RackNode
from master_service.rack.outlet_state import OutletState, Panel
from master_service.rack.registry import Registry
from master_service.rack.settings import MasterSettings

PROBE_SOON_S = 1.0
"""First pause between two probes of a silent board, and the one while it stops."""
PROBE_LATER_S = 30.0
"""Longest pause between two probes."""
TOGETHER_INTERVALS = 1.5
"""Boards whose last beats lie no further apart fell silent together."""
QUIET_S = 3.0
"""Without a message of any kind for so long, silence of a board proves nothing yet: the
broker may hang. It is asked for a sign of life first."""
ECHO_EVERY_S = 2.0
"""Between two questions to a broker that says nothing."""
_DEAD = frozenset({Verdict.LATE, Verdict.LOST, Verdict.UNPOWERED})
_NOT_YET = frozenset({Verdict.UNSEEN, Verdict.UNKNOWN})
_OUT_OF_SERVICE = frozenset({Verdict.OFF, Verdict.UNSEEN, Verdict.STOPPING})


class Verdicts:
    """Finds the verdict of every board, whenever it may have changed.

    Args:
        incidents: Told every new verdict.
    """

    def __init__(
        self,
        registry: Registry,
        panel: Panel,
        outbox: Outbox,
        settings: MasterSettings,
        incidents: Incidents,
    ) -> None:
        self.round = 0
        """Counts connections: the first status in one may be an old, stored one."""
        self.wall_less_monotonic = 0.0
        """Unix time less monotonic time, seconds; set with every tick."""
        self.trusted_at = NEVER
        """When it was clear that the broker has been up all the time, monotonic."""
        self.heard_at = 0.0
        """When anything came from the broker, monotonic."""
        self._quiet = False
        self._echo_due = 0.0
        self._registry = registry
        self._panel = panel
        self._outbox = outbox
        self._settings = settings
        self._incidents = incidents
        self._link_down = True
        self._down_at: float | None = None
        self._back_at = 0.0

    @property
    def grace_until(self) -> float:
        """End of the grace after the broker or the master came back, monotonic."""
        return self._back_at + self._settings.grace_s

    def link_down(self, now: float) -> None:
        """Freezes every verdict: without a broker nothing can be known."""
        if not self._link_down:
            self._link_down = True
            self._down_at = now
            self._incidents.link_down(now)

    def link_up(self, now: float, wall: float) -> None:
        """Begins the grace, and judges every board again."""
        self.wall_less_monotonic = wall - now
        self._link_down = self._quiet = False
        self._back_at = self.heard_at = now
        self._incidents.link_up(now, self.grace_until)
        self.trusted_at = NEVER
        self.round += 1
        for node in self._registry.nodes.values():
            self.judge(node, now)

    def connected_for(self, seconds: float, now: float) -> None:
        """Notes for how long a board has been connected, and the broker up at least.

        If that is longer than the grace, a board that is not connected is away for a
        reason of its own: its stored ``offline`` does not come from an outage.
        """
        if seconds < self._settings.grace_s:
            return
        self.trusted_at = now
        for node in self._registry.nodes.values():
            if node.verdict is Verdict.UNKNOWN:
                node.deadline = now

    def frozen(self, now: float) -> str:
        """Returns why verdicts are not to be trusted yet; empty in normal operation."""
        if self._link_down:
            return "the master has no connection to a broker"
        if self._quiet:
            return "nothing comes from the broker; it is being asked for a sign of life"
        if now >= self.grace_until:
            return ""
        verdicts = (node.verdict for node in self._registry.nodes.values())
        count = sum(1 for verdict in verdicts if verdict is Verdict.UNKNOWN)
        if not count:
            return ""
        waiting = f"{count} {'board' if count == 1 else 'boards'} not heard again yet"
        if self._down_at is None:
            return f"the master just started; {waiting}"
        away_s = self._back_at - self._down_at
        return f"the broker was away for {away_s:.0f} s; {waiting}"

    def tick(self, now: float, wall: float) -> list[RackNode]:
        """Judges the boards whose moment has come; returns those to probe.

        A loop over all: at 5 000 boards it costs less than keeping a heap in order
        would on every heartbeat.
        """
        if self._link_down:
            return []
        self.wall_less_monotonic = wall - now
        to_probe: list[RackNode] = []
        if self._broker_is_quiet(now):
            return to_probe
        for node in self._registry.nodes.values():
            if node.deadline <= now:
                self.judge(node, now)
            if node.wants_probe and node.probe_due <= now:
                to_probe.append(node)
                self._next_probe(node, now)
        return to_probe

    def echo_due(self, now: float) -> bool:
        """Returns whether the broker is to be asked for a sign of life now."""
        if not self._quiet or now < self._echo_due:
            return False
        self._echo_due = now + ECHO_EVERY_S
        return True

    def _broker_is_quiet(self, now: float) -> bool:
        """Returns whether a verdict is due by silence while nothing comes at all."""
        nodes = self._registry.nodes.values()
        self._quiet = now - self.heard_at > QUIET_S and any(
            node.deadline <= now for node in nodes
        )
        return self._quiet

    def outlet_moved(self, fed: OutletState, now: float) -> None:
        """Judges every board that an outlet feeds, for its level changed."""
        if fed.level is Power.ON:
            self.power_came(fed)
        for node in self._registry.nodes.values():
            if self._panel.of_node(node) is fed:
                self.judge(node, now)
                self._outbox.moved.add(node.id)

    def power_came(self, fed: OutletState | None = None) -> None:
        """Forgets what was known of the boots that boards had before their power came.

        A board that was shut down boots now. Its goodbye, and that it answered pings,
        are of the boot before: they are no evidence that it is down.

        Args:
            fed: The outlet that came on; None: all of them, after a mains cut.
        """
        for node in self._registry.nodes.values():
            if fed is not None and self._panel.of_node(node) is not fed:
                continue
            if node.halted_by or node.pings.boot:
                self._outbox.learnt.add(node.id)
            if fed is None or fed.before is Power.OFF:
                node.halted_by = ""
            # Also after an unknown level: it may have been off.
            node.pings = PingMemory()

    def down_since(self, node: RackNode) -> float | None:
        """Returns when a board that now booted began to be away, monotonic seconds."""
        fed = self._panel.of_node(node)
        # After a time without an answer it is not known when the power came.
        edge = fed is not None and fed.before is not Power.UNKNOWN
        powered = fed.since if fed is not None and edge else None
        known = [at for at in (powered, node.dropped_at) if at is not None]
        return max(known, default=None)

    def judge(self, node: RackNode, now: float) -> None:
        """Finds the verdict of a board, and declares it if it is another one."""
        if self._link_down:
            return
        finding = judge(self._facts(node, now))
        node.deadline = finding.until
        online = finding.verdict is Verdict.ONLINE
        asks = finding.ask or (online and node.pings.wanted(node.boot_id))
        if asks and not node.wants_probe:
            node.probe_due = now
        node.wants_probe = asks
        if finding.verdict is not node.verdict:
            self._declare(node, finding, now)
        elif finding.reason != node.reason:
            node.reason = finding.reason
            self._outbox.changed.add(node.id)

    def _declare(self, node: RackNode, finding: Judgement, now: float) -> None:
        before, node.verdict = node.verdict, finding.verdict
        node.reason, node.verdict_at = finding.reason, now
        news = finding.verdict not in {Verdict.UNKNOWN, node.told}
        as_before = before in _NOT_YET and finding.verdict is node.told
        begun = node.told_since if as_before else 0.0
        node.since = begun or now + self.wall_less_monotonic
        self._outbox.changed.add(node.id)
        self._outbox.moved.add(node.id)
        asked = _command(node)
        explained = asked is not None or node.pending is not None or not news
        incident = self._incidents.verdict(node, before, now, asked=explained)
        if news or incident:
            self._outbox.drafts.append(_line(node, asked, incident))
        if news:
            node.told, node.told_since = finding.verdict, node.since
            self._outbox.learnt.add(node.id)
        for mate in self._mates(node, self._panel.of_node(node)):
            if mate is not node and mate.verdict in _DEAD:
                mate.deadline = now

    def _next_probe(self, node: RackNode, now: float) -> None:
        """Asks a board soon at first, and ever less often while it stays the same."""
        age_s = max(PROBE_SOON_S, now - node.verdict_at)
        pause_s = PROBE_SOON_S if node.pending is not None else age_s
        node.probe_due = now + min(pause_s, PROBE_LATER_S)

    def _facts(self, node: RackNode, now: float) -> Facts:
        fed = self._panel.of_node(node)
        part = fed is not None and len(fed.row.nodes) > 1
        return Facts(
            now=now,
            interval_s=node.interval_s or self._settings.interval_s,
            before=node.verdict,
            before_at=node.verdict_at,
            back_at=self._back_at,
            grace_until=self.grace_until,
            trusted_at=self.trusted_at,
            known=node.known,
            heard_at=node.heard_at,
            status=node.status,
            status_at=node.status_at,
            no_vitals=node.no_vitals,
            link_answers=0 < node.contradicted_round == self.round,
            goodbye=node.goodbye,
            probe=node.probe,
            probe_at=node.probe_at,
            probe_note=node.probe_note,
            outlet=fed.view() if fed is not None else None,
            pending=node.pending,
            halted_by=node.halted_by,
            boot_s=node.boot_s or self._settings.boot_s,
            together=self._together(node, self._mates(node, fed)),
            shares="outlet" if part else "stack",
        )

    def _together(self, node: RackNode, mates: list[RackNode]) -> int:
        """Counts the boards that fell silent as one; 0 if any of its mates lives."""
        window_s = TOGETHER_INTERVALS * (node.interval_s or self._settings.interval_s)
        count = 1
        for mate in mates:
            if mate is node or mate.verdict in _OUT_OF_SERVICE:
                continue
            if mate.verdict not in _DEAD or _answers(mate):
                return 0
            count += _as_one(node.heard_at, mate.heard_at, window_s)
        return count

    def _mates(self, node: RackNode, fed: OutletState | None) -> list[RackNode]:
        """Returns the boards that share its supply: an outlet's, else its stack's."""
        if fed is not None and len(fed.row.nodes) > 1:
            known = self._registry.nodes
            return [known[mate] for mate in fed.row.nodes if mate in known]
        return [] if node.stack is None else self._registry.in_stack(node.stack)


def _answers(node: RackNode) -> bool:
    """Returns whether a board answered a ping after its agent was heard last."""
    heard_at = -NEVER if node.heard_at is None else node.heard_at
    return node.probe is PingState.ANSWERED and node.probe_at > heard_at


def _as_one(one: float | None, other: float | None, window_s: float) -> bool:
    """Returns whether two boards were heard last at the same time, or both never."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= window_s


def _command(node: RackNode) -> Running | None:
    """Returns the command under way that explains what becomes of a board."""
    running = node.running
    return running if running is not None and running.verb in DESTRUCTIVE else None


def _line(node: RackNode, asked: Running | None, incident: str) -> Draft:
    """Returns the line of history about a new verdict."""
    tail = f": {node.reason}" if node.reason else ""
    return Draft(
        kind=EventKind.VERDICT,
        text=f"{node.name} is {node.verdict}{tail}",
        node=node.id,
        stack=node.stack,
        verb=asked.verb if asked is not None else "",
        by=asked.by if asked is not None else "",
        correlation=asked.id if asked is not None else "",
        incident=incident,
    )
