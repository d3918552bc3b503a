"""Takes commands in, refuses what must not be done, and sees the rest through; pure.

It is told what arrived and what time it is, and returns what is to be done about it, in
order. Every command gets an answer; a refusal says what would be right.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from broker.errors import PayloadError, TopicError
from broker.messages import Command, EventKind, Phase, Reply, Result
from broker.verbs import Verb
from master_service.commands import parse
from master_service.commands.admin import VERBS as ADMIN_VERBS
from master_service.commands.admin import Admin
from master_service.commands.effects import (
    Answer,
    Asked,
    ClearTopics,
    Effects,
    Moment,
    PublishAll,
    RefusedError,
    Request,
)
from master_service.commands.orders import Orders
from master_service.commands.run import Run
from master_service.events import Draft
from master_service.node import Node
from master_service.power.job import Action
from master_service.power.switchboard import Switchboard
from master_service.rack import Rack

IDS_REMEMBERED = 4_096
RUNS_AT_ONCE = 1_000
NAMED_IN_CONFIRM = 4
RETAINED = "a retained command is never obeyed; it was cleared, send it without retain"
ELSEWHERE = frozenset({Verb.INSTALL, Verb.SILENCE, Verb.HISTORY})
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
        self._power = Switchboard(rack, self._orders)
        self._runs: dict[str, Run] = {}
        self._by_node: dict[str, set[str]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict.fromkeys(done)

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
        asked = Asked(command.id or self._new_id(), command, request.route, at)
        if asked.id in self._runs:
            return []
        if asked.id in self._seen:
            error = f"id {asked.id!r} was carried out before; an id runs once"
            return self.refusal(asked, Phase.REFUSED, error)
        if _expired(command, at):
            return self.refusal(asked, Phase.EXPIRED, "its time to begin was over")
        self._remember(asked.id)
        try:
            return self._begin(asked)
        except (TopicError, RefusedError) as error:
            return self.refusal(asked, Phase.REFUSED, str(error))

    def misread(self, request: Request, error: PayloadError, at: Moment) -> Effects:
        """Answer a command that could not be understood."""
        asked = Asked("", Command(), request.route, at)
        return self.refusal(asked, Phase.REFUSED, str(error))

    def refusal(self, asked: Asked, phase: Phase, error: str) -> Effects:
        """Answer a command that is not carried out, and keep it in the history."""
        self._note(asked, f"{phase}: {error}")
        reply = Reply(
            id=asked.id,
            verb=asked.verb,
            scope=str(asked.scope),
            phase=phase,
            ok=False,
            error=error,
            by=asked.command.by,
        )
        return [Answer(reply, asked.route)]

    def result(self, node: Node, result: Result, at: Moment) -> Effects:
        """Take what a node answers to an order."""
        run = self._runs.get(result.id)
        if run is None or node.id not in run.rows:
            return []
        if run.asked.verb == Verb.POWER:
            self._power.result(run, node, result, at.now)
            return []
        self._orders.result(run, node, result, at.now)
        return self._finish(run, at)

    def look(self, node: Node, at: Moment) -> Effects:
        """Look at a node about which something is new."""
        effects: Effects = []
        for run_id in tuple(self._by_node.get(node.id, ())):
            run = self._runs[run_id]
            if run.asked.verb != Verb.POWER:
                effects += self._orders.look(run, node, at.now)
                effects += self._finish(run, at)
        return effects

    def undelivered(self, node_id: str, order_id: str, why: str, at: Moment) -> Effects:
        """Take that an order could not be sent."""
        run = self._runs.get(order_id)
        if run is None or node_id not in run.rows:
            return []
        run.end(node_id, Phase.NOT_DELIVERED, at.now, error=why)
        return self._finish(run, at)

    def switched(self, outlet: str, error: str, at: Moment) -> Effects:
        """Take what came of switching an outlet; its level is read back by now."""
        self._power.switched(outlet, error, at)
        return self.tick(at)

    def tick(self, at: Moment) -> Effects:
        """Let time pass: deadlines, pauses, progress."""
        effects = self._power.tick(at)
        for run in list(self._runs.values()):
            if run.asked.verb != Verb.POWER:
                for key, row in run.rows.items():
                    if row.open and row.deadline <= at.now:
                        effects += self._orders.overdue(run, key, at.now)
            effects += self._finish(run, at) or run.progress(at.now)
        return effects

    def _begin(self, asked: Asked) -> Effects:
        run = Run(asked, self._rack.outbox)
        if asked.verb in ELSEWHERE:
            text = f"this master does not carry out {asked.verb!r}"
            raise RefusedError(text)
        if len(self._runs) >= RUNS_AT_ONCE:
            text = f"{RUNS_AT_ONCE} commands are under way; try again in a moment"
            raise RefusedError(text)
        if asked.verb == Verb.SNAPSHOT:
            return self._started(run, [PublishAll()])
        if self._admin.wants_undo(run):
            return self._started(run, self._admin.undo_forget(run, asked.at))
        if asked.verb == Verb.POWER:
            return self._begin_power(run)
        nodes = self._rack.registry.targets(asked.scope)
        if asked.verb == Verb.RUN and not asked.command.args:
            text = "run needs an alias: run <alias> [value …]"
            raise RefusedError(text)
        if run.destructive:
            _check_confirm(asked, nodes)
        carry_out = self._admin if asked.verb in ADMIN_VERBS else self._orders
        return self._started(run, carry_out.begin(run, nodes, asked.at))

    def _begin_power(self, run: Run) -> Effects:
        action, _ = self._power.action(run)
        outlets = self._power.outlets(run.asked.scope)
        if action is not Action.ON:
            _check_confirm(run.asked, self._power.hit(outlets))
        return self._started(run, self._power.begin(run, outlets, run.asked.at))

    def _started(self, run: Run, effects: Effects) -> Effects:
        """Answer that it was taken, and finish what is over already."""
        self._runs[run.id] = run
        for key in run.rows:
            self._by_node.setdefault(key, set()).add(run.id)
        if run.destructive and run.open:
            self._note(run.asked, f"began on {len(run.rows)} target(s)")
        return [*run.accepted(), *effects, *self._finish(run, run.asked.at)]

    def _finish(self, run: Run, at: Moment) -> Effects:
        if run.open or run.id not in self._runs:
            return []
        del self._runs[run.id]
        for key in run.rows:
            mine = self._by_node[key]
            mine.discard(run.id)
            if not mine:
                del self._by_node[key]
        self._note(run.asked, run.summary)
        return run.final(at.now)

    def _refuse_retained(self, request: Request, at: Moment) -> Effects:
        """Clear a retained command; an empty one is only somebody's clearing of it."""
        if not request.payload:
            return []
        asked = Asked("", Command(), request.route, at)
        answer = self.refusal(asked, Phase.REFUSED, RETAINED)
        return [ClearTopics((request.topic,)), *answer]

    def _remember(self, command_id: str) -> None:
        self._seen[command_id] = None
        while len(self._seen) > IDS_REMEMBERED:
            self._seen.popitem(last=False)

    def _note(self, asked: Asked, text: str) -> None:
        by = f" by {asked.command.by}" if asked.command.by else ""
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.COMMAND,
                text=f"{asked.verb} {asked.scope}{by}: {text}",
                verb=asked.verb,
                by=asked.command.by,
                correlation=asked.id,
            )
        )


def _expired(command: Command, at: Moment) -> bool:
    over = command.expires is not None and at.wall >= command.expires
    return over or command.ttl_s <= 0


def _check_confirm(asked: Asked, nodes: list[Node]) -> None:
    """Refuse what interrupts several boards unless the asker says so twice.

    Raises:
        RefusedError: ``confirm`` is not the scope; the text names who is hit.
    """
    if len(nodes) < 2 or asked.command.confirm == str(asked.scope):  # noqa: PLR2004  # several
        return
    names = ", ".join(node.name for node in nodes[:NAMED_IN_CONFIRM])
    more = ", …" if len(nodes) > NAMED_IN_CONFIRM else ""
    text = (
        f"{asked.verb} interrupts {len(nodes)} boards ({names}{more}); "
        f"repeat it with confirm={asked.scope}"
    )
    raise RefusedError(text)
