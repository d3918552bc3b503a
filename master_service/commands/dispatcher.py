"""Takes commands in, refuses what must not be done, and sees the rest through.

It is told what arrived and when, and returns what is to be done. Every command is
answered. ``accept`` takes what came over the broker; ``submit`` is the typed door for
the master's own: self-healing and install runs.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from broker.common.errors import PayloadError, TopicError
from broker.contract.messages import (
    Command,
    Phase,
    Reply,
    Result,
    RowCode,
    TargetRow,
)
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import PowerAction, Verb
from master_service.commands import cancel, parse
from master_service.commands.admin import VERBS as REGISTRY_VERBS
from master_service.commands.admin import Admin
from master_service.commands.lock_command import LockCommands, require_unlocked
from master_service.commands.orders import Orders
from master_service.power.evidence import found
from master_service.power.power_command import fed_by, outlets_of, requested
from master_service.power.switchboard import Switchboard
from master_service.presence.rack import Rack
from master_service.rack.command import (
    AskedCommand,
    CommandMessage,
    CommandRefusedError,
    OwnCommand,
)
from master_service.rack.command_run import CommandRun, asked_before, by_command
from master_service.rack.effects import (
    ClearTopics,
    Commit,
    Effects,
    OutletSwitched,
    Persist,
    PublishAll,
    Route,
    SendReply,
)
from master_service.rack.node import RackNode
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
SEVERAL = 2
"""From so many boards on, what interrupts them must be confirmed."""
NAMED = 16
"""Boards named in the sentence; the rows of the refusal name every one."""
ELSEWHERE = frozenset({Verb.SILENCE, Verb.HISTORY})
"""Verbs of the contract that this master does not carry out."""

Handler = Callable[[AskedCommand], Effects]
"""Carries out a verb that sends no order to nodes; may raise CommandRefusedError."""


class Dispatcher:
    """The commands of the rack.

    Args:
        done: Ids of destructive commands from before the start.
        new_id: Makes an id for a command that has none.
        perform: Does what a submitted command wants done.
    """

    def __init__(
        self,
        rack: Rack,
        done: Iterable[str],
        new_id: Callable[[], str],
        *,
        perform: Callable[[Effects], None],
        moment: Callable[[], Moment],
    ) -> None:
        self._rack = rack
        self._new_id = new_id
        self._perform = perform
        self._moment = moment
        self._orders = Orders(rack)
        self._admin = Admin(rack)
        self._lock_commands = LockCommands(rack)
        self.power = Switchboard(rack, self._orders.shut_down)
        """What is under way with the outlets."""
        self.handlers: dict[str, Handler] = {
            Verb.LOCK: self._lock_commands.begin,
            Verb.UNLOCK: self._lock_commands.begin,
        }
        """Verbs that other parts of the master carry out."""
        self._runs: dict[str, CommandRun] = {}
        self._rate = RateLimit(COMMANDS_AT_ONCE, COMMANDS_A_SECOND)
        self._refusals = RateLimit(REFUSALS_AT_ONCE, REFUSALS_A_SECOND)
        self._by_node: dict[str, set[str]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict.fromkeys(done)
        self._awaited: dict[str, asyncio.Future[Reply]] = {}
        self._halted = False

    @property
    def running(self) -> int:
        """Commands under way."""
        return len(self._runs)

    # --- what is asked ----------------------------------------------------------------

    def accept(self, message: CommandMessage, at: Moment) -> Effects:
        """Takes a command that came over the broker.

        Raises:
            PayloadError: It cannot be understood; ``misread`` answers that.
        """
        if message.retained:
            return self._refuse_retained(message, at)
        command = parse.read(message.payload)
        asked = AskedCommand(command.id or self._new_id(), command, message.route, at)
        if not self._rate.take(command.by, at.now):
            return self._refuse_flood(asked)
        # It is not ours, even if it says so in `by`.
        return self._take(asked, refused=self._rack.locks.posing(command.by))

    def submit(self, own: OwnCommand) -> asyncio.Future[Reply]:
        """Carries out a command of the master's own.

        Returns:
            Its last reply, as soon as that is published.
        """
        at = self._moment()
        route = Route(own.scope, own.verb)
        command_id = own.command.id or self._new_id()
        asked = AskedCommand(command_id, own.command, route, at, own.attempt)
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._awaited[asked.id] = answered
        answered.add_done_callback(lambda _: self._awaited.pop(asked.id, None))
        self._perform(self._take(asked))
        return answered

    def replied(self, reply: Reply) -> None:
        """Hands the last reply to a submitted command to its caller."""
        answered = self._awaited.get(reply.id)
        if answered is not None and reply.phase.final and not answered.done():
            answered.set_result(reply)

    def not_begun(self, command_id: str) -> None:
        """Lets an id be used again: the command was refused before it did anything."""
        self._seen.pop(command_id, None)

    def misread(
        self, message: CommandMessage, error: PayloadError, at: Moment
    ) -> Effects:
        """Answers a command that could not be understood."""
        asked_id = parse.asked_id(message.payload)
        asked = AskedCommand(asked_id, Command(), message.route, at)
        return self._refuse(asked, Phase.REFUSED, str(error))

    def unaddressed(
        self, message: CommandMessage, scope: str, verb: str, why: str
    ) -> Effects:
        """Answers a command whose topic has no legal scope or verb."""
        reply = Reply(
            id=parse.asked_id(message.payload),
            verb=verb,
            scope=scope,
            phase=Phase.REFUSED,
            ok=False,
            error=RETAINED if message.retained else why,
        )
        cleared = [ClearTopics((message.topic,))] if message.retained else []
        return [*cleared, SendReply(reply, message.route)]

    # --- what happens -----------------------------------------------------------------

    def result(self, node: RackNode, result: Result, at: Moment) -> Effects:
        """Takes a node's answer to an order."""
        run = self._runs.get(result.id)
        if run is None or node.id not in run.rows:
            return []
        if run.verb == Verb.POWER:
            self.power.result(run, node, result, at.now)
            return []
        self._orders.proof.result(run, node, result, at.now)
        return self._go_on(run, at)

    def look(self, node: RackNode, at: Moment) -> Effects:
        """Looks at a node about which something is new."""
        effects: Effects = []
        for run_id in tuple(self._by_node.get(node.id, ())):
            run = self._runs[run_id]
            if run.verb == Verb.POWER:
                effects += self.power.look(run, at)
            else:
                effects += self._orders.proof.look(run, node, at.now)
            effects += self._go_on(run, at)
        return effects

    def undelivered(self, node_id: str, order_id: str, why: str, at: Moment) -> Effects:
        """Takes that an order could not be sent."""
        run = self._runs.get(order_id)
        if run is None or node_id not in run.rows:
            return []
        if not self.power.undelivered(run, node_id, why, at.now):
            self._orders.proof.undelivered(run, node_id, why, at.now)
        return self._go_on(run, at)

    def switched(self, done: OutletSwitched, at: Moment) -> Effects:
        """Takes the result of switching an outlet; its level is read back by now."""
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
        """Lets time pass: deadlines, pauses, progress."""
        if self._halted:
            return []
        effects = self._lock_commands.tick(at) + self.power.tick(at)
        for run in list(self._runs.values()):
            if run.verb != Verb.POWER:
                for key, row in run.rows.items():
                    if row.open and row.deadline <= at.now:
                        effects += self._orders.proof.overdue(run, key, at.now)
            effects += self._go_on(run, at) or run.progress(at.now)
        return effects

    def resume(self, records: Iterable[PartRecord], at: Moment) -> Effects:
        """Goes on with what was under way before the start, or reports it."""
        effects: Effects = []
        for mine in by_command(records):
            run = CommandRun(asked_before(mine[0], at), self._rack.outbox)
            run.kept = True
            self._remember(run.id)
            if run.verb == Verb.POWER:
                effects += self.power.resume(run, mine, at)
            else:
                run.report_interrupted(mine[0], self._rack.registry, at.now)
            self._register(run)
            if run.open:
                self._note(run.asked, "goes on after a restart of the master")
            effects += self._finish(run, at)
        return effects

    def cold_start(self, boot_id: str, at: Moment) -> Effects:
        """Brings every outlet to its level after a mains cut.

        Args:
            boot_id: Of the master's machine, which came back just now.
        """
        command = Command(by=COLD_START)
        route = Route(Scope(ScopeKind.RACK), Verb.POWER)
        asked = AskedCommand(f"{COLD_START}-{boot_id[:8]}", command, route, at)
        run = CommandRun(asked, self._rack.outbox)
        effects = self.power.cold_start(run, at)
        return self._started(run, effects) if run.rows else []

    # --- how it begins ----------------------------------------------------------------

    def _take(self, asked: AskedCommand, *, refused: str = "") -> Effects:
        if asked.id in self._runs:
            return []
        if asked.id in self._seen:
            refused = f"id {asked.id!r} was used before; an id runs once"
        if self._halted:
            refused = HALTED
        if refused:
            return self._refuse(asked, Phase.REFUSED, refused)
        wall = asked.at.wall if self._rack.clock_synced else None
        if parse.expired(asked.command, wall):
            return self._refuse(asked, Phase.EXPIRED, "its time to begin was over")
        self._remember(asked.id)
        try:
            return self._begin(asked)
        except (TopicError, CommandRefusedError) as error:
            self.not_begun(asked.id)
            rows = error.rows if isinstance(error, CommandRefusedError) else ()
            return self._refuse(asked, Phase.REFUSED, str(error), rows)

    def _begin(self, asked: AskedCommand) -> Effects:
        if asked.verb in ELSEWHERE:
            text = f"this master does not carry out {asked.verb!r}"
            raise CommandRefusedError(text)
        if len(self._runs) >= RUNS_AT_ONCE:
            text = f"{RUNS_AT_ONCE} commands are under way; try again in a moment"
            raise CommandRefusedError(text)
        if handler := self.handlers.get(asked.verb):
            return handler(asked)
        run = CommandRun(asked, self._rack.outbox)
        match asked.verb:
            case Verb.SNAPSHOT:
                return self._started(run, [PublishAll()])
            case Verb.CANCEL:
                return self._cancel(run)
            case Verb.POWER:
                return self._begin_power(run)
        registry_verb = asked.verb in REGISTRY_VERBS
        if registry_verb and self._admin.wants_undo(run):
            return self._started(run, self._admin.undo_forget(run, asked.at))
        nodes = self._rack.registry.targets(asked.scope)
        if asked.verb == Verb.RUN and not asked.command.args:
            text = "run needs an alias: run <alias> [value …]"
            raise CommandRefusedError(text)
        if run.destructive:
            require_confirmed(asked, [(node.id, node.name) for node in nodes])
        begin = self._admin.begin if registry_verb else self._orders.begin
        return self._started(run, begin(run, nodes, asked.at))

    def _begin_power(self, run: CommandRun) -> Effects:
        asked = run.asked
        action, _ = requested(self._rack, asked.command.args)
        outlets = outlets_of(self._rack, asked.scope)
        nodes = fed_by(self._rack, outlets)
        stacks = [
            outlet.row.stack for outlet in outlets if outlet.row.stack is not None
        ]
        require_unlocked(self._rack, asked, nodes, stacks)
        if action is not PowerAction.ON:
            hit = [(node.id, node.name) for node in nodes]
            hit += [("", board.name) for _, board in found(self._rack, outlets)]
            require_confirmed(asked, hit)
        return self._started(run, self.power.begin(run, outlets, asked.at))

    def _cancel(self, run: CommandRun) -> Effects:
        at, effects, install = run.asked.at, Effects(), self._rack.locks.run
        owed = [] if run.asked.command.args else self.power.owed(run.asked.scope)
        try:
            others = cancel.chosen(run.asked, list(self._runs.values()), install)
        except CommandRefusedError:
            if not owed:
                raise
            others = []
        for other in others:
            effects += cancel.stop(run, other, self.power, self._orders, at)
            effects += self._finish(other, at)
        if not run.asked.command.args:  # also those whose command was just stopped
            owed = self.power.owed(run.asked.scope)
        for outlet in owed:
            effects += cancel.forgo(run, outlet, at)
        return self._started(run, effects)

    def _started(self, run: CommandRun, effects: Effects) -> Effects:
        """Answers that it was taken, and finishes what is over already.

        What must not be forgotten is on disk before it is answered, let alone done.
        """
        self._register(run)
        first: Effects = []
        if run.open and (run.destructive or self._orders.waiting(run)):
            run.kept = True
            self._note(run.asked, run.beginning)
            first = [Persist(CommandBegun(run.id)), *self._records(run), Commit(run.id)]
        return [*first, *run.accepted(), *effects, *self._finish(run, run.asked.at)]

    def _records(self, run: CommandRun) -> Effects:
        if run.verb == Verb.POWER:
            return self.power.records(run)
        return [Persist(run.record())]

    def _register(self, run: CommandRun) -> None:
        self._runs[run.id] = run
        for key in run.rows:
            self._by_node.setdefault(key, set()).add(run.id)

    # --- how it ends ------------------------------------------------------------------

    def _go_on(self, run: CommandRun, at: Moment) -> Effects:
        return self._orders.advance(run, at) + self._finish(run, at)

    def _finish(self, run: CommandRun, at: Moment) -> Effects:
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

    def _refuse(
        self,
        asked: AskedCommand,
        phase: Phase,
        error: str,
        rows: Sequence[TargetRow] = (),
    ) -> Effects:
        """Answers a command that is not carried out, and keeps it in the history."""
        self._note(asked, f"{phase}: {error}")
        return asked.replies(asked.reply(phase, ok=False, error=error), rows)

    def _refuse_flood(self, asked: AskedCommand) -> Effects:
        """Refuses a command of somebody who sends too many, as long as there is room.

        A refusal for each of thousands a second would push other answers out.
        """
        who = asked.command.by or "askers without a name"
        text = f"{who}: more than {COMMANDS_A_SECOND} commands a second; wait a little"
        self._note(asked, f"{Phase.REFUSED}: {text}")
        if not self._refusals.take("", asked.at.now):
            return []
        reply = asked.reply(Phase.REFUSED, ok=False, error=text)
        return [SendReply(reply, asked.route)]

    def _refuse_retained(self, message: CommandMessage, at: Moment) -> Effects:
        """Clears a retained command; an empty one is only somebody's clearing of it."""
        if not message.payload:
            return []
        asked_id = parse.asked_id(message.payload)
        asked = AskedCommand(asked_id, Command(), message.route, at)
        refusal = self._refuse(asked, Phase.REFUSED, RETAINED)
        return [ClearTopics((message.topic,)), *refusal]

    def _remember(self, command_id: str) -> None:
        self._seen[command_id] = None
        while len(self._seen) > IDS_REMEMBERED:
            self._seen.popitem(last=False)

    def _note(self, asked: AskedCommand, text: str) -> None:
        line = asked.history_line(self._rack.registry, text)
        self._rack.outbox.drafts.append(line)


def require_confirmed(asked: AskedCommand, hit: Sequence[tuple[str, str]]) -> None:
    """Refuses what interrupts several boards unless ``confirm`` is the scope.

    Args:
        hit: Id and name of each board that is hit; the id is empty where it has no
            agent.

    Raises:
        CommandRefusedError: It is not; text and rows name the boards.
    """
    if len(hit) < SEVERAL or asked.command.confirm == str(asked.scope):
        return
    names = ", ".join(name for _, name in hit[:NAMED])
    more = ", …" if len(hit) > NAMED else ""
    text = (
        f"{asked.verb} interrupts {len(hit)} boards ({names}{more}); "
        f"repeat it with confirm={asked.scope}"
    )
    phase, code = Phase.REFUSED, RowCode.NEEDS_CONFIRM
    rows = (
        TargetRow(node=node_id, name=name, phase=phase, code=code)
        for node_id, name in hit
    )
    raise CommandRefusedError(text, rows)
