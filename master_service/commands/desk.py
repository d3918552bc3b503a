"""Takes commands in, refuses what must not be done, and sees the rest through; pure.

Told what arrived and when, it returns what is to be done. Every command is answered.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from broker.common.errors import PayloadError, TopicError
from broker.contract.messages import Command, Phase, Reply, Result, TargetRow
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import Verb
from master_service.commands import cancel, consent, interrupted, parse, remember
from master_service.commands.admin import VERBS as ADMIN_VERBS
from master_service.commands.admin import Admin
from master_service.commands.counter import Counter
from master_service.commands.effects import (
    Answer,
    Asked,
    ClearTopics,
    Commit,
    Effects,
    Persist,
    PublishAll,
    RefusedError,
    Request,
    Route,
    Switched,
)
from master_service.commands.lines import line
from master_service.commands.orders import Orders
from master_service.commands.receipt import parts
from master_service.commands.run import Run
from master_service.power.boards import found
from master_service.power.steps import Action
from master_service.power.switchboard import Switchboard
from master_service.presence.rack import Rack
from master_service.rack.node import Node
from master_service.rack.rate_limit import (
    COMMANDS_A_SECOND,
    COMMANDS_AT_ONCE,
    REFUSALS_A_SECOND,
    REFUSALS_AT_ONCE,
    RateLimit,
)
from master_service.rack.records import CommandBegun, CommandEnded, PartRecord
from master_service.rack.times import Moment

IDS_REMEMBERED = 4_096
RUNS_AT_ONCE = 1_000
RETAINED = "a retained command is never obeyed; it was cleared, send it without retain"
HALTED = "the master stops just now; ask again in a moment"
COLD_START = "cold-start"
ELSEWHERE = frozenset({Verb.SILENCE, Verb.HISTORY})
"""Verbs of the contract that this master does not carry out."""


class Desk:
    """The commands of the rack.

    Args:
        rack: The rack.
        done: Ids of destructive commands from before the start.
        new_id: Makes an id for a command that has none.
    """

    def __init__(
        self, rack: Rack, done: Iterable[str], new_id: Callable[[], str]
    ) -> None:
        self._rack = rack
        self._new_id = new_id
        self._orders = Orders(rack)
        self._admin = Admin(rack)
        self.power = Switchboard(rack, self._orders)
        """What is under way with the outlets."""
        self._counter = Counter(rack, self.power)
        self._runs: dict[str, Run] = {}
        self._rate = RateLimit(COMMANDS_AT_ONCE, COMMANDS_A_SECOND)
        self._refusals = RateLimit(REFUSALS_AT_ONCE, REFUSALS_A_SECOND)
        self._by_node: dict[str, set[str]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict.fromkeys(done)
        self._halted = False

    @property
    def running(self) -> int:
        """Commands under way."""
        return len(self._runs)

    def accept(self, request: Request, at: Moment) -> Effects:
        """Take one command.

        Raises:
            PayloadError: It cannot be understood; ``refusal`` answers that.
        """
        if request.retained:
            return self._refuse_retained(request, at)
        command = parse.read(request.payload)
        asked = Asked(
            command.id or self._new_id(), command, request.route, at, request.attempt
        )
        flood = request.outside and not self._rate.take(command.by, at.now)
        if flood or asked.id in self._runs:
            return self._too_many(asked) if flood else []
        why = self._rack.locks.posing(command.by) if request.outside else ""
        if asked.id in self._seen:
            why = f"id {asked.id!r} was used before; an id runs once"
        if self._halted:
            why = HALTED
        if why:
            return self.refusal(asked, Phase.REFUSED, why)
        if parse.expired(command, at.wall if self._rack.clock_synced else None):
            return self.refusal(asked, Phase.EXPIRED, "its time to begin was over")
        self._remember(asked.id)
        try:
            return self._begin(asked)
        except (TopicError, RefusedError) as error:
            self.not_begun(asked.id)
            rows = error.rows if isinstance(error, RefusedError) else ()
            return self.refusal(asked, Phase.REFUSED, str(error), rows)

    def not_begun(self, command_id: str) -> None:
        """Lets an id be used again: the command was refused before it did anything."""
        self._seen.pop(command_id, None)

    def _too_many(self, asked: Asked) -> Effects:
        """Refuse a command of somebody who sends too many, as long as that can be told.

        A refusal for each of thousands a second would push other answers out.
        """
        who = asked.command.by or "askers without a name"
        text = f"{who}: more than {COMMANDS_A_SECOND} commands a second; wait a little"
        self._note(asked, f"{Phase.REFUSED}: {text}")
        if not self._refusals.take("", asked.at.now):
            return []
        reply = asked.reply(Phase.REFUSED, ok=False, error=text)
        return [Answer(reply, asked.route)]

    def misread(self, request: Request, error: PayloadError, at: Moment) -> Effects:
        """Answer a command that could not be understood."""
        asked = Asked(parse.asked_id(request.payload), Command(), request.route, at)
        return self.refusal(asked, Phase.REFUSED, str(error))

    def unaddressed(self, request: Request, scope: str, verb: str, why: str) -> Effects:
        """Answer a command whose topic has no legal scope or verb."""
        reply = Reply(
            id=parse.asked_id(request.payload),
            verb=verb,
            scope=scope,
            phase=Phase.REFUSED,
            ok=False,
            error=RETAINED if request.retained else why,
        )
        cleared = [ClearTopics((request.topic,))] if request.retained else []
        return [*cleared, Answer(reply, request.route)]

    def refusal(
        self, asked: Asked, phase: Phase, error: str, rows: Sequence[TargetRow] = ()
    ) -> Effects:
        """Answer a command that is not carried out, and keep it in the history."""
        self._note(asked, f"{phase}: {error}")
        reply = asked.reply(phase, ok=False, error=error)
        return [Answer(part, asked.route) for part in parts(reply, list(rows))]

    def result(self, node: Node, result: Result, at: Moment) -> Effects:
        """Take what a node answers to an order."""
        run = self._runs.get(result.id)
        if run is None or node.id not in run.rows:
            return []
        if run.asked.verb == Verb.POWER:
            self.power.result(run, node, result, at.now)
            return []
        self._orders.proof.result(run, node, result, at.now)
        return self._go_on(run, at)

    def look(self, node: Node, at: Moment) -> Effects:
        """Look at a node about which something is new."""
        effects: Effects = []
        for run_id in tuple(self._by_node.get(node.id, ())):
            run = self._runs[run_id]
            if run.asked.verb == Verb.POWER:
                effects += self.power.look(run, at)
            else:
                effects += self._orders.proof.look(run, node, at.now)
            effects += self._go_on(run, at)
        return effects

    def undelivered(self, node_id: str, order_id: str, why: str, at: Moment) -> Effects:
        """Take that an order could not be sent."""
        run = self._runs.get(order_id)
        if run is None or node_id not in run.rows:
            return []
        if not self.power.undelivered(run, node_id, why, at.now):
            self._orders.proof.undelivered(run, node_id, why, at.now)
        return self._go_on(run, at)

    def switched(self, done: Switched, at: Moment) -> Effects:
        """Take what came of switching an outlet; its level is read back by now."""
        effects = self.power.switched(done, at)
        if not self._halted:
            return effects + self.tick(at)
        for run in list(self._runs.values()):  # what is over by this has its last word
            effects += self._finish(run, at)
        return effects

    def halt(self) -> None:
        """Refuses every further command, and lets no outlet under way go on."""
        self._halted = True

    def tick(self, at: Moment) -> Effects:
        """Let time pass: deadlines, pauses, progress."""
        if self._halted:
            return []
        effects = self._counter.tick(at) + self.power.tick(at)
        for run in list(self._runs.values()):
            if run.asked.verb != Verb.POWER:
                for key, row in run.rows.items():
                    if row.open and row.deadline <= at.now:
                        effects += self._orders.proof.overdue(run, key, at.now)
            effects += self._go_on(run, at) or run.progress(at.now)
        return effects

    def resume(self, records: Iterable[PartRecord], at: Moment) -> Effects:
        """Take up what was under way before the start, or report it."""
        effects: Effects = []
        for mine in remember.by_command(records):
            run = Run(remember.asked(mine[0], at), self._rack.outbox)
            run.kept = True
            self._remember(run.id)
            if run.asked.verb == Verb.POWER:
                effects += self.power.resume(run, mine, at)
            else:
                interrupted.report(run, mine[0], self._rack.registry, at.now)
            self._register(run)
            if run.open:
                self._note(run.asked, "goes on after a restart of the master")
            effects += self._finish(run, at)
        return effects

    def cold_start(self, boot_id: str, at: Moment) -> Effects:
        """Bring every outlet to what it shall be after a mains cut.

        Args:
            boot_id: Of the master's machine, which came back just now.
            at: This moment.
        """
        command = Command(by=COLD_START)
        route = Route(Scope(ScopeKind.RACK), Verb.POWER)
        asked = Asked(f"{COLD_START}-{boot_id[:8]}", command, route, at)
        run = Run(asked, self._rack.outbox)
        effects = self.power.cold_start(run, at)
        return self._started(run, effects) if run.rows else []

    def _begin(self, asked: Asked) -> Effects:
        run = Run(asked, self._rack.outbox)
        if asked.verb in ELSEWHERE:
            text = f"this master does not carry out {asked.verb!r}"
            raise RefusedError(text)
        if len(self._runs) >= RUNS_AT_ONCE:
            text = f"{RUNS_AT_ONCE} commands are under way; try again in a moment"
            raise RefusedError(text)
        if self._counter.serves(asked.verb):
            return self._counter.begin(asked)
        if asked.verb == Verb.SNAPSHOT:
            return self._started(run, [PublishAll()])
        if self._admin.wants_undo(run):
            return self._started(run, self._admin.undo_forget(run, asked.at))
        if asked.verb == Verb.CANCEL:
            return self._cancel(run)
        if asked.verb == Verb.POWER:
            return self._begin_power(run)
        nodes = self._rack.registry.targets(asked.scope)
        if asked.verb == Verb.RUN and not asked.command.args:
            text = "run needs an alias: run <alias> [value …]"
            raise RefusedError(text)
        if run.destructive:
            consent.require(asked, nodes)
        carry_out = self._admin if asked.verb in ADMIN_VERBS else self._orders
        return self._started(run, carry_out.begin(run, nodes, asked.at))

    def _begin_power(self, run: Run) -> Effects:
        choice = self.power.choice
        action, _ = choice.action(run)
        outlets = choice.outlets(run.asked.scope)
        self._counter.require_free(run.asked, outlets, choice.hit(outlets))
        if action is not Action.ON:
            boards = [board for _, board in found(self._rack, outlets)]
            consent.require(run.asked, choice.hit(outlets), boards)
        return self._started(run, self.power.begin(run, outlets, run.asked.at))

    def _cancel(self, run: Run) -> Effects:
        at, effects, install = run.asked.at, Effects(), self._rack.locks.run
        owed = [] if run.asked.command.args else self.power.owed(run.asked.scope)
        try:
            others = cancel.chosen(run.asked, list(self._runs.values()), install)
        except RefusedError:
            if not owed:
                raise
            others = []
        for other in others:
            effects += cancel.stop(run, other, self.power, at)
            effects += self._finish(other, at)
        if not run.asked.command.args:  # also those whose command was just stopped
            owed = self.power.owed(run.asked.scope)
        for fed in owed:
            effects += cancel.forgo(run, fed, at)
        return self._started(run, effects)

    def _started(self, run: Run, effects: Effects) -> Effects:
        """Answer that it was taken, and finish what is over already.

        What must not be forgotten is on disk before it is answered, let alone done.
        """
        self._register(run)
        waits = run.waves is not None and run.waves.waiting
        first: Effects = []
        if run.open and (run.destructive or waits):
            run.kept = True
            self._note(run.asked, run.beginning)
            first = [Persist(CommandBegun(run.id)), *self._records(run), Commit(run.id)]
        return [*first, *run.accepted(), *effects, *self._finish(run, run.asked.at)]

    def _records(self, run: Run) -> Effects:
        if run.asked.verb == Verb.POWER:
            return self.power.records(run)
        return [Persist(remember.part(run.asked, run.rows))]

    def _register(self, run: Run) -> None:
        self._runs[run.id] = run
        for key in run.rows:
            self._by_node.setdefault(key, set()).add(run.id)

    def _go_on(self, run: Run, at: Moment) -> Effects:
        return self._orders.advance(run, at) + self._finish(run, at)

    def _finish(self, run: Run, at: Moment) -> Effects:
        if run.open or run.id not in self._runs:
            return []
        del self._runs[run.id]
        for key in run.rows:
            self._by_node[key].discard(run.id)
            if not self._by_node[key]:
                del self._by_node[key]
        told = any(row.told for row in run.rows.values())
        if run.outcome is Phase.REFUSED and not told:
            self.not_begun(run.id)
        self._note(run.asked, run.summary)
        # Answered first: killed in between, it is answered again rather than never.
        last: Effects = [Persist(CommandEnded(run.id)), Commit()] if run.kept else []
        return [*run.final(at.now), *last]

    def _refuse_retained(self, request: Request, at: Moment) -> Effects:
        """Clear a retained command; an empty one is only somebody's clearing of it."""
        if not request.payload:
            return []
        asked = Asked(parse.asked_id(request.payload), Command(), request.route, at)
        answer = self.refusal(asked, Phase.REFUSED, RETAINED)
        return [ClearTopics((request.topic,)), *answer]

    def _remember(self, command_id: str) -> None:
        self._seen[command_id] = None
        while len(self._seen) > IDS_REMEMBERED:
            self._seen.popitem(last=False)

    def _note(self, asked: Asked, text: str) -> None:
        self._rack.outbox.drafts.append(line(self._rack.registry, asked, text))
