"""Orders to nodes: sent, followed, and done only when their effect was seen; pure."""

from broker.messages import EventKind, Order, Phase, Result, Status
from broker.verbs import Verb
from master_service.commands import remember, waves
from master_service.commands.effects import (
    AskBoard,
    Asked,
    Commit,
    Effects,
    KeepPart,
    Moment,
    SendOrder,
)
from master_service.commands.reach import absence, inability, reachable
from master_service.commands.run import Row, Run
from master_service.commands.waves import Waves
from master_service.events import Draft
from master_service.node import Node
from master_service.presence import BOOT_MARGIN, NEVER, Pending, Probe
from master_service.rack import Rack

BOARD_S = 2.5
"""Seconds a probe that a ping waits for may take, several places in its queue too."""
FRESH_PROBE_S = 5.0
"""A probe this young need not be repeated."""
LEAVE_S = 30.0
"""Seconds a machine is given to go down before it can boot."""
_LEAVING = frozenset({Verb.REBOOT, Verb.SHUTDOWN})


class Orders:
    """Carries out commands that are orders to nodes.

    Args:
        rack: The rack.
    """

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._settings = rack.settings.master

    def begin(self, run: Run, nodes: list[Node], at: Moment) -> Effects:
        """Start on the first targets of a command; the others wait their turn."""
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
                effects[:0] = [KeepPart(remember.part(run.asked, run.rows)), Commit()]
        return effects

    def order(self, run: Run, node: Node, at: Moment) -> Effects:
        """Return the order to one node, or end its row with the reason."""
        verb = run.asked.verb
        obstacle = self._obstacle(run, node)
        if obstacle:
            run.end(node.id, Phase.REFUSED, at.now, error=obstacle)
        elif _may_hear(run, node):
            if verb in _LEAVING:
                return self._leave(run, node, Verb(verb), at)
            return [self._order(run, node, verb, at)]
        elif verb == Verb.PING:
            return self._ask_board(run, node, at.now)
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
        why = inability(node, run.asked.verb, args) or self._busy(run, node)
        if why or not run.destructive:
            return why
        return self._rack.locks.against(node, run.asked.command.by)

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

    def result(self, run: Run, node: Node, result: Result, now: float) -> None:
        """Take what a node answers."""
        row = run.rows[node.id]
        if not row.open or not row.told:
            return
        row.result = result
        if not result.phase.final:
            run.mark(node.id, Phase.RUNNING, now)
            if run.asked.verb not in _LEAVING:
                row.deadline = row.began + self._settings.run_s
        elif result.phase is not Phase.DONE:
            error = result.error or f"exit code {result.exit_code}"
            self._fail(run, row, error, now, result.phase)
        elif run.asked.verb in _LEAVING:
            run.mark(node.id, Phase.RUNNING, now)
        else:
            seen = run.asked.verb == Verb.PING
            run.end(node.id, Phase.DONE, now, verified=seen)

    def look(self, run: Run, node: Node, now: float) -> Effects:
        """Look whether the effect of an order is there, or cannot come any more."""
        row = run.rows[node.id]
        if not row.open or not (row.told or row.board_asked):
            return []
        match run.asked.verb:
            case Verb.REBOOT:
                if node.boot_id != row.boot_id:
                    self._rack.watch.expect(node, None, now)
                    run.end(node.id, Phase.DONE, now, verified=True)
            case Verb.SHUTDOWN:
                self._look_down(run, row, node, now)
            case Verb.PING if row.board_asked:
                self._look_board(run, row, node, now)
            case Verb.PING:
                pass
            case _:
                if _left_since(node, row.began):
                    error = f"its agent left before it answered: {node.reason}"
                    run.end(node.id, Phase.FAILED, now, error=error)
        return []

    def overdue(self, run: Run, key: str, now: float) -> Effects:
        """Say that a target had time enough."""
        row = run.rows[key]
        node = row.node
        if node is None:
            return []
        waited_s = row.deadline - row.began
        if run.asked.verb == Verb.PING and not row.board_asked:
            return self._ask_board(run, node, now)
        if run.asked.verb == Verb.REBOOT:
            error = f"no other boot id within {waited_s:.0f} s; it is {node.verdict}"
        elif run.asked.verb == Verb.SHUTDOWN:
            error = f"not proven down within {waited_s:.0f} s; it is {node.verdict}"
        elif row.phase is Phase.RUNNING:
            error = f"not finished within {waited_s:.0f} s"
        else:
            error = f"no answer in {waited_s:.0f} s"
        self._fail(run, row, error, now)
        return []

    def is_down(self, row: Row, now: float) -> bool:
        """Whether a board that was told to shut down is, as far as can be seen."""
        node = row.node
        if node is None or not _left_since(node, row.began):
            return False
        if node.probe is Probe.UNAVAILABLE and node.probe_at >= node.status_at:
            settled = node.status_at + self._rack.settings.power.settle_s
            return now >= settled
        return node.probe is Probe.SILENT and node.probe_at >= node.status_at

    def halted(self, run: Run, row: Row, now: float) -> None:
        """Remember that a board was shut down, with proof."""
        row.down = True
        if row.node is not None:
            self._rack.watch.halted(row.node, run.asked.command.by, now)

    def _look_down(self, run: Run, row: Row, node: Node, now: float) -> None:
        if not self.is_down(row, now):
            return
        verified = node.probe is Probe.SILENT
        error = "" if verified else f"it said offline; not pinged: {node.probe_note}"
        self.halted(run, row, now)
        run.end(node.id, Phase.DONE, now, error=error, verified=verified)

    def _look_board(self, run: Run, row: Row, node: Node, now: float) -> None:
        """End a ping whose agent is silent with what the board answered."""
        if node.probe_at < row.began - FRESH_PROBE_S or node.probe is Probe.UNASKED:
            return
        board = {
            Probe.ANSWERED: "hung: the board answers ping, but no agent does",
            Probe.SILENT: "no answer to ping either",
        }.get(node.probe, f"not pinged: {node.probe_note}")
        if reachable(node):
            error = f"no answer in {self._settings.answer_s:.0f} s; {board}"
            run.end(node.id, Phase.FAILED, now, error=error)
        else:
            error = f"{absence(node)}; {board}"
            run.end(node.id, Phase.NOT_DELIVERED, now, error=error)

    def _ask_board(self, run: Run, node: Node, now: float) -> Effects:
        row = run.rows[node.id]
        row.board_asked = True
        row.deadline = now + BOARD_S
        fresh = now - node.probe_at < FRESH_PROBE_S and not reachable(node)
        if fresh and node.probe is not Probe.UNASKED:
            self._look_board(run, row, node, now)
            return []
        return [AskBoard(node.id)]

    def _leave(self, run: Run, node: Node, verb: Verb, at: Moment) -> Effects:
        row = run.rows[node.id]
        if verb is Verb.REBOOT and not row.boot_id:
            error = "its boot id is not known yet, so a reboot could not be proven"
            run.end(node.id, Phase.REFUSED, at.now, error=error)
            return []
        patience_s = self._settings.stop_s
        if verb is Verb.REBOOT:
            boot_s = node.boot_s or self._settings.boot_s
            patience_s = LEAVE_S + BOOT_MARGIN * boot_s
        row.deadline = at.now + patience_s
        self._expect(run, node, verb, row.deadline, at.now)
        return [self._order(run, node, verb, at)]

    def _expect(
        self, run: Run, node: Node, verb: Verb, deadline: float, now: float
    ) -> None:
        pending = Pending(verb, run.asked.command.by, deadline)
        self._rack.watch.expect(node, pending, now)

    def _order(self, run: Run, node: Node, verb: str, at: Moment) -> SendOrder:
        run.sent(node.id)
        asked: Asked = run.asked
        left_s = max(0.0, asked.command.ttl_s - (at.now - run.rows[node.id].began))
        order = Order(
            id=asked.id,
            verb=verb,
            args=asked.command.args if verb == asked.verb else (),
            ttl_s=left_s,
            expires=at.wall + left_s,
            by=asked.command.by,
        )
        return SendOrder(node.id, order)

    def _fail(
        self, run: Run, row: Row, error: str, now: float, phase: Phase = Phase.FAILED
    ) -> None:
        if row.node is not None:
            run.end(row.node.id, phase, now, error=error)
            if row.node.pending is not None:
                self._rack.watch.expect(row.node, None, now)

    def _busy(self, run: Run, node: Node) -> str:
        busy = node.running
        if not run.destructive or (node.pending is None and busy is None):
            return ""
        if busy is not None:
            by = f" by {busy.by}" if busy.by else ""
            return f"busy: {busy.verb}{by} is {busy.phase} (id {busy.id})"
        return f"busy: {node.reason}"


def _may_hear(run: Run, node: Node) -> bool:
    """Whether an order has a chance, or is worth an attempt all the same."""
    return reachable(node) or (run.asked.attempt and node.status is Status.ONLINE)


def _left_since(node: Node, began: float) -> bool:
    return node.status is Status.OFFLINE and node.status_at >= began
