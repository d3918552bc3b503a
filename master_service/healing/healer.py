"""Self-healing: looks at the rack, and asks for steps by command; pure.

Its commands go through the dispatcher like those of a person, under its name: they are
refused, proven and written to the history alike.
"""

from collections.abc import Callable, Iterable

from broker.contract.messages import Command, Event, EventKind, Status, Verdict
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import PowerAction, Verb
from master_service.healing.escalation import (
    SICK,
    Attempts,
    Candidate,
    HealLimits,
    HealPlan,
    next_step,
)
from master_service.power.evidence import unasked
from master_service.power.power_command import FORCE
from master_service.presence.rack import Rack
from master_service.rack.command import OwnCommand
from master_service.rack.events import Draft
from master_service.rack.node import RackNode
from master_service.rack.settings import HealStep
from master_service.rack.times import Moment

NAME = "self-healing"
EVERY_S = 1.0
"""Between two looks at the rack."""
_BAD = SICK | {Verdict.UNPOWERED}
_WELL = frozenset({Verdict.ONLINE})
_GONE = frozenset({Verdict.OFF, Verdict.UNSEEN})


class BoardRecord:
    """What was done about one board since it became bad."""

    def __init__(self) -> None:
        self.tried: tuple[HealStep, ...] = ()
        self.last_at = -float("inf")
        self.said = ""
        self.over = False

    def treated(self, step: HealStep, now: float) -> None:
        """Notes that a step is tried."""
        self.tried, self.last_at, self.said = (*self.tried, step), now, ""


class Healer:
    """Looks after boards that are hung or lost."""

    def __init__(self, rack: Rack, new_id: Callable[[], str]) -> None:
        self._rack = rack
        self._settings = rack.settings.heal
        self._new_id = new_id
        self._limits = HealLimits(self._settings)
        self._records: dict[str, BoardRecord] = {}
        self._due = 0.0
        self._held = ""

    def remember(self, events: Iterable[Event]) -> None:
        """Counts the steps of the last day from the history, so that budgets hold."""
        for event in events:
            if event.kind is EventKind.HEAL and event.correlation:
                self._limits.spend(event.node, event.ts)

    def clock_set(self, step_s: float) -> None:
        """Moves the times of attempts steps with the wall clock, which was set."""
        self._limits.clock_set(step_s)

    def tick(self, at: Moment) -> list[OwnCommand]:
        """Returns the commands that are to be carried out now."""
        if not self._settings.enabled or at.now < self._due:
            return []
        self._due = at.now + EVERY_S
        if self._rack.verdicts.frozen(at.now):
            return []
        self._recoveries()
        sick = [n for n in self._rack.registry.nodes.values() if n.verdict in SICK]
        if not sick:
            self._held = ""
        if not sick or self._holds(at.now):
            return []
        requests = (self._look(node, at) for node in sick)
        return [request for request in requests if request is not None]

    def _look(self, node: RackNode, at: Moment) -> OwnCommand | None:
        record = self._records.setdefault(node.id, BoardRecord())
        if record.over:
            return None
        today = self._limits.today(node.id, at.wall)
        attempts = Attempts(record.tried, at.now - record.last_at, today)
        candidate = self._candidate(node, at)
        found = next_step(candidate, attempts, self._settings)
        if found.step is None:
            self._leave(node, record, found, at.now)
            return None
        hit = 1 + len(candidate.siblings) if found.step is HealStep.POWER else 1
        whole, under_way = self._known(), self._under_way()
        if not self._limits.room(hit=hit, under_way=under_way, whole=whole):
            return None
        record.treated(found.step, at.now)
        self._limits.spend(node.id, at.wall)
        what = _words(node, found.step, candidate, found.why)
        return self._step(node, found.step, candidate.outlet, what)

    def _step(
        self, node: RackNode, step: HealStep, outlet: str, what: str
    ) -> OwnCommand | None:
        """Writes what is done; returns it as a command, unless in a dry run."""
        if self._settings.dry_run:
            self._say(node, f"would do now: {what}", step=step)
            return None
        command_id = self._new_id()
        self._say(node, what, step=step, correlation=command_id)
        return _command(node, step, outlet, command_id)

    def _leave(
        self, node: RackNode, record: BoardRecord, found: HealPlan, now: float
    ) -> None:
        """Writes once why a board is left alone, and that a person is needed."""
        if found.over:
            record.over = True
            self._say(node, f"{node.name} needs a person: {found.why}")
            if record.tried and (stopped := self._limits.failed(now)):
                self._rack.outbox.note(EventKind.HEAL, stopped)
        elif found.why and found.why != record.said:
            record.said = found.why
            self._say(node, f"{node.name} is left alone: {found.why}")

    def _recoveries(self) -> None:
        """Drops the records of boards that are well, or not expected to speak."""
        for node_id, record in list(self._records.items()):
            node = self._rack.registry.nodes.get(node_id)
            if node is None or (node.verdict in _GONE and node.running is None):
                del self._records[node_id]
            elif node.verdict in _WELL:
                del self._records[node_id]
                if record.tried and not self._settings.dry_run:
                    self._limits.helped()
                    steps = ", ".join(record.tried)
                    self._say(node, f"{node.name} is well again after {steps}")

    def _holds(self, now: float) -> bool:
        """Returns whether nothing at all is done; writes why when that begins."""
        nodes = self._rack.registry.nodes.values()
        sick = sum(node.verdict in _BAD for node in nodes)
        why = self._limits.hold(sick=sick, whole=self._known(), now=now)
        if why and not self._held:
            self._rack.outbox.note(EventKind.HEAL, f"nothing is healed: {why}")
        self._held = why
        return bool(why)

    def _candidate(self, node: RackNode, at: Moment) -> Candidate:
        outlet, mates = _supply(self._rack, node)
        fed = self._rack.panel.of_node(node)
        mute = {} if fed is None else unasked(self._rack, [fed], mates)
        siblings = [mate for mate in mates if mate.verdict not in _BAD | _GONE]
        locked = [self._rack.locks.against(mate, NAME) for mate in mates]
        own = self._rack.settings.master.node
        locked += [f"{m.name} is the master's own" for m in mates if m.id == own]
        return Candidate(
            verdict=node.verdict,
            sick_s=at.now - node.verdict_at,
            connected=node.status is Status.ONLINE,
            abilities=node.abilities,
            on_purpose=bool(node.halted_by or node.goodbye),
            busy=node.running is not None or node.pending is not None,
            locked=self._rack.locks.against(node, NAME),
            outlet=outlet,
            siblings=tuple(sorted(mate.name for mate in siblings)),
            unasked=tuple(sorted(mute)),
            sibling_locked=next(filter(None, locked), ""),
        )

    def _known(self) -> int:
        return sum(node.known for node in self._rack.registry.nodes.values())

    def _under_way(self) -> int:
        """Counts the boards that a step of ours is under way on."""
        doing = (node.running for node in self._rack.registry.nodes.values())
        return sum(one is not None and one.by == NAME for one in doing)

    def _say(
        self, node: RackNode, text: str, *, step: str = "", correlation: str = ""
    ) -> None:
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.HEAL,
                text=text,
                node=node.id,
                stack=node.stack,
                verb=step,
                by=NAME,
                correlation=correlation,
                incident=self._rack.incidents.of(node),
            )
        )


def _supply(rack: Rack, node: RackNode) -> tuple[str, list[RackNode]]:
    """Returns the scope that switches a board's outlet, and who else loses power.

    Only an outlet that is the board's own, or the one of its whole stack, can be named
    by a scope; the scope is empty for any other.
    """
    fed = rack.panel.of_node(node)
    if fed is None:
        return "", []
    nodes = rack.registry.nodes.values()
    mates = [n for n in nodes if n is not node and rack.panel.of_node(n) is fed]
    if not mates:
        return str(Scope(ScopeKind.NODE, node.id)), []
    if fed.row.stack is None or fed.row.stack != node.stack:
        return "", mates
    others = [n for n in rack.registry.in_stack(node.stack) if n is not node]
    alone = all(rack.panel.of_node(other) is fed for other in others)
    return (str(Scope(ScopeKind.STACK, str(node.stack))) if alone else ""), mates


def _words(node: RackNode, step: HealStep, candidate: Candidate, why: str) -> str:
    """Returns what is done to a board, for how long it was bad, and why not less."""
    what = f"{step} of {node.name}, {node.verdict} for {candidate.sick_s:.0f} s"
    if why:
        what += f" ({why})"
    if step is HealStep.POWER and candidate.siblings:
        what += f"; with it: {', '.join(candidate.siblings)}"
    return what


def _command(
    node: RackNode, step: HealStep, outlet: str, command_id: str
) -> OwnCommand:
    """Returns a step as the command that a person would give."""
    scope, verb = Scope(ScopeKind.NODE, node.id), str(step)
    args: tuple[str, ...] = ()
    if step is HealStep.POWER:
        scope, verb = Scope.parse(outlet), Verb.POWER.value
        args = (PowerAction.CYCLE.value, f"{FORCE}={node.id}")
    command = Command(id=command_id, args=args, confirm=str(scope), by=NAME)
    return OwnCommand(scope, verb, command, attempt=True)
