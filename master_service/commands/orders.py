"""Orders to nodes: whom they may go to, when, and by when they are done; pure."""

from broker.contract.messages import EventKind, Order, Phase, Status
from broker.contract.verbs import Verb
from master_service.commands import remember, waves
from master_service.commands.effects import (
    AskBoard,
    Commit,
    Effects,
    Persist,
    SendOrder,
)
from master_service.commands.proof import LEAVING, Proof
from master_service.commands.reach import (
    absence,
    doing,
    inability,
    reachable,
    require_able,
)
from master_service.commands.run import Row, Run
from master_service.commands.waves import Waves
from master_service.presence.judge import BOOT_MARGIN
from master_service.presence.rack import Rack
from master_service.rack.events import Draft
from master_service.rack.node import NEVER, Node, Pending
from master_service.rack.times import Moment

LEAVE_S = 30.0
"""Seconds a machine is given to go down before it can boot."""
_BY_BOOT_ID = frozenset({Verb.REBOOT, Verb.RESTART_AGENT})
"""Verbs that are proven by the boot id, another one or the same."""


class Orders:
    """Carries out commands that are orders to nodes.

    Args:
        rack: The rack.
    """

    def __init__(self, rack: Rack) -> None:
        self.proof = Proof(rack)
        """Follows what was sent."""
        self._rack = rack
        self._settings = rack.settings.master

    def begin(self, run: Run, nodes: list[Node], at: Moment) -> Effects:
        """Start on the first targets of a command; the others wait their turn.

        Raises:
            RefusedError: None of them can do it.
        """
        require_able(run.asked, nodes)
        effects: Effects = []
        keys: list[str] = []
        for node in nodes:
            run.add(node.id, Row(node, node.name, at.now, NEVER))
            if _may_hear(run, node) and not self._obstacle(run, node):
                keys.append(node.id)
            else:
                effects += self.order(run, node, at)
        keys.sort(key=self._is_master)
        size = waves.size(run.asked.verb, run.asked.command, len(keys))
        run.waves = Waves(run, keys, size)
        return effects + self.advance(run, at)

    def advance(self, run: Run, at: Moment) -> Effects:
        """Start on the next targets if it is time to, or end those that never will."""
        if run.waves is None or not run.waves.waiting:
            return []
        culprit = run.waves.failed()
        if culprit:
            run.waves.stop(f"stopped because {culprit} failed", at.now)
            return []
        effects: Effects = []
        keys = run.waves.next(at.now)
        for key in keys:
            row = run.rows[key]
            row.began, row.deadline = at.now, at.now + self._settings.answer_s
            if row.node is not None:
                row.boot_id = row.node.boot_id
                effects += self.order(run, row.node, at)
        if run.waves.begun > 1 and keys:
            self._note_wave(run, keys)
            if run.kept:
                effects[:0] = [Persist(remember.part(run.asked, run.rows)), Commit()]
        return effects

    def order(self, run: Run, node: Node, at: Moment) -> Effects:
        """Return the order to one node, or end its row with the reason."""
        verb = run.asked.verb
        obstacle = self._obstacle(run, node)
        if obstacle:
            run.end(node.id, Phase.REFUSED, at.now, error=obstacle)
        elif _may_hear(run, node):
            if verb in _BY_BOOT_ID and not node.boot_id:
                error = f"its boot id is not known yet, so no {verb} could be proven"
                run.end(node.id, Phase.REFUSED, at.now, error=error)
                return []
            if verb in LEAVING:
                return self._leave(run, node, Verb(verb), at)
            return [self._order(run, node, verb, at)]
        elif verb == Verb.PING:
            return self.proof.ask_board(run, node, at.now)
        else:
            run.end(node.id, Phase.NOT_DELIVERED, at.now, error=absence(node))
        return []

    def shut_down(self, run: Run, node: Node, at: Moment) -> Effects:
        """Return the order to shut down as a part of switching its outlet off."""
        row = run.rows[node.id]
        row.began, row.deadline = at.now, at.now + self._settings.stop_s
        row.boot_id = row.boot_id or node.boot_id
        self._expect(run, node, Verb.SHUTDOWN, row.deadline, at.now)
        return [self._order(run, node, Verb.SHUTDOWN, at)]

    def _obstacle(self, run: Run, node: Node) -> str:
        args = run.asked.command.args
        why = inability(node, run.asked.verb, args)
        if why or not run.destructive:
            return why
        if why := doing(node):
            return why
        by, locks = run.asked.command.by, self._rack.locks
        locked = locks.against(node, by)
        # The same words for every board of a locked stack: a receipt says them once.
        shared = node.stack is not None and locks.against_stack(node.stack, by)
        return locked and (shared or locked)

    def _is_master(self, node_id: str) -> bool:
        """Whether it is the master's own board, which goes last: it takes us along."""
        return node_id == self._settings.node

    def _note_wave(self, run: Run, keys: list[str]) -> None:
        names = ", ".join(run.rows[key].name for key in keys)
        number = f"{run.waves.begun} of {run.waves.whole}" if run.waves else ""
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.COMMAND,
                text=f"{run.asked.verb} {run.asked.scope}: wave {number}: {names}",
                verb=run.asked.verb,
                by=run.asked.command.by,
                correlation=run.id,
            )
        )

    def _leave(self, run: Run, node: Node, verb: Verb, at: Moment) -> Effects:
        row = run.rows[node.id]
        patience_s = self._settings.stop_s
        if verb is Verb.REBOOT:
            boot_s = node.boot_s or self._settings.boot_s
            patience_s = LEAVE_S + BOOT_MARGIN * boot_s
        row.deadline = at.now + patience_s
        self._expect(run, node, verb, row.deadline, at.now)
        # Pinged while it still runs: silence proves nothing of a board that is mute.
        asks = verb is Verb.SHUTDOWN and not node.answers_ping
        ping: Effects = [AskBoard(node.id)] if asks else []
        return [*ping, self._order(run, node, verb, at)]

    def _expect(
        self, run: Run, node: Node, verb: Verb, deadline: float, now: float
    ) -> None:
        pending = Pending(verb, run.asked.command.by, deadline)
        self._rack.watch.expect(node, pending, now)

    def _order(self, run: Run, node: Node, verb: str, at: Moment) -> SendOrder:
        run.sent(node.id)
        asked, row = run.asked, run.rows[node.id]
        row.session = node.details.session if node.details is not None else ""
        left_s = max(0.0, asked.command.ttl_s - (at.now - row.began))
        order = Order(
            id=asked.id,
            verb=verb,
            args=asked.command.args if verb == asked.verb else (),
            ttl_s=left_s,
            expires=at.wall + left_s if self._rack.clock_synced else None,
            by=asked.command.by,
        )
        return SendOrder(node.id, order)


def _may_hear(run: Run, node: Node) -> bool:
    """Whether an order has a chance, or is worth an attempt all the same."""
    return reachable(node) or (run.asked.attempt and node.status is Status.ONLINE)
